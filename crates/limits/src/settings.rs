//! Limits as settings: keys and values.
//!
//! A settings file, `gogrid limits set` and the page use the same form: a flat list of [`Key`]s with values as text,
//! checked in one place. The file holds only what differs from the preset, so that a better preset in a later version
//! reaches every donor who did not change it. In the file, values may also be TOML's own numbers, flags and lists.

use crate::{
    Limits, Preset,
    key::{BoundKind, DEFAULT, KEYS, Key, TomlKind},
    value::{NONE, ValueError},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{collections::BTreeMap, fmt::Write as _};
use toml::{Table, Value};

/// An unknown name gets a suggestion that is at least this similar (Jaro-Winkler): a letter more or less, two swapped, `_`
/// for `-`. Case does not count.
const MIN_SIMILARITY: f64 = 0.85;

/// Why limits are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// There is no such key.
    #[error("there is no limit {key:?}{}; the limits are {}", did_you_mean(*.close), names())]
    UnknownKey {
        /// What was asked for.
        key: String,
        /// The key that was probably meant.
        close: Option<&'static str>,
    },
    /// The key does not take this value.
    #[error("{key} = {value} is {problem}: {range}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: ValueError,
        /// The values that the key takes.
        range: &'static str,
    },
    /// The file is not TOML.
    #[error("the settings are no TOML")]
    Toml(#[source] Box<toml::de::Error>),
    /// Laxer than the machine's administrator allows.
    #[error("{}", refusal(key, value, bound, by))]
    Managed {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// The laxest value that is allowed.
        bound: String,
        /// Who set it.
        by: String,
    },
}

impl LimitsError {
    /// The wrong key, if the error is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { key, .. } => Some(key),
            Self::Value { key, .. } | Self::Managed { key, .. } => Some(key),
            Self::Toml(_) => None,
        }
    }
}

/// Why a value is refused, in a sentence that fits the key.
fn refusal(key: &str, value: &str, bound: &str, by: &str) -> String {
    match Key::find(key).ok().and_then(|key| key.bound_kind) {
        _ if key == "schedule" => format!("schedule = {value} has other hours than those that {by} allows: {bound}"),
        _ if key == "stop-for" => format!("stop-for = {value} leaves out programs that {by} stops for: {bound}"),
        Some(BoundKind::Most) => format!("{key} = {value} is more than the {bound} that {by} allows"),
        Some(BoundKind::Least) => format!("{key} = {value} is less than the {bound} that {by} asks for"),
        Some(BoundKind::Fixed) | None => format!("{key} = {value} goes beyond {key} = {bound}, which {by} has set"),
    }
}

fn did_you_mean(close: Option<&str>) -> String {
    close.map_or_else(String::new, |close| format!(" (did you mean {close}?)"))
}

