//! Values of a GGUF file's metadata by the name of its architecture. Keys that nothing asked for are known.

use super::super::ConfigError;
use crate::gguf::Value;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// Keys that do not change what is computed of text.
const HARMLESS: [&str; 6] = [
    "attention.layer_norm_epsilon",
    "features_length",
    "rope.dimension_sections",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "vocab_size",
];
/// Beginnings of keys of the parts of a model that see and hear.
const OTHER_INPUTS: [&str; 3] = ["vision.", "audio.", "mm."];

pub(crate) struct Metadata<'a> {
    pub(crate) values: &'a HashMap<String, Value>,
    /// `general.architecture`.
    pub(crate) architecture: &'a str,
    asked: RefCell<HashSet<String>>,
}

impl<'a> Metadata<'a> {
    pub(crate) fn new(values: &'a HashMap<String, Value>) -> Result<Self, ConfigError> {
        const NAME: &str = "general.architecture";
        let named = values.get(NAME).ok_or_else(|| ConfigError::missing(NAME))?;
        let architecture = named.as_str().ok_or_else(|| ConfigError::invalid(NAME, format!("{named:?}"), "a name"))?;
        Ok(Metadata { values, architecture, asked: RefCell::default() })
    }

    /// The whole name of a key of the architecture, such as `llama.block_count`.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn get<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let key = self.name(key);
        self.asked.borrow_mut().insert(key.clone());
        let Some(value) = self.values.get(&key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| ConfigError::invalid(&key, format!("{value:?}"), expected))
    }

    /// A size, or a list with the same size for every layer.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.get(key, "a number", |value| match value.as_array() {
            Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => whole(first),
            Some(_) => None,
            None => whole(value),
        })
    }

    pub(super) fn needed(&self, key: &str) -> Result<usize, ConfigError> {
        self.size(key)?.ok_or_else(|| ConfigError::missing(self.name(key)))
    }

    /// A size of each layer: a list, or one for all.
    pub(super) fn sizes(&self, key: &str, layers: usize) -> Result<Option<Vec<usize>>, ConfigError> {
        self.get(key, "a number for each layer", |value| match value.as_array() {
            Some(list) if list.len() >= layers => list[..layers].iter().map(whole).collect(),
            Some(_) => None,
            None => Some(vec![whole(value)?; layers]),
        })
    }

    /// A flag of each layer.
    pub(super) fn flags(&self, key: &str, layers: usize) -> Result<Option<Vec<bool>>, ConfigError> {
        Ok(self.sizes(key, layers)?.map(|flags| flags.into_iter().map(|flag| flag != 0).collect()))
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(&self.name(key))
    }

    /// Whether a key holds a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.values.get(&self.name(key)).is_some_and(|value| value.as_array().is_some())
    }

    /// A number other than 0, which is written where there is none. In f64 as it was meant: 1e-5 in 32 bits is
    /// 9.99999974e-6.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        Ok(self.get(key, "a number", decimal)?.filter(|number| *number != 0.0))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.get(key, "true or false", Value::as_bool)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        self.get(key, "a string", Value::as_str)
    }

    /// Refuses keys of the architecture that say something and that nothing asked for: they would change what is
    /// computed.
    pub(super) fn refuse_unasked(&self) -> Result<(), ConfigError> {
        let of_text = |key: &str| {
            let own = key.strip_prefix(self.architecture)?.strip_prefix('.')?;
            let harmless = HARMLESS.contains(&own) || OTHER_INPUTS.iter().any(|prefix| own.starts_with(prefix));
            (!harmless).then_some(())
        };
        let asked = self.asked.borrow();
        let unasked =
            |(key, value): &(&String, &Value)| of_text(key).is_some() && !asked.contains(*key) && !is_neutral(value);
        match self.values.iter().filter(unasked).min_by_key(|(key, _)| *key) {
            None => Ok(()),
            Some((key, value)) => {
                Err(ConfigError::invalid(key, short(value), "none: it would change what is computed, and is not known"))
            }
        }
    }
}

/// What a key holds that asks for nothing: no, 0 and 1, nothing.
fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.iter().all(is_neutral),
        number => decimal(number).is_some_and(|number| number == 0.0 || number == 1.0),
    }
}

/// A value for an error message: enough to recognize it.
fn short(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::String(text) => format!("\"{}\"", text.chars().take(80).collect::<String>()),
        number => decimal(number).map_or_else(|| format!("{number:?}"), |number| number.to_string()),
    }
}

fn whole(value: &Value) -> Option<usize> {
    Some(usize::try_from(value.as_number()?).unwrap_or(usize::MAX))
}

/// Any number; one of 32 bits as it prints.
fn decimal(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(value) => Some(value.to_string().parse().unwrap_or(f64::from(value))),
        Value::F64(value) => Some(value),
        ref other => whole(other).map(|value| value as f64),
    }
}
