//! Operators as Python defines them for the values of a template.

use super::ast::{Arithmetic, Comparison};
use super::budget::{Buffer, Held, step};
use super::format;
use super::value::{List, Value};
use super::{Failure, arguments::integer};
use std::cmp::Ordering;

fn unsupported(operator: Arithmetic, a: &Value, b: &Value) -> Failure {
    let operator = match operator {
        Arithmetic::Add => "+",
        Arithmetic::Sub => "-",
        Arithmetic::Mul => "*",
        Arithmetic::Div => "/",
        Arithmetic::FloorDiv => "//",
        Arithmetic::Mod => "%",
        Arithmetic::Pow => "**",
    };
    let (a, b) = (a.type_name(), b.type_name());
    Failure::fault(format!("unsupported operand types for {operator}: '{a}' and '{b}'"))
}

/// `a operator b`.
pub(super) fn arithmetic(operator: Arithmetic, a: &Value, b: &Value) -> Result<Value, Failure> {
    match (operator, a, b) {
        (Arithmetic::Add, Value::Str(left), Value::Str(right)) => {
            let mut out = Buffer::new();
            out.push_text(left)?;
            out.push_text(right)?;
            Value::written(out)
        }
        (Arithmetic::Add, Value::List(left), Value::List(right)) => Value::list(joined(left, right)?),
        (Arithmetic::Add, Value::Tuple(left), Value::Tuple(right)) => Value::tuple(joined(left, right)?),
        (Arithmetic::Mul, Value::Str(text), count) | (Arithmetic::Mul, count, Value::Str(text)) => {
            let mut out = Buffer::new();
            out.push_times(text, times(count)?)?;
            Value::written(out)
        }
        (Arithmetic::Mul, Value::List(list), count) | (Arithmetic::Mul, count, Value::List(list)) => {
            Value::list(repeated(list, times(count)?)?)
        }
        (Arithmetic::Mul, Value::Tuple(list), count) | (Arithmetic::Mul, count, Value::Tuple(list)) => {
            Value::tuple(repeated(list, times(count)?)?)
        }
        (Arithmetic::Mod, Value::Str(text), values) => format::percent(text, values),
        _ => numbers(operator, a, b),
    }
}

fn times(count: &Value) -> Result<usize, Failure> {
    Ok(usize::try_from(integer(count, "a text or a list can be multiplied by an integer alone: it")?).unwrap_or(0))
}

fn joined(left: &List, right: &List) -> Result<Vec<Value>, Failure> {
    let _while_it_grows = Held::new((left.items.len() + right.items.len()) * size_of::<Value>())?;
    Ok(left.items.iter().chain(&right.items).cloned().collect())
}

fn repeated(list: &List, times: usize) -> Result<Vec<Value>, Failure> {
    let length = list.items.len().saturating_mul(times);
    let _while_it_grows = Held::new(length.saturating_mul(size_of::<Value>()))?;
    step(length as u64)?;
    Ok(list.items.iter().cycle().take(length).cloned().collect())
}

fn numbers(operator: Arithmetic, a: &Value, b: &Value) -> Result<Value, Failure> {
    let by_zero = || Failure::fault("division by zero");
    if let (Some(left), Some(right)) = (a.as_int(), b.as_int()) {
        let result = match operator {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Sub => left.checked_sub(right),
            Arithmetic::Mul => left.checked_mul(right),
            Arithmetic::Div if right == 0 => return Err(by_zero()),
            Arithmetic::Div => return Ok(Value::Float(left as f64 / right as f64)),
            Arithmetic::FloorDiv | Arithmetic::Mod if right == 0 => return Err(by_zero()),
            Arithmetic::FloorDiv => left.checked_div_euclid(right).map(|quotient| {
                // Euclid's quotient is Python's for positive divisors, and one more for others with a remainder.
                if right < 0 && left.rem_euclid(right) != 0 { quotient - 1 } else { quotient }
            }),
            Arithmetic::Mod => left.checked_rem(right).map(|remainder| {
                if remainder != 0 && (remainder < 0) != (right < 0) { remainder + right } else { remainder }
            }),
            Arithmetic::Pow if right < 0 => return Ok(Value::Float((left as f64).powf(right as f64))),
            Arithmetic::Pow => u32::try_from(right).ok().and_then(|exponent| left.checked_pow(exponent)),
        };
        return result.map(Value::Int).ok_or_else(|| Failure::fault("an integer of more than 64 bits"));
    }
    let (Some(left), Some(right)) = (a.as_float(), b.as_float()) else { return Err(unsupported(operator, a, b)) };
    let floor_mod = |a: f64, b: f64| {
        let remainder = a % b;
        if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
    };
    Ok(Value::Float(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Sub => left - right,
        Arithmetic::Mul => left * right,
        Arithmetic::Pow => left.powf(right),
        _ if right == 0.0 => return Err(by_zero()),
        Arithmetic::Div => left / right,
        Arithmetic::FloorDiv => ((left - floor_mod(left, right)) / right).round(),
        Arithmetic::Mod => floor_mod(left, right),
    }))
}

