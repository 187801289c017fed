//! Values as Python prints them.

use super::Failure;
use super::budget::{Buffer, step};
use super::value::{List, Text, Value};
use std::rc::Rc;

/// Whether Python's `str.isspace` and `strip` take a character for a space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// `str(value)`.
pub(super) fn str_of(value: &Value) -> Result<Value, Failure> {
    if let Value::Str(_) = value {
        return Ok(value.clone());
    }
    let mut out = Buffer::new();
    write_str(&mut out, value)?;
    Value::written(out)
}

/// Writes `str(value)`.
pub(super) fn write_str(out: &mut Buffer, value: &Value) -> Result<(), Failure> {
    match value {
        Value::Undefined => Ok(()),
        Value::Str(text) => out.push_text(text),
        other => write_repr(out, other),
    }
}

/// Writes `repr(value)`.
pub(super) fn write_repr(out: &mut Buffer, value: &Value) -> Result<(), Failure> {
    step(1)?;
    match value {
        Value::Undefined => out.push("Undefined"),
        Value::None => out.push("None"),
        Value::Bool(value) => out.push(if *value { "True" } else { "False" }),
        Value::Int(number) => out.push(&number.to_string()),
        Value::Float(number) => out.push(&float_repr(*number)),
        Value::Str(text) => string_repr(out, text),
        Value::List(list) => {
            out.push("[")?;
            items(out, list)?;
            out.push("]")
        }
        Value::Tuple(list) => {
            out.push("(")?;
            items(out, list)?;
            out.push(if list.items.len() == 1 { ",)" } else { ")" })
        }
        Value::Dict(dict) => {
            out.push("{")?;
            for (index, (key, value)) in dict.entries.iter().enumerate() {
                if index > 0 {
                    out.push(", ")?;
                }
                write_repr(out, key)?;
                out.push(": ")?;
                write_repr(out, value)?;
            }
            out.push("}")
        }
        other => {
            out.push("<")?;
            out.push(other.type_name())?;
            out.push(">")
        }
    }
}

fn items(out: &mut Buffer, list: &Rc<List>) -> Result<(), Failure> {
    for (index, item) in list.items.iter().enumerate() {
        if index > 0 {
            out.push(", ")?;
        }
        write_repr(out, item)?;
    }
    Ok(())
}

/// The shortest digits that are this number and no other, as Python writes them.
pub(super) fn float_repr(number: f64) -> String {
    if !number.is_finite() {
        let name = if number.is_nan() { "nan" } else { "inf" };
        return if number < 0.0 { format!("-{name}") } else { name.to_owned() };
    }
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    exponential(digits, exponent)
}

/// Digits with an exponent of at least two digits.
pub(super) fn exponential(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn string_repr(out: &mut Buffer, text: &Text) -> Result<(), Failure> {
    let quote = if text.as_str().contains('\'') && !text.as_str().contains('"') { '"' } else { '\'' };
    let said = text.is_said();
    out.push_char(quote, false)?;
    for c in text.as_str().chars() {
        match c {
            '\n' => out.push("\\n")?,
            '\r' => out.push("\\r")?,
            '\t' => out.push("\\t")?,
            '\\' => out.push("\\\\")?,
            c if c == quote => {
                out.push("\\")?;
                out.push_char(c, said)?;
            }
            c if is_printable(c) => out.push_char(c, said)?,
            c if (c as u32) < 0x100 => out.push(&format!("\\x{:02x}", c as u32))?,
            c if (c as u32) < 0x1_0000 => out.push(&format!("\\u{:04x}", c as u32))?,
            c => out.push(&format!("\\U{:08x}", c as u32))?,
        }
    }
    out.push_char(quote, false)
}

/// Whether Python prints a character as it is. Rust's `Debug` escapes the same ones in the middle of a text.
fn is_printable(c: char) -> bool {
    c == ' ' || matches!(c, '\'' | '"') || (c.is_ascii() && !c.is_control()) || {
        let middle: String = ['a', c].into_iter().collect();
        !c.is_ascii() && !format!("{middle:?}").contains('\\')
    }
}
