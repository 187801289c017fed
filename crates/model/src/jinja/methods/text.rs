//! Methods of strings.

use super::super::Failure;
use super::super::arguments::{Arguments, integer, optional_integer, string};
use super::super::budget::{Buffer, step};
use super::super::format;
use super::super::print::is_space;
use super::super::value::{Text, Value};
use super::bounds;

pub(super) const METHODS: [&str; 42] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
    "isidentifier",
];

pub(super) fn call(text: &Text, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    step((text.as_str().len() / 64) as u64)?;
    match name {
        "format" => format::braces(text, &arguments),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = arguments.bind(name, ["chars"])?;
            stripped(text, name, chars.as_ref())
        }
        "split" | "rsplit" => split(text, name, arguments),
        "splitlines" => {
            let [keep] = arguments.bind(name, ["keepends"])?;
            splitlines(text, keep.is_some_and(|keep| keep.is_true()))
        }
        "partition" | "rpartition" => partition(text, name, arguments),
        "startswith" | "endswith" => affix(text.as_str(), name, arguments),
        "removeprefix" | "removesuffix" => {
            let [affix] = arguments.bind(name, ["affix"])?;
            let affix = required(affix, name)?;
            let affix = string(&affix, "the affix")?;
            let whole = text.as_str();
            let rest = if name == "removeprefix" { whole.strip_prefix(affix) } else { whole.strip_suffix(affix) };
            text.part(rest.unwrap_or(whole))
        }
        "find" | "rfind" | "index" | "rindex" | "count" => search(text.as_str(), name, arguments),
        "replace" => {
            let [old, new, count] = arguments.bind(name, ["old", "new", "count"])?;
            let (old, new) = (required(old, name)?, required(new, name)?);
            let count = optional_integer(count.as_ref(), "count")?.and_then(|count| usize::try_from(count).ok());
            replaced(text, string(&old, "old")?, given_text(&new, "new")?, count)
        }
        "join" => {
            let [items] = arguments.bind(name, ["iterable"])?;
            join(text, &required(items, name)?)
        }
        "center" | "ljust" | "rjust" | "zfill" => padded(text, name, arguments),
        "expandtabs" => {
            let [size] = arguments.bind(name, ["tabsize"])?;
            expanded(text, optional_integer(size.as_ref(), "tabsize")?.unwrap_or(8))
        }
        _ => {
            arguments.none(name)?;
            match question(text.as_str(), name) {
                Some(answer) => Ok(Value::Bool(answer)),
                None => text.altered(cased(text.as_str(), name)),
            }
        }
    }
}

fn required(value: Option<Value>, name: &str) -> Result<Value, Failure> {
    value.ok_or_else(|| Failure::fault(format!("{name} takes more arguments")))
}

/// Without these characters, or without spaces, at its ends.
pub(in super::super) fn stripped(text: &Text, name: &str, chars: Option<&Value>) -> Result<Value, Failure> {
    let chars = match chars {
        None | Some(Value::None) => None,
        Some(chars) => Some(string(chars, "chars")?),
    };
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let whole = text.as_str();
    text.part(match name {
        "lstrip" => whole.trim_start_matches(goes),
        "rstrip" => whole.trim_end_matches(goes),
        _ => whole.trim_matches(goes),
    })
}

/// Slices of a text as a list.
fn parts<'a>(text: &Text, parts: impl IntoIterator<Item = &'a str>) -> Result<Value, Failure> {
    Value::list(parts.into_iter().map(|part| text.part(part)).collect::<Result<_, _>>()?)
}

fn given_text<'a>(value: &'a Value, name: &str) -> Result<&'a Text, Failure> {
    let wrong = || Failure::fault(format!("{name} must be a string, not '{}'", value.type_name()));
    value.as_text().ok_or_else(wrong)
}

