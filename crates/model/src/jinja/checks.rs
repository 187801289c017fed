//! Jinja2's tests: what follows `is`.

use super::Failure;
use super::arguments::{Arguments, integer};
use super::ast::Comparison;
use super::methods;
use super::operators::{compare, contains};
use super::value::Value;

/// Whether there is a test of this name.
pub(super) fn is_known(name: &str) -> bool {
    WITHOUT.contains(&name) || WITH.contains(&name)
}

const WITHOUT: [&str; 21] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "true",
    "false",
    "integer",
    "float",
    "number",
    "string",
    "sequence",
    "mapping",
    "iterable",
    "callable",
    "even",
    "odd",
    "lower",
    "upper",
    "escaped",
    "filter",
    "test",
];
const WITH: [&str; 20] = [
    "divisibleby",
    "sameas",
    "in",
    "eq",
    "equalto",
    "==",
    "ne",
    "!=",
    "lt",
    "lessthan",
    "<",
    "le",
    "<=",
    "gt",
    "greaterthan",
    ">",
    "ge",
    ">=",
    "filter",
    "test",
];

/// `value is name(arguments)`.
pub(super) fn check(value: &Value, name: &str, arguments: Arguments) -> Result<bool, Failure> {
    if !is_known(name) {
        return Err(Failure::fault(format!("no test named '{name}'")));
    }
    if WITH.contains(&name) && !matches!(name, "filter" | "test") {
        let [other] = arguments.bind(name, ["other"])?;
        let other = other.ok_or_else(|| Failure::fault(format!("the test '{name}' takes an argument")))?;
        return check_against(value, name, &other);
    }
    arguments.none(name)?;
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.as_float().is_some(),
        "string" => value.as_str().is_some(),
        "sequence" => {
            matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Undefined)
        }
        "mapping" => matches!(value, Value::Dict(_)),
        "iterable" => value.is_iterable(),
        "callable" => matches!(value, Value::Macro(_) | Value::Function(_) | Value::Method(_) | Value::Loop(_)),
        "even" | "odd" => {
            let remainder = integer(value, "the value")?.rem_euclid(2);
            (remainder == 0) == (name == "even")
        }
        "lower" | "upper" => {
            let text = super::print::str_of(value)?;
            let question = if name == "lower" { "islower" } else { "isupper" };
            methods::question(text.as_str().unwrap_or(""), question).unwrap_or(false)
        }
        "filter" => value.as_str().is_some_and(super::filters::is_known),
        "test" => value.as_str().is_some_and(is_known),
        _ => false,
    })
}

fn check_against(value: &Value, name: &str, other: &Value) -> Result<bool, Failure> {
    let comparison = match name {
        "divisibleby" => {
            let divisor = integer(other, "the divisor")?;
            let divides = integer(value, "the value")?.checked_rem(divisor);
            return divides.map(|rest| rest == 0).ok_or_else(|| Failure::fault("division by zero"));
        }
        "in" => return contains(other, value),
        "sameas" => return Ok(value.type_name() == other.type_name() && value.equals(other)?),
        "eq" | "equalto" | "==" => Comparison::Equal,
        "ne" | "!=" => Comparison::NotEqual,
        "lt" | "lessthan" | "<" => Comparison::Less,
        "le" | "<=" => Comparison::LessEqual,
        "gt" | "greaterthan" | ">" => Comparison::Greater,
        _ => Comparison::GreaterEqual,
    };
    compare(comparison, value, other)
}
