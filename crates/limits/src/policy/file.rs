//! A policy as TOML.

use super::{Policy, Rule};
use crate::{BoundKind, Key, LimitsError, Schedule, When};
use toml::{Table, Value};

/// A longer name does not fit the line that shows it.
const LONGEST_NAME_BYTES: usize = 100;
const HIDDEN: &str = "hidden";
const REQUIRED: &str = "required";

/// Why a policy is refused. Its text names the key, the value and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The file is not TOML.
    #[error("the policy is no TOML")]
    Toml(#[source] Box<toml::de::Error>),
    /// No such field outside the limits.
    #[error("there is no field {0:?}; a policy has managed-by and limits")]
    UnknownField(String),
    /// A field of the wrong type, or a name that cannot be shown.
    #[error("{field} is not usable: {expected} is expected")]
    Field {
        /// Which.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// No such limit, or a value that it does not take.
    #[error(transparent)]
    Limit(#[from] LimitsError),
    /// A key that is the donor's alone.
    #[error("{key} cannot be managed: {why}")]
    DonorsAlone {
        /// The key.
        key: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A rule with no bound, an unknown field, or two bounds.
    #[error("{key} = {rule} is no rule: {expected} is expected")]
    Rule {
        /// The key.
        key: &'static str,
        /// The rule as written.
        rule: String,
        /// The form that is expected.
        expected: String,
    },
}

impl PolicyError {
    /// The wrong key or field, if the error is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Toml(_) => None,
            Self::UnknownField(field) => Some(field),
            Self::Field { field, .. } => Some(field),
            Self::Limit(error) => error.key(),
            Self::DonorsAlone { key, .. } | Self::Rule { key, .. } => Some(key),
        }
    }
}

impl BoundKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Most => "most",
            Self::Least => "least",
            Self::Fixed => "fixed",
        }
    }

    /// An example of a rule.
    fn expected(self, key: &Key) -> String {
        let name = self.name();
        let or = if self == Self::Fixed { String::new() } else { " or { fixed = … }".into() };
        let required = if key.signal().is_some() { format!(" and {REQUIRED} = true") } else { String::new() };
        format!("{{ {name} = … }}{or}, with or without {HIDDEN} = true{required}")
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// If any part of it is not understood. A policy never applies in part.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let table: Table = text.parse().map_err(|error| PolicyError::Toml(Box::new(error)))?;
        let mut policy = Self::none();
        for (field, value) in &table {
            match (field.as_str(), value) {
                ("managed-by", value) => policy.managed_by = Some(name(value)?),
                ("limits", Value::Table(rules)) => {
                    for (key, rule) in rules {
                        policy.manage(Key::find(key)?, rule)?;
                    }
                }
                ("limits", _) => return Err(PolicyError::Field { field: "limits", expected: "a table of rules" }),
                _ => return Err(PolicyError::UnknownField(field.clone())),
            }
        }
        policy.turn_hours_on();
        Ok(policy)
    }

    fn manage(&mut self, key: &'static Key, value: &Value) -> Result<(), PolicyError> {
        let bound_kind = key.bound_kind.ok_or(PolicyError::DonorsAlone { key: key.name, why: why_not(key) })?;
        let wrong = || PolicyError::Rule { key: key.name, rule: value.to_string(), expected: bound_kind.expected(key) };
        let Value::Table(fields) = value else { return Err(wrong()) };
        let (mut rule, mut bounds) = (Rule::default(), 0);
        for (field, value) in fields {
            match value {
                Value::Boolean(hidden) if field == HIDDEN => rule.hidden = *hidden,
                Value::Boolean(required) if field == REQUIRED && key.signal().is_some() => rule.required = *required,
                bound if field == bound_kind.name() || field == BoundKind::Fixed.name() => {
                    key.put_toml(&mut self.bound, bound)?;
                    rule.starts = field == BoundKind::Fixed.name();
                    bounds += 1;
                }
                _ => return Err(wrong()),
            }
        }
        // `hidden` alone is a rule: the donor's value is then the preset's. So is `required`, wherever the donor's is on.
        if bounds > 1 || (bounds == 0 && !rule.hidden && !rule.required) {
            return Err(wrong());
        }
        self.rules.insert(key.name, rule);
        Ok(())
    }

    /// A bound on the hours has no effect unless `when` follows the schedule, so it turns that on.
    fn turn_hours_on(&mut self) {
        if let Some(rule) = self.rules.get("schedule").copied()
            && self.bound.schedule != Schedule::ALWAYS
        {
            self.bound.when = self.bound.when.stricter(When::Schedule);
            self.rules.entry("when").or_insert(Rule { starts: false, required: false, ..rule });
        }
    }
}

fn why_not(key: &Key) -> &'static str {
    match key.name {
        "pause" => "the donor may always pause",
        _ => "the donor may choose any, and what it brings stays within the other rules",
    }
}

fn name(value: &Value) -> Result<String, PolicyError> {
    let name = value
        .as_str()
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME_BYTES && !name.contains(char::is_control));
    let expected = "a name of 1 to 100 bytes in one line";
    name.map(Into::into).ok_or(PolicyError::Field { field: "managed-by", expected })
}