fn split(whole: &Text, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    let text = whole.as_str();
    let [separator, most] = arguments.bind(name, ["sep", "maxsplit"])?;
    let most = optional_integer(most.as_ref(), "maxsplit")?.and_then(|most| usize::try_from(most).ok());
    let most = most.unwrap_or(usize::MAX).saturating_add(1);
    let separator = separator.filter(|separator| !matches!(separator, Value::None));
    if let Some(separator) = &separator {
        let separator = string(separator, "sep")?;
        if separator.is_empty() {
            return Err(Failure::fault("empty separator"));
        }
        if name == "split" {
            return parts(whole, text.splitn(most, separator));
        }
        let mut found: Vec<&str> = text.rsplitn(most, separator).collect();
        found.reverse();
        return parts(whole, found);
    }
    let mut found = Vec::new();
    let from_left = name == "split";
    let mut rest = text.trim_matches(is_space);
    while !rest.is_empty() {
        let end = if found.len() + 1 == most {
            None
        } else if from_left {
            rest.find(is_space)
        } else {
            rest.rfind(is_space)
        };
        let Some(end) = end else {
            found.push(rest);
            break;
        };
        if from_left {
            found.push(&rest[..end]);
            rest = rest[end..].trim_start_matches(is_space);
        } else {
            let after = end + rest[end..].chars().next().map_or(0, char::len_utf8);
            found.push(&rest[after..]);
            rest = rest[..end].trim_end_matches(is_space);
        }
    }
    // What is left over when the count is spent keeps the spaces at its outer end.
    if found.len() == most
        && most != usize::MAX
        && let Some(last) = found.last_mut()
    {
        let start = last.as_ptr() as usize - text.as_ptr() as usize;
        *last = if from_left { &text[start..] } else { &text[..start + last.len()] };
    }
    if !from_left {
        found.reverse();
    }
    parts(whole, found)
}

fn splitlines(text: &Text, keep: bool) -> Result<Value, Failure> {
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(is_end).unwrap_or(rest.len());
        let mark =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        lines.push(&rest[..if keep { end + mark } else { end }]);
        rest = &rest[end + mark..];
    }
    parts(text, lines)
}

fn partition(whole: &Text, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    let text = whole.as_str();
    let [separator] = arguments.bind(name, ["sep"])?;
    let separator = required(separator, name)?;
    let separator = string(&separator, "sep")?;
    if separator.is_empty() {
        return Err(Failure::fault("empty separator"));
    }
    let place = if name == "partition" { text.find(separator) } else { text.rfind(separator) };
    let (before, after) = match place {
        Some(place) => (place, place + separator.len()),
        None if name == "partition" => (text.len(), text.len()),
        None => (0, 0),
    };
    let parts = [&text[..before], &text[before..after], &text[after..]].map(|part| whole.part(part));
    Value::tuple(parts.into_iter().collect::<Result<_, _>>()?)
}

fn affix(text: &str, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    let [affix, start, end] = arguments.bind(name, ["prefix", "start", "end"])?;
    let affix = required(affix, name)?;
    let text = if start.is_some() || end.is_some() {
        let (start, end) = bounds(start.as_ref(), end.as_ref(), text.chars().count())?;
        if start > end {
            return Ok(Value::Bool(false));
        }
        &text[byte(text, start)..byte(text, end)]
    } else {
        text
    };
    let fits = |affix: &str| if name == "startswith" { text.starts_with(affix) } else { text.ends_with(affix) };
    let any = match &affix {
        Value::Tuple(list) => {
            let affixes = list.items.iter().map(|affix| string(affix, "each prefix"));
            affixes.collect::<Result<Vec<_>, _>>()?.into_iter().any(fits)
        }
        affix => fits(string(affix, "the prefix")?),
    };
    Ok(Value::Bool(any))
}

/// Where a character is in bytes.
fn byte(text: &str, index: usize) -> usize {
    text.char_indices().nth(index).map_or(text.len(), |(place, _)| place)
}

fn search(text: &str, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    let [part, start, end] = arguments.bind(name, ["sub", "start", "end"])?;
    let part = required(part, name)?;
    let part = string(&part, "sub")?;
    let (start, end) = bounds(start.as_ref(), end.as_ref(), text.chars().count())?;
    let within = if start <= end { Some(&text[byte(text, start)..byte(text, end)]) } else { None };
    if name == "count" {
        return Ok(Value::length(within.map_or(0, |within| within.matches(part).count())));
    }
    let found = within.and_then(|within| {
        let place = if name.starts_with('r') { within.rfind(part) } else { within.find(part) };
        place.map(|place| start + within[..place].chars().count())
    });
    match found {
        Some(place) => Ok(Value::length(place)),
        None if name.ends_with("find") => Ok(Value::Int(-1)),
        None => Err(Failure::fault("substring not found")),
    }
}

