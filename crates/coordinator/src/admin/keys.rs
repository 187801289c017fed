//! Keys of consumers.

use super::AdminError;
use crate::{
    audit::Audit,
    keys::{DayUsage, KeyLimits, KeyRecord, Secret},
    registry::{Registry, unix_now},
};
use jiff::{ToSpan, Zoned};
use std::{path::Path, time::Duration};

/// The longest note, in bytes.
const LONGEST_NOTE: usize = 200;
/// The most models that a key names.
const MAX_MODELS: usize = 100;
/// The largest share.
const MAX_WEIGHT: u32 = 1000;

/// A key to make.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// What it is for.
    pub note: String,
    /// Allowed models; empty means all.
    pub models: Vec<String>,
    /// How long it is good for; `None` for ever.
    pub lifetime: Option<Duration>,
    /// How much it may use.
    pub limits: KeyLimits,
    /// Its share beside others'.
    pub weight: u32,
}

/// Makes a key. The registry does not have it whole: what is returned is shown once.
///
/// # Errors
/// A value is out of its range, or there is no model of a name.
pub fn create_key(folder: &Path, key: NewKey) -> Result<Secret, AdminError> {
    let NewKey { note, models, lifetime, limits, weight } = key;
    if note.len() > LONGEST_NOTE || !gogrid_wire::text::is_printable(&note) {
        let range = format!("at most {LONGEST_NOTE} bytes in one printable line");
        return Err(AdminError::Range { field: "--note", value: format!("{note:?}"), range });
    }
    let numbers = [
        ("--weight", Some(u64::from(weight)), u64::from(MAX_WEIGHT)),
        ("--requests-per-minute", limits.requests_per_minute.map(u64::from), u64::from(u32::MAX)),
        ("--tokens-per-day", limits.tokens_per_day, i64::MAX.cast_unsigned()),
        ("--streams", limits.streams.map(u64::from), u64::from(u32::MAX)),
    ];
    for (field, value, most) in numbers {
        if let Some(value) = value.filter(|value| !(1..=most).contains(value)) {
            return Err(AdminError::Range { field, value: value.to_string(), range: format!("1 to {most}") });
        }
    }
    if models.len() > MAX_MODELS {
        let (value, range) = (models.len().to_string(), format!("given {MAX_MODELS} times at most"));
        return Err(AdminError::Range { field: "--model", value, range });
    }
    let registry = Registry::open_for_command(folder)?;
    let known = registry.models()?;
    if let Some(unknown) = models.iter().find(|name| !known.iter().any(|model| model.name == **name)) {
        return Err(AdminError::NoModel(unknown.clone()));
    }
    let (secret, created) = (Secret::random(), unix_now());
    let record = KeyRecord {
        prefix: secret.prefix().to_owned(),
        hash: secret.hash(),
        note,
        models,
        created,
        expires: lifetime.map(|lifetime| created.saturating_add(lifetime.as_secs().max(1))),
        revoked: None,
        limits,
        weight,
    };
    registry.add_key(&record)?;
    Audit::of(folder).operator("key_created", format!("{} {:?}", record.prefix, record.note));
    Ok(secret)
}

/// Every key, in the order in which they were made.
///
/// # Errors
/// When the registry cannot be read.
pub fn list_keys(folder: &Path) -> Result<Vec<KeyRecord>, AdminError> {
    Ok(Registry::open_for_command(folder)?.keys()?)
}

/// Revokes the key with this prefix. A running coordinator refuses it once it is told to reload its registry; answers
/// under way are completed.
///
/// # Errors
/// There is no such key, or it was revoked before.
pub fn revoke_key(folder: &Path, prefix: &str) -> Result<(), AdminError> {
    // A whole key selects the key it belongs to.
    let prefix = prefix.get(.."gg-xxxxxxxx".len()).unwrap_or(prefix);
    match Registry::open_for_command(folder)?.revoke_key(prefix, unix_now())? {
        true => {
            Audit::of(folder).operator("key_revoked", prefix.to_owned());
            Ok(())
        }
        false => Err(AdminError::NoKey(prefix.to_owned())),
    }
}

/// What keys used in the last `days`, today included.
///
/// # Errors
/// When the registry cannot be read.
pub fn usage(folder: &Path, days: u32) -> Result<Vec<DayUsage>, AdminError> {
    let since = Zoned::now().date().saturating_sub(i64::from(days.saturating_sub(1)).days());
    Ok(Registry::open_for_command(folder)?.usage_since(&since.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_once_and_its_values_are_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = NewKey { note: "the wiki".into(), weight: 1, ..NewKey::default() };
        let secret = create_key(folder.path(), key.clone()).expect("made");
        let [listed] = &list_keys(folder.path()).expect("read")[..] else { panic!("one key") };
        assert!(listed.is(secret.expose()) && !listed.is(secret.prefix()));
        assert_eq!((listed.prefix.as_str(), listed.note.as_str()), (secret.prefix(), "the wiki"));
        let written = std::fs::read(folder.path().join("registry.db")).expect("there");
        let hidden = &secret.expose().as_bytes()[secret.prefix().len()..];
        assert!(!written.windows(hidden.len()).any(|part| part == hidden), "it is not in the file");

        let refused = |key: NewKey| create_key(folder.path(), key).expect_err("refused").to_string();
        assert!(refused(NewKey { note: "two\nlines".into(), ..key.clone() }).contains("--note"));
        assert!(refused(NewKey { weight: 0, ..key.clone() }).contains("--weight is 0"));
        assert!(refused(NewKey { models: vec!["none".into()], ..key.clone() }).contains("\"none\""));
        let limits = KeyLimits { streams: Some(0), ..KeyLimits::default() };
        assert!(refused(NewKey { limits, ..key }).contains("--streams is 0"));

        revoke_key(folder.path(), secret.expose()).expect("revoked");
        assert!(matches!(revoke_key(folder.path(), secret.prefix()), Err(AdminError::NoKey(_))));
        assert!(!list_keys(folder.path()).expect("read")[0].is_valid(unix_now()));
    }
}
