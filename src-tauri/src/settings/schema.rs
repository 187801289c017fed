//! The schema of the settings file, which is TOML. Unknown keys are removed and named, so that a typing error is
//! reported and the rest still holds.

use gogrid_panel_api::{AppSettings, Notify};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Whether the first run's three steps are done.
    pub(crate) welcomed: bool,
    /// The machine's name; empty for its host name.
    pub(crate) machine_name: String,
    /// Whether a file may hold the key if the key store cannot.
    pub(crate) key_file: bool,
    /// Which notifications are shown.
    pub(crate) notify: Notify,
    /// The source of updates.
    pub(crate) updater: Updater,
}

/// The source of updates; updates are off until both fields are set. No command changes them: they are written into the
/// file by the person who may install programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Updater {
    /// An https address, with `{{target}}`, `{{arch}}` and `{{current_version}}` filled in.
    pub(crate) endpoint: String,
    /// The key that signs updates, as `tauri signer generate` prints it.
    pub(crate) pubkey: String,
}

impl Settings {
    /// Reads the file's text, and returns the names of unknown keys.
    ///
    /// # Errors
    /// When it is not TOML, or a value has the wrong type.
    pub(super) fn read(text: &str) -> Result<(Self, Vec<String>), toml::de::Error> {
        let mut table: Table = text.parse()?;
        let mut unknown = Vec::new();
        if let Ok(known) = Table::try_from(Self::default()) {
            take_unknown(&mut table, &known, "", &mut unknown);
        }
        Ok((table.try_into()?, unknown))
    }

    /// The file's text.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub(super) fn write(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// The part that the page shows. `autostart` comes from the system, not from the file.
    pub(crate) fn for_page(&self, autostart: bool) -> AppSettings {
        AppSettings {
            welcomed: self.welcomed,
            autostart,
            machine_name: self.machine_name.clone(),
            key_file: self.key_file,
            notify: self.notify.clone(),
        }
    }

    /// These settings with the changes of the page.
    pub(crate) fn with(&self, page: &AppSettings) -> Self {
        Self {
            welcomed: page.welcomed,
            machine_name: page.machine_name.trim().to_owned(),
            key_file: page.key_file,
            notify: page.notify.clone(),
            updater: self.updater.clone(),
        }
    }
}

/// Removes the keys that `known` lacks, and adds their names to `unknown`.
fn take_unknown(table: &mut Table, known: &Table, before: &str, unknown: &mut Vec<String>) {
    table.retain(|name, value| match (known.get(name), value) {
        (None, _) => {
            unknown.push(format!("{before}{name}"));
            false
        }
        (Some(Value::Table(known)), Value::Table(inner)) => {
            take_unknown(inner, known, &format!("{before}{name}."), unknown);
            true
        }
        _ => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(Settings::read(""), Ok((Settings::default(), Vec::new())));
        assert!(Settings::default().notify.revoked);
    }

    #[test]
    fn unknown_keys_are_named_and_the_rest_holds() {
        let text = "welcomed = true\ncolour = 1\n[notify]\njoined = false\nsound = true\n[colours]\na = 1\n";
        let (settings, unknown) = Settings::read(text).unwrap();
        assert!(settings.welcomed);
        assert!(!settings.notify.joined && settings.notify.gpu_lost);
        assert_eq!(unknown, ["colour", "colours", "notify.sound"]);
    }

    #[rstest]
    #[case::cut_off("welcomed = tr")]
    #[case::binary("\u{0}\u{0}\u{0}")]
    #[case::wrong_type("welcomed = 3")]
    #[case::no_table("notify = 3")]
    #[case::wrong_type_inside("[updater]\nendpoint = true")]
    fn a_broken_file_is_an_error(#[case] text: &str) {
        Settings::read(text).unwrap_err();
    }

    #[test]
    fn the_page_sets_its_part_and_no_other() {
        let updater = Updater { endpoint: "https://example.org".into(), pubkey: "k".into() };
        let settings = Settings { updater: updater.clone(), ..Settings::default() };
        let mut page = settings.for_page(true);
        page.machine_name = " office-7 ".into();
        let changed = settings.with(&page);
        assert_eq!(changed.machine_name, "office-7");
        assert_eq!(changed.updater, updater);
    }

    proptest! {
        #[test]
        fn it_reads_what_it_wrote(welcomed: bool, key_file: bool, joined: bool, machine_name: String, endpoint: String) {
            let notify = Notify { joined, ..Notify::default() };
            let updater = Updater { endpoint, pubkey: String::new() };
            let settings = Settings { welcomed, machine_name, key_file, notify, updater };
            let text = settings.write().unwrap();
            prop_assert_eq!(Settings::read(&text), Ok((settings, Vec::new())));
        }
    }
}
