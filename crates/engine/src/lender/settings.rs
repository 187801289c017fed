//! The file of the donor's limits: only what differs from the preset, whole or not at all.

use gogrid_limits::{Limits, LimitsError, Preset};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file's name in the worker's data folder, where no other is given.
const FILE: &str = "limits.toml";

/// The limits with their place on disk.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    path: PathBuf,
    limits: Limits,
}

/// Why the limits cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file system said no.
    #[error("cannot read or write {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says something that is no limit.
    #[error("{path} is not usable")]
    Limits {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: LimitsError,
    },
}

/// The threads that the limits in `file`, or in a worker's data folder, lend. The kernels' pool is made once, so that
/// this is asked for before the worker starts; what is wrong with the limits is said then.
pub fn compute_threads(data: &Path, file: Option<&Path>) -> Option<usize> {
    let settings = Settings::load(data, file, Preset::Full).ok()?;
    settings.limits.cpu_threads.map(|threads| threads as usize)
}

impl Settings {
    /// Reads them from `file`, or from the data folder; with nothing there, a preset's.
    ///
    /// # Errors
    /// When the file is named and not there, cannot be read, or is wrong.
    pub(crate) fn load(data: &Path, file: Option<&Path>, preset: Preset) -> Result<Self, SettingsError> {
        let path = file.map_or_else(|| data.join(FILE), Path::to_owned);
        let limits = match fs::read_to_string(&path) {
            Ok(text) => Limits::from_toml(&text, preset)
                .map_err(|source| SettingsError::Limits { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Limits::of(preset),
            Err(source) => return Err(SettingsError::Io { path, source }),
        };
        Ok(Self { path, limits })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes one limit for this run.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), LimitsError> {
        self.limits.set(key, value)
    }

    /// Keeps them, whole or not at all: a crash or a power cut leaves the old file or the new one.
    pub(crate) fn keep(&mut self, limits: &Limits) -> Result<(), SettingsError> {
        self.limits = limits.clone();
        let new = self.path.with_extension("toml.new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(limits.to_toml().as_bytes())?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|source| SettingsError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_kept_as_differences_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::load(folder.path(), None, Preset::Full).expect("nothing is there yet");
        assert_eq!(*settings.limits(), Limits::of(Preset::Full));
        let mut limits = settings.limits().clone();
        limits.set("cpu", "25").expect("in range");
        settings.keep(&limits).expect("written");
        let text = fs::read_to_string(folder.path().join(FILE)).expect("there");
        assert!(text.contains("cpu = 25") && !text.contains("gpu-memory"), "{text}");
        assert_eq!(*Settings::load(folder.path(), None, Preset::Full).expect("readable").limits(), limits);
    }

    #[test]
    fn a_wrong_or_missing_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.toml");
        let missing = Settings::load(folder.path(), Some(&path), Preset::Full).expect_err("not there");
        assert!(missing.to_string().contains("mine.toml"), "{missing}");
        fs::write(&path, "cpu = 400\n").expect("written");
        let SettingsError::Limits { source, .. } =
            Settings::load(folder.path(), Some(&path), Preset::Full).expect_err("wrong")
        else {
            panic!("it is the limit that is wrong");
        };
        assert!(source.to_string().contains("cpu"), "{source}");
    }
}
