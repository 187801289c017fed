//! Jinja2's filters: what follows `|`. One that is not known is an error that names it.

mod lists;
mod text;

use super::Failure;
use super::arguments::Arguments;
use super::json;
use super::methods;
use super::print::str_of;
use super::value::Value;

const LISTS: [&str; 24] = [
    "batch",
    "count",
    "dictsort",
    "first",
    "groupby",
    "items",
    "join",
    "last",
    "length",
    "list",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "slice",
    "sort",
    "sum",
    "unique",
    "attr",
    "d",
];
const TEXTS: [&str; 19] = [
    "capitalize",
    "center",
    "e",
    "escape",
    "forceescape",
    "format",
    "indent",
    "lower",
    "replace",
    "safe",
    "string",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
    "wordcount",
    "pprint",
    "striptags",
];
const OTHERS: [&str; 6] = ["abs", "default", "float", "int", "round", "tojson"];

/// Whether there is a filter of this name.
pub(super) fn is_known(name: &str) -> bool {
    [&LISTS[..], &TEXTS, &OTHERS].iter().any(|names| names.contains(&name))
}

/// `value | name(arguments)`.
pub(super) fn apply(value: &Value, name: &str, arguments: Arguments) -> Result<Value, Failure> {
    match name {
        "default" | "d" => {
            let [default, boolean] = arguments.bind(name, ["default_value", "boolean"])?;
            let boolean = boolean.is_some_and(|boolean| boolean.is_true());
            let missing = value.is_undefined() || (boolean && !value.is_true());
            if missing { default.map_or_else(|| Value::text(""), Ok) } else { Ok(value.clone()) }
        }
        "tojson" => json::tojson(value, arguments),
        "string" => {
            arguments.none(name)?;
            str_of(value)
        }
        "abs" => {
            arguments.none(name)?;
            match value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                other => {
                    let wrong = || Failure::fault(format!("bad operand type for abs(): '{}'", other.type_name()));
                    Ok(Value::Int(other.as_int().and_then(i64::checked_abs).ok_or_else(wrong)?))
                }
            }
        }
        "int" => int(value, arguments),
        "float" => {
            let [default] = arguments.bind(name, ["default"])?;
            let parsed = match value {
                Value::Str(text) => parsed_float(text.as_str()),
                other => other.as_float(),
            };
            Ok(parsed.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        "round" => round(value, arguments),
        _ if LISTS.contains(&name) => lists::apply(value, name, arguments),
        _ if TEXTS.contains(&name) => text::apply(value, name, arguments),
        _ => Err(Failure::fault(format!("no filter named '{name}'"))),
    }
}

/// Python's `float(text)`.
fn parsed_float(text: &str) -> Option<f64> {
    text.trim_matches(super::print::is_space).replace('_', "").parse().ok()
}

fn int(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [default, base] = arguments.bind("int", ["default", "base"])?;
    let base = super::arguments::optional_integer(base.as_ref(), "base")?.unwrap_or(10);
    let parsed = match value {
        Value::Float(number) if number.is_finite() => Some(*number as i64),
        Value::Str(text) => {
            let text = text.as_str().trim_matches(super::print::is_space);
            let radix = u32::try_from(base).ok().filter(|base| (2..=36).contains(base)).unwrap_or(10);
            let digits = match radix {
                16 => text.trim_start_matches("0x"),
                8 => text.trim_start_matches("0o"),
                2 => text.trim_start_matches("0b"),
                _ => text,
            };
            let whole = i64::from_str_radix(&digits.replace('_', ""), radix).ok();
            whole.or_else(|| parsed_float(text).filter(|number| number.is_finite()).map(|number| number as i64))
        }
        other => other.as_int(),
    };
    Ok(parsed.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
}

fn round(value: &Value, arguments: Arguments) -> Result<Value, Failure> {
    let [precision, method] = arguments.bind("round", ["precision", "method"])?;
    let precision = super::arguments::optional_integer(precision.as_ref(), "precision")?.unwrap_or(0).clamp(-300, 300);
    let number = value.as_float().ok_or_else(|| Failure::fault("round takes a number"))?;
    let scale = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    let rounded = match method.as_ref().and_then(Value::as_str) {
        Some("ceil") => (number * scale).ceil() / scale,
        Some("floor") => (number * scale).floor() / scale,
        _ if matches!(value, Value::Int(_) | Value::Bool(_)) && precision >= 0 => return Ok(Value::Int(number as i64)),
        // Python rounds the decimal digits of the exact number, half to even.
        _ if precision >= 0 => {
            let places = usize::try_from(precision).unwrap_or(0);
            format!("{number:.places$}").parse().unwrap_or(number)
        }
        _ => (number * scale).round_ties_even() / scale,
    };
    Ok(Value::Float(rounded))
}

/// The field or index that `attribute` names, as in `"function.name"`.
fn attribute(value: &Value, path: &Value, default: Option<&Value>) -> Result<Value, Failure> {
    let mut found = value.clone();
    let keys: Vec<Value> = match path {
        Value::Str(path) => path.as_str().split('.').map(path_part).collect::<Result<_, _>>()?,
        other => vec![other.clone()],
    };
    for key in &keys {
        found = super::expressions::item(&found, key)?;
        if let (true, Some(default)) = (found.is_undefined(), default) {
            found = default.clone();
        }
    }
    Ok(found)
}

fn path_part(part: &str) -> Result<Value, Failure> {
    if !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()) {
        return part.parse().map(Value::Int).map_err(|_| Failure::fault("an index of more than 64 bits"));
    }
    Value::text(part)
}

/// Text in lower case, to be compared by; others as they are.
fn without_case(value: Value, case_sensitive: bool) -> Result<Value, Failure> {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::text(text.to_lowercase()),
        _ => Ok(value),
    }
}

/// A dict's pairs; none for what is not there.
fn pairs(value: &Value) -> Result<Value, Failure> {
    match value {
        Value::Undefined => Value::list(Vec::new()),
        Value::Dict(dict) => methods::items(dict),
        other => Err(Failure::fault(format!("items takes a mapping, not '{}'", other.type_name()))),
    }
}
