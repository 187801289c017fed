//! `'%s' % value` and `'{}'.format(value)`.

use super::Failure;
use super::arguments::{Arguments, integer};
use super::budget::Buffer;
use super::print::{exponential, write_repr, write_str};
use super::value::{Text, Value};
use std::iter::Peekable;
use std::str::Chars;

/// How one value is written.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=` (between sign and digits).
    align: Option<char>,
    /// `+` or a space before numbers that are not negative.
    sign: Option<char>,
    alternate: bool,
    width: usize,
    comma: bool,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Columns and digits that a format may ask for.
const MOST: usize = 1000;

fn number(chars: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, Failure> {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    let number = digits.parse().ok().filter(|number| *number <= MOST);
    number.map(Some).ok_or_else(|| Failure::fault(format!("a format of more than {MOST} columns")))
}

/// `format % values`.
pub(super) fn percent(format: &Text, values: &Value) -> Result<Value, Failure> {
    let single = [values.clone()];
    let list = match values {
        Value::Tuple(list) => &list.items[..],
        _ => &single[..],
    };
    let mut given = list.iter();
    let mut next = || given.next().cloned().ok_or_else(|| Failure::fault("not enough arguments for format string"));
    let mut by_name = false;
    let mut out = Buffer::new();
    let mut chars = format.as_str().chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push_char(c, format.is_said())?;
            continue;
        }
        let mut spec = Spec { align: Some('>'), ..Spec::default() };
        let mut named = None;
        if chars.next_if_eq(&'(').is_some() {
            let name: String = chars.by_ref().take_while(|c| *c != ')').collect();
            let Value::Dict(dict) = values else { return Err(Failure::fault("format requires a mapping")) };
            by_name = true;
            let missing = || Failure::fault(format!("the format's '{name}' is not given"));
            named = Some(dict.field(&name)?.cloned().ok_or_else(missing)?);
        }
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')) {
            match flag {
                '-' => spec.align = Some('<'),
                '0' if spec.align != Some('<') => (spec.fill, spec.align) = (Some('0'), Some('=')),
                '#' => spec.alternate = true,
                '+' => spec.sign = Some('+'),
                ' ' if spec.sign.is_none() => spec.sign = Some(' '),
                _ => {}
            }
        }
        spec.width = number(&mut chars)?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut chars)?.unwrap_or(0));
        }
        let kind = chars.next().ok_or_else(|| Failure::fault("incomplete format"))?;
        if kind == '%' {
            out.push("%")?;
            continue;
        }
        let value = match named {
            Some(value) => value,
            None => next()?,
        };
        match kind {
            's' | 'r' | 'c' => {
                let mut text = Buffer::new();
                match (kind, &value) {
                    ('s', value) => write_str(&mut text, value)?,
                    ('c', Value::Int(code)) => {
                        let c = u32::try_from(*code).ok().and_then(char::from_u32);
                        text.push_char(c.ok_or_else(|| Failure::fault("%c requires a character"))?, true)?;
                    }
                    ('c', value) => write_str(&mut text, value)?,
                    (_, value) => write_repr(&mut text, value)?,
                }
                if spec.align == Some('=') {
                    (spec.fill, spec.align) = (None, Some('>'));
                }
                spec.write_text(&mut out, &text)?;
            }
            'd' | 'i' | 'u' => {
                let whole = match value {
                    Value::Float(number) => Value::Int(number as i64),
                    other => other,
                };
                spec.kind = Some('d');
                spec.write(&mut out, &whole)?;
            }
            'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                spec.kind = Some(kind);
                spec.write(&mut out, &value)?;
            }
            other => return Err(Failure::fault(format!("unsupported format character '{other}'"))),
        }
    }
    if given.next().is_some() && !by_name && !matches!(values, Value::Dict(_)) {
        return Err(Failure::fault("not all arguments converted during string formatting"));
    }
    Value::written(out)
}

