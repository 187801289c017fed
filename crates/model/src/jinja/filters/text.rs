//! Filters of text.

use super::super::Failure;
use super::super::arguments::{Arguments, integer, optional_integer, string};
use super::super::budget::Buffer;
use super::super::format;
use super::super::methods;
use super::super::print::{is_space, str_of, write_repr};
use super::super::value::{Text, Value};
use std::rc::Rc;

pub(super) fn apply(value: &Value, name: &str, arguments: Arguments) -> Result<Value, Failure> {
    if name == "pprint" {
        let mut out = Buffer::new();
        write_repr(&mut out, value)?;
        return Value::written(out);
    }
    let Value::Str(text) = str_of(value)? else { return Ok(Value::Undefined) };
    let text = &*text;
    match name {
        "trim" => {
            let [chars] = arguments.bind(name, ["chars"])?;
            methods::stripped(text, "strip", chars.as_ref())
        }
        "replace" => {
            let [old, new, count] = arguments.bind(name, ["old", "new", "count"])?;
            let (old, new) = (str_of(&old.unwrap_or(Value::Undefined))?, str_of(&new.unwrap_or(Value::Undefined))?);
            let count = optional_integer(count.as_ref(), "count")?.and_then(|count| usize::try_from(count).ok());
            let (Some(old), Some(new)) = (old.as_str(), new.as_text()) else { return Ok(Value::Undefined) };
            methods::replaced(text, old, new, count)
        }
        "indent" => indent(text, arguments),
        "format" => {
            let values = if arguments.named.is_empty() {
                Value::tuple(arguments.positional)?
            } else {
                let entry = |(name, value): (String, Value)| Ok((Value::said(name)?, value));
                Value::dict(arguments.named.into_iter().map(entry).collect::<Result<_, Failure>>()?)?
            };
            format::percent(text, &values)
        }
        "center" => {
            let [width] = arguments.bind(name, ["width"])?;
            let width = width.unwrap_or(Value::Int(80));
            let value = text.part(text.as_str())?;
            methods::call(&value, "center", Arguments { positional: vec![width], named: Vec::new() })
        }
        "truncate" => truncate(text, arguments),
        _ => {
            arguments.none(name)?;
            plain(text, name)
        }
    }
}

/// Filters without arguments.
fn plain(text: &Text, name: &str) -> Result<Value, Failure> {
    let whole = text.as_str();
    match name {
        "upper" => text.altered(whole.to_uppercase()),
        "lower" => text.altered(whole.to_lowercase()),
        "capitalize" => text.altered(methods::capitalized(whole)),
        "title" => text.altered(title(whole)),
        "wordcount" => {
            let words = whole.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty());
            Ok(Value::length(words.count()))
        }
        "e" | "escape" | "forceescape" => replacing(text, |c| match c {
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '"' => Some("&#34;"),
            '\'' => Some("&#39;"),
            _ => None,
        }),
        "urlencode" => {
            let mut out = Buffer::new();
            for byte in whole.bytes() {
                if byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte) {
                    out.push_char(char::from(byte), text.is_said())?;
                } else {
                    out.push(&format!("%{byte:02X}"))?;
                }
            }
            Value::written(out)
        }
        "striptags" => {
            let mut inside = false;
            let kept = whole.chars().filter(|c| {
                let keep = !inside && *c != '<';
                inside = if inside { *c != '>' } else { *c == '<' };
                keep
            });
            let kept: String = kept.collect();
            text.altered(kept.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
        }
        _ => text.part(whole),
    }
}

fn replacing(text: &Text, by: impl Fn(char) -> Option<&'static str>) -> Result<Value, Failure> {
    let mut out = Buffer::new();
    for c in text.as_str().chars() {
        match by(c) {
            Some(other) => out.push(other)?,
            None => out.push_char(c, text.is_said())?,
        }
    }
    Value::written(out)
}

/// The first letter of each word in upper case; words begin after spaces, hyphens and opening brackets.
fn title(text: &str) -> String {
    let mut begins = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if begins {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        begins = is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    }
    out
}

fn indent(text: &Text, arguments: Arguments) -> Result<Value, Failure> {
    let [width, first, blank] = arguments.bind("indent", ["width", "first", "blank"])?;
    let is_true = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let (first, blank) = (is_true(first), is_true(blank));
    let (by, times) = match &width {
        Some(Value::Str(by)) => (Value::Str(Rc::clone(by)), 1),
        Some(width) => (Value::text(" ")?, usize::try_from(integer(width, "width")?).unwrap_or(0)),
        None => (Value::text(" ")?, 4),
    };
    let Some(by) = by.as_text() else { return Ok(Value::Undefined) };
    // Jinja2 adds a line break first, so that one at the end stays.
    let mut ended = Buffer::new();
    ended.push_text(text)?;
    ended.push("\n")?;
    let lines = methods::call(&Value::written(ended)?, "splitlines", Arguments::default())?.iterate()?;
    let mut out = Buffer::new();
    for (index, line) in lines.items.iter().enumerate() {
        let Some(line) = line.as_text() else { continue };
        if index > 0 {
            out.push("\n")?;
        }
        if if index == 0 { first } else { blank || !line.as_str().is_empty() } {
            out.push_times(by, times)?;
        }
        out.push_text(line)?;
    }
    Value::written(out)
}

fn truncate(text: &Text, arguments: Arguments) -> Result<Value, Failure> {
    let [length, kill, end, leeway] = arguments.bind("truncate", ["length", "killwords", "end", "leeway"])?;
    let length = usize::try_from(optional_integer(length.as_ref(), "length")?.unwrap_or(255)).unwrap_or(0);
    let leeway = usize::try_from(optional_integer(leeway.as_ref(), "leeway")?.unwrap_or(5)).unwrap_or(0);
    let end = match &end {
        Some(end) => string(end, "end")?,
        None => "...",
    };
    let whole = text.as_str();
    if whole.chars().count() <= length.saturating_add(leeway) {
        return text.part(whole);
    }
    let kept = length.saturating_sub(end.chars().count());
    let kept = &whole[..whole.char_indices().nth(kept).map_or(whole.len(), |(place, _)| place)];
    let kept =
        if kill.is_some_and(|kill| kill.is_true()) { kept } else { kept.rsplit_once(' ').map_or(kept, |cut| cut.0) };
    let mut out = Buffer::new();
    out.push_part(text, 0..kept.len())?;
    out.push_said(end)?;
    Value::written(out)
}
