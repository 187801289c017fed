//! A JSON object whose fields are asked for by name. Errors carry the path, and fields that nothing asked for are known.

use super::super::ConfigError;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashSet;

pub(super) struct Fields<'a> {
    path: &'static str,
    map: &'a Map<String, Value>,
    asked: RefCell<HashSet<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(path: &'static str, value: &'a Value) -> Result<Self, ConfigError> {
        let map = value.as_object().ok_or_else(|| ConfigError::invalid(path, short(value), "a JSON object"))?;
        Ok(Fields { path, map, asked: RefCell::default() })
    }

    pub(super) fn field(&self, name: &str) -> String {
        format!("{}: {name}", self.path)
    }

    /// The value, unless it is missing or null.
    pub(super) fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether it says that there is no value.
    pub(super) fn is_null(&self, name: &'static str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    /// Refuses a field of these that says something and that nothing asked for.
    pub(super) fn refuse_unasked(&self, names: &[&str]) -> Result<(), ConfigError> {
        for name in names.iter().filter(|name| !self.asked.borrow().contains(**name)) {
            if let Some(value) = self.map.get(*name).filter(|value| !is_neutral(value)) {
                let supported = "models of this family without it";
                return Err(ConfigError::Unsupported { field: self.field(name), value: short(value), supported });
            }
        }
        Ok(())
    }

    pub(super) fn parse<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| ConfigError::invalid(self.field(name), short(value), expected))
    }

    pub(super) fn size(&self, name: &'static str) -> Result<Option<usize>, ConfigError> {
        self.parse(name, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    pub(super) fn need_size(&self, name: &'static str) -> Result<usize, ConfigError> {
        self.size(name)?.ok_or_else(|| ConfigError::Missing { field: self.field(name), expected: "a whole number" })
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Option<f64>, ConfigError> {
        self.parse(name, "a number", Value::as_f64)
    }

    pub(super) fn need_number(&self, name: &'static str) -> Result<f64, ConfigError> {
        self.number(name)?.ok_or_else(|| ConfigError::Missing { field: self.field(name), expected: "a number" })
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, ConfigError> {
        Ok(self.parse(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<&'a str>, ConfigError> {
        self.parse(name, "a string", Value::as_str)
    }

    pub(super) fn list(&self, name: &'static str) -> Result<Option<&'a Vec<Value>>, ConfigError> {
        self.parse(name, "a list", Value::as_array)
    }

    pub(super) fn token(&self, name: &'static str) -> Result<Option<u32>, ConfigError> {
        self.parse(name, "a token id", token)
    }

    /// One token id or a list of them.
    pub(super) fn tokens(&self, name: &'static str) -> Result<Vec<u32>, ConfigError> {
        let parse = |value: &Value| match value {
            Value::Array(list) => list.iter().map(token).collect(),
            one => token(one).map(|id| vec![id]),
        };
        Ok(self.parse(name, "a token id or a list of token ids", parse)?.unwrap_or_default())
    }
}

fn token(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

/// What a field holds that asks for nothing: none, no, 0 and 1, an empty list.
fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64().is_some_and(|number| number == 0.0 || number == 1.0),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// A value for an error message: enough to recognize it.
pub(super) fn short(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