/// With `new` in place of `old`, at most `count` times.
pub(in super::super) fn replaced(text: &Text, old: &str, new: &Text, count: Option<usize>) -> Result<Value, Failure> {
    let mut out = Buffer::new();
    let mut rest = 0;
    for (place, found) in text.as_str().match_indices(old).take(count.unwrap_or(usize::MAX)) {
        out.push_part(text, rest..place)?;
        out.push_text(new)?;
        rest = place + found.len();
    }
    out.push_part(text, rest..text.as_str().len())?;
    Value::written(out)
}

fn join(separator: &Text, items: &Value) -> Result<Value, Failure> {
    let mut out = Buffer::new();
    for (index, item) in items.iterate()?.items.iter().enumerate() {
        step(1)?;
        if index > 0 {
            out.push_text(separator)?;
        }
        out.push_text(given_text(item, "each item that is joined")?)?;
    }
    Value::written(out)
}

fn padded(text: &Text, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    let [width, fill] = arguments.bind(name, ["width", "fillchar"])?;
    let width = usize::try_from(integer(&required(width, name)?, "width")?).unwrap_or(0);
    let fill = match &fill {
        Some(fill) => string(fill, "fillchar")?,
        None => " ",
    };
    let fill = fill.chars().next().ok_or_else(|| Failure::fault("fillchar must be a character"))?;
    let missing = width.saturating_sub(text.as_str().chars().count());
    let mut out = Buffer::new();
    if name == "zfill" {
        let sign = usize::from(text.as_str().starts_with(['+', '-']));
        out.push_part(text, 0..sign)?;
        out.fill('0', missing)?;
        out.push_part(text, sign..text.as_str().len())?;
        return Value::written(out);
    }
    let before = match name {
        "ljust" => 0,
        "rjust" => missing,
        // CPython puts the odd one to the left where the width is odd.
        _ => missing / 2 + (missing & width & 1),
    };
    out.fill(fill, before)?;
    out.push_text(text)?;
    out.fill(fill, missing - before)?;
    Value::written(out)
}

fn expanded(text: &Text, size: i64) -> Result<Value, Failure> {
    let size = usize::try_from(size).unwrap_or(0);
    let mut out = Buffer::new();
    let mut column = 0;
    for (place, c) in text.as_str().char_indices() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                out.fill(' ', spaces)?;
                column += spaces;
            }
            c => {
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                out.push_part(text, place..place + c.len_utf8())?;
            }
        }
    }
    Value::written(out)
}

/// What Python's `is…` methods say.
pub(in super::super) fn question(text: &str, name: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    let is_cased = |c: char| c.is_lowercase() || c.is_uppercase();
    Some(match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => text.is_ascii(),
        "isdecimal" | "isdigit" => all(|c| c.is_numeric() && (!c.is_ascii() || c.is_ascii_digit())),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "isidentifier" => {
            let first = text.chars().next().is_some_and(|c| c == '_' || c.is_alphabetic());
            first && text.chars().all(|c| c == '_' || c.is_alphanumeric())
        }
        "islower" => text.chars().any(is_cased) && !text.chars().any(char::is_uppercase),
        "isupper" => text.chars().any(is_cased) && !text.chars().any(char::is_lowercase),
        "istitle" => text.chars().any(is_cased) && title(text) == text,
        _ => return None,
    })
}

fn cased(text: &str, name: &str) -> String {
    match name {
        "lower" => text.to_lowercase(),
        "casefold" => text.to_lowercase().replace('ß', "ss"),
        "upper" => text.to_uppercase(),
        "capitalize" => capitalized(text),
        "swapcase" => {
            let swap = |c: char| -> String {
                if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
            };
            text.chars().map(swap).collect()
        }
        _ => title(text),
    }
}

/// The first character in upper case, the others in lower case.
pub(in super::super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map_or_else(String::new, titlecase);
    first + &chars.as_str().to_lowercase()
}

/// A character as the first one of a word: `ß` becomes `Ss`.
fn titlecase(c: char) -> String {
    let mut upper = c.to_uppercase();
    let first: String = upper.next().into_iter().collect();
    first + &upper.flat_map(char::to_lowercase).collect::<String>()
}

/// The first letter of each run of letters in upper case.
fn title(text: &str) -> String {
    let mut after_letter = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase());
        } else {
            out.push_str(&titlecase(c));
        }
        after_letter = c.is_lowercase() || c.is_uppercase();
    }
    out
}
