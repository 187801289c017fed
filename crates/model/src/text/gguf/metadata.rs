//! GGUF metadata with its types checked.

use crate::TextError;
use crate::gguf::{Content, Value};

/// The metadata of a GGUF file.
pub(super) struct Metadata<'a>(pub(super) &'a Content);

impl<'a> Metadata<'a> {
    pub(super) fn string(&self, key: &'static str) -> Result<&'a str, TextError> {
        self.optional_string(key)?.ok_or_else(|| TextError::field(key, "there: a string"))
    }

    pub(super) fn optional_string(&self, key: &'static str) -> Result<Option<&'a str>, TextError> {
        self.optional(key, "a string", Value::as_str)
    }

    pub(super) fn strings(&self, key: &'static str) -> Result<Vec<&'a str>, TextError> {
        let found = self.optional(key, "a list of strings", |value| list(value, Value::as_str))?;
        found.ok_or_else(|| TextError::field(key, "there: a list of strings"))
    }

    pub(super) fn optional_numbers(&self, key: &'static str) -> Result<Option<Vec<f32>>, TextError> {
        self.optional(key, "a list of numbers", |value| {
            list(value, |item| match item {
                Value::F32(x) => Some(*x),
                Value::F64(x) => Some(*x as f32),
                other => as_u32(other).map(|x| x as f32),
            })
        })
    }

    pub(super) fn optional_u32(&self, key: &'static str) -> Result<Option<u32>, TextError> {
        // -1, also as an unsigned number, is how some writers say that there is none.
        let absent = |value: &Value| matches!(value, Value::I32(-1) | Value::I64(-1) | Value::U32(u32::MAX));
        if self.0.metadata.get(key).is_some_and(absent) {
            return Ok(None);
        }
        self.optional(key, "a token id", as_u32)
    }

    pub(super) fn optional_bool(&self, key: &'static str) -> Result<Option<bool>, TextError> {
        self.optional(key, "true or false", Value::as_bool)
    }

    fn optional<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, TextError> {
        let read = |value| read(value).ok_or_else(|| TextError::field(key, expected));
        self.0.metadata.get(key).map(read).transpose()
    }
}

fn list<'a, T>(value: &'a Value, item: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(item).collect()
}

/// Any integer type that writers use for ids and token types.
fn as_u32(value: &Value) -> Option<u32> {
    match *value {
        Value::U8(x) => Some(x.into()),
        Value::U16(x) => Some(x.into()),
        Value::U32(x) => Some(x),
        Value::U64(x) => x.try_into().ok(),
        Value::I8(x) => x.try_into().ok(),
        Value::I16(x) => x.try_into().ok(),
        Value::I32(x) => x.try_into().ok(),
        Value::I64(x) => x.try_into().ok(),
        _ => None,
    }
}
