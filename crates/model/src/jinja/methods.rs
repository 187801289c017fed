//! Methods of Python's strings and dicts, and the fields of `loop`. Those that change a list or a dict are refused, as in
//! the sandbox of transformers.

mod text;

pub(super) use text::{capitalized, question, replaced, stripped};

use super::Failure;
use super::arguments::{Arguments, integer};
use super::value::{Dict, Loop, Value};
use std::rc::Rc;

const OF_DICTS: [&str; 5] = ["get", "items", "keys", "values", "copy"];
const OF_LISTS: [&str; 3] = ["count", "index", "copy"];
const OF_LOOPS: [&str; 2] = ["cycle", "changed"];
/// What would change the value that a template was given.
const REFUSED: [&str; 13] = [
    "append",
    "clear",
    "pop",
    "popitem",
    "reverse",
    "insert",
    "sort",
    "extend",
    "remove",
    "setdefault",
    "update",
    "format_map",
    "__class__",
];

fn known(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().copied().find(|known| *known == name)
}

/// The method of this name, if the value has it.
pub(super) fn find(value: &Value, name: &str) -> Result<Option<Value>, Failure> {
    let (methods, refused): (&[&'static str], bool) = match value {
        Value::Str(_) => (&text::METHODS, false),
        Value::Dict(_) => (&OF_DICTS, true),
        Value::List(_) => (&OF_LISTS, true),
        Value::Tuple(_) => (&OF_LISTS[..2], false),
        Value::Loop(_) => (&OF_LOOPS, false),
        _ => return Ok(None),
    };
    if refused && REFUSED.contains(&name) {
        return Err(Failure::fault(format!("the method '{name}' of a {} may not be called", value.type_name())));
    }
    Ok(known(methods, name).map(|name| Value::Method(Rc::new((value.clone(), name)))))
}

/// `value.name(arguments)`.
pub(super) fn call(value: &Value, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    match value {
        Value::Str(text) => text::call(text, name, arguments),
        Value::Dict(dict) => of_dict(dict, name, arguments),
        Value::List(list) | Value::Tuple(list) => of_list(value, &list.items, name, arguments),
        Value::Loop(state) => of_loop(state, name, arguments),
        other => Err(Failure::fault(format!("'{}' has no method '{name}'", other.type_name()))),
    }
}

fn of_dict(dict: &Rc<Dict>, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    if name == "get" {
        let [key, default] = arguments.bind(name, ["key", "default"])?;
        let key = key.ok_or_else(|| Failure::fault("get takes a key"))?;
        return Ok(dict.get(&key)?.cloned().or(default).unwrap_or(Value::None));
    }
    arguments.none(name)?;
    match name {
        "keys" => dict.keys(),
        "values" => Value::list(dict.entries.iter().map(|(_, value)| value.clone()).collect()),
        "items" => items(dict),
        _ => Ok(Value::Dict(Rc::clone(dict))),
    }
}

/// Pairs of keys and values.
pub(super) fn items(dict: &Dict) -> Result<Value, Failure> {
    let pair = |(key, value): &(Value, Value)| Value::tuple(vec![key.clone(), value.clone()]);
    Value::list(dict.entries.iter().map(pair).collect::<Result<_, _>>()?)
}

fn of_list(list: &Value, items: &[Value], name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    if name == "copy" {
        arguments.none(name)?;
        return Ok(list.clone());
    }
    let [item] = arguments.bind(name, ["value"])?;
    let item = item.ok_or_else(|| Failure::fault(format!("{name} takes a value")))?;
    let mut count = 0;
    for (index, other) in items.iter().enumerate() {
        if other.equals(&item)? {
            if name == "index" {
                return Ok(Value::length(index));
            }
            count += 1;
        }
    }
    if name == "index" { Err(Failure::fault("the value is not in the list")) } else { Ok(Value::Int(count)) }
}

/// A field of `loop`.
pub(super) fn loop_field(state: &Loop, name: &str) -> Option<Value> {
    let items = &state.items.items;
    let at = |index: Option<usize>| index.and_then(|index| items.get(index)).cloned().unwrap_or(Value::Undefined);
    let (index, left) = (state.index, items.len() - state.index);
    Some(match name {
        "index" => Value::length(index + 1),
        "index0" => Value::length(index),
        "revindex" => Value::length(left),
        "revindex0" => Value::length(left - 1),
        "first" => Value::Bool(index == 0),
        "last" => Value::Bool(left == 1),
        "length" => Value::length(items.len()),
        "previtem" => at(index.checked_sub(1)),
        "nextitem" => at(index.checked_add(1)),
        "depth" => Value::length(state.depth + 1),
        "depth0" => Value::length(state.depth),
        _ => return None,
    })
}

fn of_loop(state: &Loop, name: &'static str, arguments: Arguments) -> Result<Value, Failure> {
    let values = arguments.positional;
    if name == "cycle" {
        let Some(count) = values.len().checked_sub(1) else { return Err(Failure::fault("no items for cycling given")) };
        return Ok(values[state.index % (count + 1)].clone());
    }
    let now = Value::tuple(values)?;
    let last = state.changed.replace(Some(now.clone()));
    Ok(Value::Bool(match last {
        Some(last) => !last.equals(&now)?,
        None => true,
    }))
}

/// Start and end of a search, in characters.
fn bounds(start: Option<&Value>, end: Option<&Value>, length: usize) -> Result<(usize, usize), Failure> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |value: Option<&Value>, default: i64| -> Result<usize, Failure> {
        let index = match value {
            None | Some(Value::None) => default,
            Some(value) => integer(value, "an index")?,
        };
        let index = if index < 0 { index.saturating_add(length) } else { index };
        Ok(usize::try_from(index.clamp(0, length)).unwrap_or(0))
    };
    Ok((place(start, 0)?, place(end, length)?))
}