fn names() -> String {
    KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

impl Key {
    /// The key of that name.
    pub fn find(name: &str) -> Result<&'static Self, LimitsError> {
        KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
            let small = name.to_ascii_lowercase();
            let alike = |key: &Key| (strsim::jaro_winkler(key.name, &small), key.name);
            let closest = KEYS.iter().map(alike).max_by(|(a, _), (b, _)| a.total_cmp(b));
            let close = closest.filter(|(alike, _)| *alike > MIN_SIMILARITY).map(|(_, name)| name);
            LimitsError::UnknownKey { key: name.into(), close }
        })
    }

    fn refuse(&self, value: impl Into<String>, problem: ValueError) -> LimitsError {
        LimitsError::Value { key: self.name, value: value.into(), problem, range: self.range }
    }

    fn put(&self, limits: &mut Limits, value: &str) -> Result<(), LimitsError> {
        let result = match value.trim() {
            DEFAULT if self.is_preset() => Err(ValueError::NoDefault),
            DEFAULT => (self.set)(limits, &self.value(&Limits::of(limits.preset))),
            _ => (self.set)(limits, value),
        };
        result.map_err(|problem| self.refuse(value, problem))
    }

    /// Sets a value from a file that has no preset to fall back to.
    pub(crate) fn put_toml(&self, limits: &mut Limits, value: &Value) -> Result<(), LimitsError> {
        let text = self.text_of(value)?;
        (self.set)(limits, &text).map_err(|problem| self.refuse(text, problem))
    }

    fn is_preset(&self) -> bool {
        self.name == "preset"
    }

    /// A TOML value as text.
    fn text_of(&self, value: &Value) -> Result<String, LimitsError> {
        let of_kind = |kind| self.refuse(value.to_string(), ValueError::Kind(kind));
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Ok(value.to_string()),
            Value::Array(list) if self.values.toml() == TomlKind::List => {
                let texts: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
                match texts {
                    Some(texts) if texts.is_empty() => Ok(NONE.into()),
                    Some(texts) => Ok(texts.join(", ")),
                    None => Err(of_kind("a list of other things than texts")),
                }
            }
            Value::Array(_) => Err(of_kind("a list")),
            Value::Table(_) => Err(of_kind("a table")),
        }
    }

    /// Its value in TOML.
    fn toml(&self, limits: &Limits) -> Value {
        let text = self.value(limits);
        let number = text.trim_end_matches(['%', '°', 'C']);
        match self.values.toml() {
            TomlKind::List if text == NONE => Value::Array(vec![]),
            TomlKind::List => Value::Array(text.split(", ").map(Value::from).collect()),
            TomlKind::Flag => Value::Boolean(text == "true"),
            TomlKind::Number => match (number.parse::<i64>(), number.parse::<f64>()) {
                (Ok(whole), _) => Value::Integer(whole),
                (_, Ok(number)) => Value::Float(number),
                _ => Value::String(text),
            },
            TomlKind::Text => Value::String(text),
        }
    }
}

impl Limits {
    /// Every key of the settings, in the order in which they are shown.
    pub const KEYS: &'static [Key] = KEYS;

    /// Switches to a preset. A pause stays: a donor who paused wants no work, whatever the preset.
    pub fn choose(&mut self, preset: Preset) {
        *self = Self { pause: self.pause.take(), ..Self::of(preset) };
    }

    /// The value of a key, as [`Limits::set`] takes it; `None` if there is no such key.
    pub fn get(&self, key: &str) -> Option<String> {
        Key::find(key).ok().map(|key| key.value(self))
    }

    /// Sets the value of a key; `default` means the preset's. A refused value changes nothing.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), LimitsError> {
        Key::find(key)?.put(self, value)
    }

    /// These limits with all of these changes, or an error. A preset among them is applied first.
    pub fn with<K: AsRef<str>, V: AsRef<str>>(&self, changes: &[(K, V)]) -> Result<Self, LimitsError> {
        let mut limits = self.clone();
        let mut keys = Vec::with_capacity(changes.len());
        for (key, value) in changes {
            keys.push((Key::find(key.as_ref())?, value.as_ref()));
        }
        keys.sort_by_key(|(key, _)| !key.is_preset());
        for (key, value) in keys {
            key.put(&mut limits, value)?;
        }
        Ok(limits)
    }

    /// Reads a settings file. `default` is the preset if the file names none.
    pub fn from_toml(text: &str, default: Preset) -> Result<Self, LimitsError> {
        let table: Table = text.parse().map_err(|error| LimitsError::Toml(Box::new(error)))?;
        let mut changes = Vec::with_capacity(table.len());
        for (name, value) in &table {
            let key = Key::find(name)?;
            changes.push((key.name, key.text_of(value)?));
        }
        Self::of(default).with(&changes)
    }

    /// The settings file of these limits: the preset and everything that differs from it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for key in KEYS.iter().filter(|key| key.is_preset() || key.is_changed(self)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} = {}", key.name, key.toml(self));
        }
        text
    }
}

/// A flat map from every key to its value.
impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(KEYS.iter().map(|key| (key.name, key.value(self))))
    }
}

/// From such a map. It must have the preset; other missing keys get the preset's values.
impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        if !map.contains_key("preset") {
            return Err(D::Error::missing_field("preset"));
        }
        let changes: Vec<_> = map.into_iter().collect();
        Self::of(Preset::Quiet).with(&changes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