/// `a comparison b`.
pub(super) fn compare(comparison: Comparison, a: &Value, b: &Value) -> Result<bool, Failure> {
    let ordered = |wanted: &[Ordering]| Ok(a.order(b)?.is_some_and(|order| wanted.contains(&order)));
    match comparison {
        Comparison::Equal => a.equals(b),
        Comparison::NotEqual => Ok(!a.equals(b)?),
        Comparison::Less => ordered(&[Ordering::Less]),
        Comparison::LessEqual => ordered(&[Ordering::Less, Ordering::Equal]),
        Comparison::Greater => ordered(&[Ordering::Greater]),
        Comparison::GreaterEqual => ordered(&[Ordering::Greater, Ordering::Equal]),
        Comparison::In => contains(b, a),
        Comparison::NotIn => Ok(!contains(b, a)?),
    }
}

/// `item in container`.
pub(super) fn contains(container: &Value, item: &Value) -> Result<bool, Failure> {
    match (container, item) {
        (Value::Undefined, _) => Ok(false),
        (Value::Str(text), Value::Str(part)) => {
            step((text.as_str().len() / 256) as u64)?;
            Ok(text.as_str().contains(part.as_str()))
        }
        (Value::Str(_), other) => {
            Err(Failure::fault(format!("'in <string>' requires string as left operand, not {}", other.type_name())))
        }
        (Value::Dict(dict), key) => Ok(dict.get(key)?.is_some()),
        (Value::List(list) | Value::Tuple(list), item) => {
            for other in &list.items {
                if other.equals(item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (other, _) => Err(Failure::fault(format!("argument of type '{}' is not iterable", other.type_name()))),
    }
}

/// `-value`.
pub(super) fn negative(value: &Value) -> Result<Value, Failure> {
    match value {
        Value::Float(number) => Ok(Value::Float(-number)),
        other => {
            let wrong = || Failure::fault(format!("bad operand type for unary -: '{}'", other.type_name()));
            Ok(Value::Int(other.as_int().and_then(i64::checked_neg).ok_or_else(wrong)?))
        }
    }
}

/// Start and end of a slice that leaves nothing out.
fn slice_bounds(length: usize, [start, stop, _]: [Option<i64>; 3]) -> Result<std::ops::Range<usize>, Failure> {
    let length = i64::try_from(length).map_err(|_| Failure::fault("the text is too long"))?;
    let bound = |index: i64| if index < 0 { index.saturating_add(length).max(0) } else { index.min(length) };
    let place = |index: i64| usize::try_from(bound(index)).unwrap_or(0);
    Ok(place(start.unwrap_or(0))..place(stop.unwrap_or(length)))
}

/// The indices of a slice of something of this length, as Python counts them.
fn slice_indices(length: usize, [start, stop, stride]: [Option<i64>; 3]) -> Result<Vec<usize>, Failure> {
    let stride = stride.unwrap_or(1);
    if stride == 0 {
        return Err(Failure::fault("slice step cannot be zero"));
    }
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if stride > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |index: Option<i64>, default: i64| match index {
        None => default,
        Some(index) if index < 0 => index.saturating_add(length).clamp(low, high),
        Some(index) => index.clamp(low, high),
    };
    let (first, end) = if stride > 0 { (0, length) } else { (length - 1, -1) };
    let (mut at, stop) = (bound(start, first), bound(stop, end));
    let mut indices = Vec::new();
    while if stride > 0 { at < stop } else { at > stop } {
        indices.extend(usize::try_from(at));
        at = at.saturating_add(stride);
    }
    Ok(indices)
}

/// `value[start:stop:stride]`.
pub(super) fn slice(value: &Value, bounds: [Option<i64>; 3]) -> Result<Value, Failure> {
    match value {
        Value::Str(text) if matches!(bounds[2], None | Some(1)) => {
            let whole = text.as_str();
            let indices = slice_bounds(whole.chars().count(), bounds)?;
            let byte = |index| whole.char_indices().nth(index).map_or(whole.len(), |(place, _)| place);
            step((whole.len() / 256) as u64)?;
            text.part(if indices.start < indices.end { &whole[byte(indices.start)..byte(indices.end)] } else { "" })
        }
        Value::Str(text) => {
            let _while_it_is_cut = Held::new(text.as_str().len() * (size_of::<char>() + size_of::<usize>()))?;
            let chars: Vec<char> = text.as_str().chars().collect();
            let part: String = slice_indices(chars.len(), bounds)?.into_iter().map(|index| chars[index]).collect();
            text.altered(part)
        }
        Value::List(list) | Value::Tuple(list) => {
            let _while_it_is_cut = Held::new(list.items.len() * (size_of::<Value>() + size_of::<usize>()))?;
            let indices = slice_indices(list.items.len(), bounds)?;
            let items = indices.into_iter().map(|index| list.items[index].clone()).collect();
            if matches!(value, Value::List(_)) { Value::list(items) } else { Value::tuple(items) }
        }
        _ => Ok(Value::Undefined),
    }
}