/// `format.format(...)`.
pub(super) fn braces(format: &Text, arguments: &Arguments) -> Result<Value, Failure> {
    let mut out = Buffer::new();
    let mut chars = format.as_str().chars().peekable();
    let mut count = 0;
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.next_if_eq(&c).is_some() => out.push_char(c, format.is_said())?,
            '}' => return Err(Failure::fault("single '}' in a format")),
            '{' => {
                let mut field = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some('{') => return Err(Failure::fault("a field within a field of a format is not supported")),
                        Some(c) => field.push(c),
                        None => return Err(Failure::fault("expected '}' in a format")),
                    }
                }
                let (field, spec) = field.split_once(':').unwrap_or((&field, ""));
                let (name, conversion) = field.split_once('!').unwrap_or((field, ""));
                let value = field_of(arguments, name, &mut count)?;
                let value = match conversion {
                    "" => value,
                    "s" => super::print::str_of(&value)?,
                    "r" => {
                        let mut text = Buffer::new();
                        write_repr(&mut text, &value)?;
                        Value::written(text)?
                    }
                    other => return Err(Failure::fault(format!("unknown conversion '{other}'"))),
                };
                Spec::parse(spec)?.write(&mut out, &value)?;
            }
            c => out.push_char(c, format.is_said())?,
        }
    }
    Value::written(out)
}

fn field_of(arguments: &Arguments, path: &str, count: &mut usize) -> Result<Value, Failure> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, mut rest) = path.split_at(end);
    let missing = || Failure::fault(format!("the format's field '{name}' is not given"));
    let mut value = if name.is_empty() {
        *count += 1;
        arguments.positional.get(*count - 1).cloned().ok_or_else(missing)?
    } else if let Ok(index) = name.parse::<usize>() {
        arguments.positional.get(index).cloned().ok_or_else(missing)?
    } else {
        arguments.named.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).ok_or_else(missing)?
    };
    while let Some(index) = rest.strip_prefix('[') {
        let (key, after) = index.split_once(']').ok_or_else(|| Failure::fault("expected ']' in a format"))?;
        let key = key.parse().map_or_else(|_| Value::text(key), |index| Ok(Value::Int(index)))?;
        value = super::expressions::item(&value, &key)?;
        rest = after;
    }
    if rest.is_empty() { Ok(value) } else { Err(Failure::fault("a format's field may not name attributes")) }
}

