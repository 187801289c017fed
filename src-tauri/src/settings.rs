//! The app's settings: `settings.toml` in its data folder.

mod atomic;
mod name;
mod schema;

pub(crate) use name::check as check_name;
pub(crate) use schema::{Settings, Updater};

use jiff::{Timestamp, tz::TimeZone};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The settings and their file.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    current: Settings,
}

/// Why settings cannot be saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A value cannot be written as TOML.
    #[error("the settings cannot be written as TOML")]
    Form(#[from] toml::ser::Error),
    /// The file system refused.
    #[error("the settings cannot be kept in {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SettingsFile {
    /// Reads the file. If that fails, the defaults hold, and the strings tell the donor why. A broken file is renamed,
    /// so that the next change does not overwrite it.
    pub(crate) fn load(path: PathBuf) -> (Self, Vec<String>) {
        let (current, notices) = match fs::read_to_string(&path) {
            Ok(text) => match Settings::read(&text) {
                Ok((settings, unknown)) => (settings, unknown.iter().map(|key| unknown_key(key)).collect()),
                Err(error) => (Settings::default(), vec![set_aside(&path, error.message())]),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Settings::default(), Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                (Settings::default(), vec![set_aside(&path, "it is not text")])
            }
            Err(error) => {
                let file = path.display();
                (Settings::default(), vec![format!("{file} cannot be read ({error}), so the defaults hold.")])
            }
        };
        (Self { path, current }, notices)
    }

    /// The settings that hold now.
    pub(crate) fn current(&self) -> &Settings {
        &self.current
    }

    /// Saves settings. They hold once they are on the disk.
    ///
    /// # Errors
    /// When they cannot be written. The old ones hold then.
    pub(crate) fn save(&mut self, settings: Settings) -> Result<(), SettingsError> {
        if settings == self.current {
            return Ok(());
        }
        let text = settings.write()?;
        atomic::write(&self.path, text.as_bytes())
            .map_err(|source| SettingsError::Io { path: self.path.clone(), source })?;
        self.current = settings;
        Ok(())
    }
}

fn unknown_key(key: &str) -> String {
    format!("The settings file has a key that means nothing: {key}. It is left out.")
}

/// Renames a broken file, and returns the notice for the donor.
fn set_aside(path: &Path, why: &str) -> String {
    let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S");
    let aside = path.with_file_name(format!("settings.broken-{time}.toml"));
    match fs::rename(path, &aside) {
        Ok(()) => {
            format!("The settings file was broken ({why}), so the defaults hold. It was kept as {}.", aside.display())
        }
        Err(error) => format!(
            "The settings file {} is broken ({why}), so the defaults hold. It could not be set aside: {error}.",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn folder_with(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_kept_is_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let (mut file, notices) = SettingsFile::load(path.clone());
        assert!(notices.is_empty());
        let settings = Settings { welcomed: true, ..Settings::default() };
        file.save(settings.clone()).unwrap();
        let (file, notices) = SettingsFile::load(path);
        assert_eq!(file.current(), &settings);
        assert!(notices.is_empty());
    }

    #[rstest]
    #[case::cut_off(b"welcomed = tr")]
    #[case::zeros_of_a_power_loss(&[0; 64])]
    #[case::not_text(&[0xff, 0xfe, 0x00])]
    fn a_broken_file_is_kept_aside_and_named(#[case] content: &[u8]) {
        let (folder, path) = folder_with(content);
        let (mut file, notices) = SettingsFile::load(path);
        assert_eq!(file.current(), &Settings::default());
        let aside: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [aside] = aside.as_slice() else { panic!("{aside:?}") };
        assert_eq!(fs::read(aside).unwrap(), content);
        assert!(notices[0].contains(&aside.display().to_string()), "{notices:?}");
        file.save(Settings { welcomed: true, ..Settings::default() }).unwrap();
        assert_eq!(fs::read(aside).unwrap(), content);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let (_folder, path) = folder_with(b"welcomed = true\nspeed = 3\n");
        let (file, notices) = SettingsFile::load(path);
        assert!(file.current().welcomed);
        assert_eq!(notices, ["The settings file has a key that means nothing: speed. It is left out."]);
    }

    #[test]
    fn settings_that_cannot_be_written_do_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("settings.toml");
        let (mut file, _) = SettingsFile::load(path);
        let error = file.save(Settings { welcomed: true, ..Settings::default() }).unwrap_err();
        assert!(error.to_string().contains("settings.toml"), "{error}");
        assert!(!file.current().welcomed);
    }
}
