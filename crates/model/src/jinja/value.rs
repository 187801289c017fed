//! The values of a template: Python's, as far as templates meet them.

use super::Failure;
use super::budget::{Buffer, Held, Said, step};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;

/// A value. Lists and dicts never change, as in the sandbox of transformers; namespaces and macros live in the
/// interpreter, so values have no cycles.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// What a name or a field that is not there stands for.
    Undefined,
    None,
    Bool(bool),
    /// Python's integers have no bound; here one that needs more than 64 bits is an error.
    Int(i64),
    Float(f64),
    Str(Rc<Text>),
    List(Rc<List>),
    Tuple(Rc<List>),
    Dict(Rc<Dict>),
    /// Its number in the interpreter.
    Namespace(usize),
    /// Its number in the interpreter.
    Macro(usize),
    Loop(Rc<Loop>),
    /// A global function, by its name.
    Function(&'static str),
    /// A method of a value that was not called yet.
    Method(Rc<(Value, &'static str)>),
}

/// A text that knows which of its bytes a client said.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    said: Said,
    _held: Held,
}

/// A list or a tuple.
#[derive(Debug)]
pub(crate) struct List {
    pub(super) items: Vec<Value>,
    depth: u32,
    _held: Held,
}

/// A dict, in the order of its making.
#[derive(Debug)]
pub(crate) struct Dict {
    pub(super) entries: Vec<(Value, Value)>,
    depth: u32,
    _held: Held,
}

/// What `loop` stands for in a loop's body.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(super) items: Rc<List>,
    /// Of the item under way.
    pub(super) index: usize,
    /// Loops around this one that called themselves.
    pub(super) depth: usize,
    /// The statement's number in the interpreter, if it may call itself.
    pub(super) recursive: Option<usize>,
    /// What `loop.changed` was called with last.
    pub(super) changed: Rc<RefCell<Option<Value>>>,
}

/// Bytes of an allocation besides its content, about.
const OVERHEAD: usize = 64;
/// Levels of lists and dicts in each other. Printing, comparing and freeing walk them one within the other.
const NESTING: u32 = 256;

impl Text {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a client said part of it.
    pub(super) fn is_said(&self) -> bool {
        !self.said.is_empty()
    }

    /// What a client said of a part, from the part's start on.
    pub(super) fn said_within(&self, part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self.said.partition_point(|said| said.end <= part.start);
        let within = self.said[first..].iter().take_while(move |said| said.start < part.end);
        within.map(move |said| said.start.max(part.start) - part.start..said.end.min(part.end) - part.start)
    }

    /// A part, given as a slice of [`as_str`](Self::as_str).
    pub(super) fn part(&self, part: &str) -> Result<Value, Failure> {
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        let mut out = Buffer::new();
        out.push_part(self, start..(start + part.len()).min(self.text.len()))?;
        Value::written(out)
    }

    /// What was made of it in another way: wholly a client's, if any of it was.
    pub(super) fn altered(&self, text: String) -> Result<Value, Failure> {
        if self.is_said() { Value::said(text) } else { Value::text(text) }
    }
}

fn nested<'a>(values: impl Iterator<Item = &'a Value>) -> Result<u32, Failure> {
    let depth = |value: &Value| match value {
        Value::List(list) | Value::Tuple(list) => list.depth,
        Value::Dict(dict) => dict.depth,
        Value::Method(method) => nested(std::iter::once(&method.0)).unwrap_or(NESTING),
        _ => 0,
    };
    let depth = values.map(depth).max().unwrap_or(0) + 1;
    if depth > NESTING { Err(Failure::Budget("its values are too deep in each other")) } else { Ok(depth) }
}

impl List {
    pub(super) fn new(items: Vec<Value>) -> Result<Rc<Self>, Failure> {
        let held = Held::new(items.capacity() * size_of::<Value>() + OVERHEAD)?;
        Ok(Rc::new(List { depth: nested(items.iter())?, items, _held: held }))
    }
}