impl Spec {
    /// `[[fill]align][sign][#][0][width][,][.precision][type]`
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut spec = Spec::default();
        let mut chars = text.chars().peekable();
        let is_align = |c: &char| matches!(c, '<' | '>' | '^' | '=');
        let mut ahead = text.chars();
        let (first, second) = (ahead.next(), ahead.next());
        if second.is_some_and(|c| is_align(&c)) {
            (spec.fill, spec.align) = (first, second);
            chars.nth(1);
        } else if first.is_some_and(|c| is_align(&c)) {
            spec.align = chars.next();
        }
        spec.sign = chars.next_if(|c| matches!(c, '+' | '-' | ' ')).filter(|c| *c != '-');
        spec.alternate = chars.next_if_eq(&'#').is_some();
        if chars.next_if_eq(&'0').is_some() && spec.align.is_none() {
            (spec.fill, spec.align) = (Some('0'), Some('='));
        }
        spec.width = number(&mut chars)?.unwrap_or(0);
        spec.comma = chars.next_if_eq(&',').is_some();
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = number(&mut chars)?;
        }
        spec.kind = chars.next();
        match chars.next() {
            None => Ok(spec),
            Some(_) => Err(Failure::fault(format!("invalid format specifier '{text}'"))),
        }
    }

    fn write(&self, out: &mut Buffer, value: &Value) -> Result<(), Failure> {
        let is_float_kind = matches!(self.kind, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%'));
        match value {
            Value::Bool(_) | Value::Int(_)
                if !(is_float_kind || self.kind.is_none() && matches!(value, Value::Bool(_))) =>
            {
                self.write_number(out, &self.whole(integer(value, "the value")?)?)
            }
            Value::Float(number) if matches!(self.kind, None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => {
                self.write_number(out, &self.real(*number))
            }
            Value::Bool(_) | Value::Int(_) if is_float_kind => {
                self.write_number(out, &self.real(value.as_float().unwrap_or(0.0)))
            }
            other if matches!(self.kind, None | Some('s')) => {
                let mut text = Buffer::new();
                write_str(&mut text, other)?;
                self.write_text(out, &text)
            }
            other => {
                let kind = self.kind.unwrap_or('s');
                Err(Failure::fault(format!("format code '{kind}' does not fit '{}'", other.type_name())))
            }
        }
    }

    fn whole(&self, number: i64) -> Result<String, Failure> {
        let sign = if number < 0 { "-" } else { "" };
        let size = number.unsigned_abs();
        let prefix = |text: &'static str| if self.alternate { text } else { "" };
        Ok(match self.kind {
            None | Some('d') => {
                let digits = size.to_string();
                let digits = if self.comma { thousands(&digits) } else { digits };
                format!("{sign}{digits}")
            }
            Some('x') => format!("{sign}{}{size:x}", prefix("0x")),
            Some('X') => format!("{sign}{}{size:X}", prefix("0X")),
            Some('o') => format!("{sign}{}{size:o}", prefix("0o")),
            Some('b') => format!("{sign}{}{size:b}", prefix("0b")),
            Some(kind) => return Err(Failure::fault(format!("unknown format code '{kind}'"))),
        })
    }

    fn real(&self, number: f64) -> String {
        let text = match (self.kind, self.precision) {
            (None, None) => super::print::float_repr(number),
            (Some('f' | 'F'), precision) => format!("{number:.*}", precision.unwrap_or(6)),
            (Some('%'), precision) => format!("{:.*}%", precision.unwrap_or(6), number * 100.0),
            (Some('e' | 'E'), precision) => scientific(number, precision.unwrap_or(6)),
            (_, precision) => self.general(number, precision.unwrap_or(6).max(1)),
        };
        let text = match text.split_once('.') {
            Some((whole, fraction)) if self.comma => format!("{}.{fraction}", thousands(whole)),
            None if self.comma => thousands(&text),
            _ => text,
        };
        if matches!(self.kind, Some('E' | 'G' | 'F')) { text.to_uppercase() } else { text }
    }

    /// C's `%g`: the shorter one of both spellings, without zeros at its end.
    fn general(&self, number: f64, precision: usize) -> String {
        let rounded = scientific(number, precision - 1);
        let Some((digits, exponent)) = rounded.split_once('e') else { return rounded };
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let trimmed = |text: &str| {
            if self.alternate || !text.contains('.') {
                return text.to_owned();
            }
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let most = i32::try_from(precision).unwrap_or(i32::MAX);
        if (-4..most).contains(&exponent) {
            return trimmed(&format!("{number:.*}", usize::try_from(most - 1 - exponent).unwrap_or(0)));
        }
        exponential(&trimmed(digits), exponent)
    }

    fn write_number(&self, out: &mut Buffer, text: &str) -> Result<(), Failure> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-".to_owned(), digits),
            None => (self.sign.map_or(String::new(), String::from), text),
        };
        if self.align == Some('=') {
            out.push(&sign)?;
            out.fill(self.fill.unwrap_or(' '), self.width.saturating_sub(sign.len() + digits.len()))?;
            return out.push(digits);
        }
        self.pad(out, &format!("{sign}{digits}"), false, '>')
    }

    fn write_text(&self, out: &mut Buffer, written: &Buffer) -> Result<(), Failure> {
        let text = written.as_str();
        let end = self.precision.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(end, _)| end);
        self.pad(out, &text[..end], written.is_said(), '<')
    }

    fn pad(&self, out: &mut Buffer, text: &str, said: bool, default: char) -> Result<(), Failure> {
        let missing = self.width.saturating_sub(text.chars().count());
        let before = match self.align.unwrap_or(default) {
            '<' => 0,
            '^' => missing / 2,
            _ => missing,
        };
        let fill = self.fill.unwrap_or(' ');
        out.fill(fill, before)?;
        if said {
            out.push_said(text)?;
        } else {
            out.push(text)?;
        }
        out.fill(fill, missing - before)
    }
}

fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => exponential(digits, exponent.parse().unwrap_or(0)),
        None => text,
    }
}

fn thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