impl Dict {
    /// A dict of these entries; of several with one key, the last one counts, at the first one's place.
    pub(super) fn new(entries: Vec<(Value, Value)>) -> Result<Rc<Self>, Failure> {
        let held = Held::new(entries.capacity() * size_of::<(Value, Value)>() + OVERHEAD)?;
        let mut distinct: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match find(&distinct, &key)? {
                Some(place) => distinct[place].1 = value,
                None => distinct.push((key, value)),
            }
        }
        let depth = nested(distinct.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Rc::new(Dict { depth, entries: distinct, _held: held }))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Value) -> Result<Option<&Value>, Failure> {
        Ok(find(&self.entries, key)?.map(|place| &self.entries[place].1))
    }

    /// The value of a key that is a text.
    pub(super) fn field(&self, name: &str) -> Result<Option<&Value>, Failure> {
        step((self.entries.len() / 8) as u64)?;
        Ok(self.entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value))
    }

    pub(super) fn keys(&self) -> Result<Value, Failure> {
        Value::list(self.entries.iter().map(|(key, _)| key.clone()).collect())
    }
}

fn find(entries: &[(Value, Value)], key: &Value) -> Result<Option<usize>, Failure> {
    step((entries.len() / 8) as u64)?;
    for (place, (known, _)) in entries.iter().enumerate() {
        if known.equals(key)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

impl Value {
    /// A text of the template's. It is not longer than about what it was made of; others go through a [`Buffer`].
    pub(crate) fn text(text: impl Into<String>) -> Result<Self, Failure> {
        Self::new_text(text.into(), Said::new())
    }

    /// A text that a client said.
    pub(crate) fn said(text: impl Into<String>) -> Result<Self, Failure> {
        let text = text.into();
        let whole = Some(0..text.len()).filter(|whole| !whole.is_empty());
        Self::new_text(text, whole.into_iter().collect())
    }

    fn new_text(text: String, said: Said) -> Result<Self, Failure> {
        let _held = Held::new(text.len() + OVERHEAD)?;
        Ok(Value::Str(Rc::new(Text { text, said, _held })))
    }

    /// What was written into a buffer.
    pub(super) fn written(buffer: Buffer) -> Result<Self, Failure> {
        let (text, said, mut held) = buffer.into_parts();
        held.grow(OVERHEAD)?;
        Ok(Value::Str(Rc::new(Text { text, said, _held: held })))
    }

    pub(crate) fn list(items: Vec<Value>) -> Result<Self, Failure> {
        Ok(Value::List(List::new(items)?))
    }

    pub(super) fn tuple(items: Vec<Value>) -> Result<Self, Failure> {
        Ok(Value::Tuple(List::new(items)?))
    }

    pub(crate) fn dict(entries: Vec<(Value, Value)>) -> Result<Self, Failure> {
        Ok(Value::Dict(Dict::new(entries)?))
    }

    pub(super) fn length(length: usize) -> Self {
        Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
    }

    /// JSON that a client said, as Python's `json.loads` reads it.
    pub(crate) fn from_json(json: &Json) -> Result<Self, Failure> {
        step(1)?;
        Ok(match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Float(number.as_f64().unwrap_or(f64::INFINITY)),
            },
            Json::String(text) => Value::said(text.as_str())?,
            Json::Array(items) => Value::list(items.iter().map(Value::from_json).collect::<Result<_, _>>()?)?,
            Json::Object(fields) => {
                let entry = |(key, value): (&String, &Json)| Ok((Value::said(key.as_str())?, Value::from_json(value)?));
                Value::dict(fields.iter().map(entry).collect::<Result<_, Failure>>()?)?
            }
        })
    }

    /// The text, if it is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The text with what a client said of it, if it is one.
    pub(super) fn as_text(&self) -> Option<&Text> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer or a boolean.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            other => other.as_int().map(|number| number as f64),
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined)
    }

    /// The name of its type, as Python has it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Namespace(_) => "Namespace",
            Value::Macro(_) => "Macro",
            Value::Loop(_) => "LoopContext",
            Value::Function(_) => "function",
            Value::Method(_) => "builtin_function_or_method",
        }
    }

    /// Python's `bool(value)`.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Undefined | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) => !text.text.is_empty(),
            Value::List(list) | Value::Tuple(list) => !list.items.is_empty(),
            Value::Dict(dict) => !dict.entries.is_empty(),
            _ => true,
        }
    }

    /// Python's `len(value)`.
    pub(super) fn len(&self) -> Result<usize, Failure> {
        match self {
            Value::Undefined => Ok(0),
            Value::Str(text) => {
                step((text.text.len() / 256) as u64)?;
                Ok(text.text.chars().count())
            }
            Value::List(list) | Value::Tuple(list) => Ok(list.items.len()),
            Value::Dict(dict) => Ok(dict.entries.len()),
            Value::Loop(state) => Ok(state.items.items.len()),
            other => Err(Failure::fault(format!("object of type '{}' has no len()", other.type_name()))),
        }
    }

    /// What a loop over the value goes through: a text's characters, a dict's keys.
    pub(super) fn iterate(&self) -> Result<Rc<List>, Failure> {
        match self {
            Value::Undefined => List::new(Vec::new()),
            Value::List(list) | Value::Tuple(list) => Ok(Rc::clone(list)),
            Value::Dict(dict) => List::new(dict.entries.iter().map(|(key, _)| key.clone()).collect()),
            Value::Str(text) => {
                let characters = text.text.char_indices().map(|(place, c)| {
                    step(1)?;
                    text.part(&text.text[place..place + c.len_utf8()])
                });
                List::new(characters.collect::<Result<_, _>>()?)
            }
            other => Err(Failure::fault(format!("'{}' object is not iterable", other.type_name()))),
        }
    }

    pub(super) fn is_iterable(&self) -> bool {
        matches!(
            self,
            Value::Undefined | Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Loop(_)
        )
    }

    /// Python's `==`.
    pub(super) fn equals(&self, other: &Value) -> Result<bool, Failure> {
        step(1)?;
        Ok(match (self, other) {
            (Value::Undefined, Value::Undefined) | (Value::None, Value::None) => true,
            (Value::Str(a), Value::Str(b)) => Rc::ptr_eq(a, b) || a.text == b.text,
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                if Rc::ptr_eq(a, b) {
                    return Ok(true);
                }
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if Rc::ptr_eq(a, b) {
                    return Ok(true);
                }
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, value) in &a.entries {
                    match b.get(key)? {
                        Some(other) if value.equals(other)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Namespace(a), Value::Namespace(b)) | (Value::Macro(a), Value::Macro(b)) => a == b,
            (Value::Function(a), Value::Function(b)) => a == b,
            (a, b) => match (a.as_int(), b.as_int()) {
                (Some(a), Some(b)) => a == b,
                _ => matches!((a.as_float(), b.as_float()), (Some(a), Some(b)) if a == b),
            },
        })
    }

    /// Python's order of numbers, texts, lists and tuples; others have none.
    pub(super) fn order(&self, other: &Value) -> Result<Option<Ordering>, Failure> {
        step(1)?;
        match (self, other) {
            (Value::Str(a), Value::Str(b)) => Ok(Some(a.text.cmp(&b.text))),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b)? {
                        return a.order(b);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            (a, b) => match (a.as_int(), b.as_int(), a.as_float(), b.as_float()) {
                (Some(a), Some(b), ..) => Ok(Some(a.cmp(&b))),
                (.., Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => {
                    let types = format!("'{}' and '{}'", a.type_name(), b.type_name());
                    Err(Failure::fault(format!("{types} have no order")))
                }
            },
        }
    }
}
