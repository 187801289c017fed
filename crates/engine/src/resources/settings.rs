//! The donor's limits, and what a policy leaves of them. Their file holds what differs from the preset, and is written
//! whole or not at all.

use crate::record;
use gogrid_limits::{
    Key, Limits, LimitsError, Policy, PolicyError, Preset, RequiredSignals, Sample, SignalKind, Totals,
};
use gogrid_panel_api::{EventKind, Managed, Setting};
use gogrid_probe::PolicyFileError;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file's name in the worker's data folder, where no other is given.
const FILE: &str = "limits.toml";

/// The donor's limits with their file, under a policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    path: PathBuf,
    /// What the donor chose: this is saved.
    chosen: Limits,
    policy: Policy,
    /// The totals that percentages refer to.
    totals: Totals,
}

/// Why the limits cannot be read or saved.
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
    /// There is a policy that cannot be read, or is not the administrator's. It may forbid to lend at all.
    #[error("nothing is lent")]
    PolicyFile(#[source] Box<PolicyFileError>),
    /// There is a policy with an error in it.
    #[error("nothing is lent, because the policy {path} is not usable")]
    Policy {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: Box<PolicyError>,
    },
}

/// The most that the machine's administrator allows, by the policy file of this system.
///
/// # Errors
/// When there is such a file and it cannot be obeyed.
pub fn system_policy() -> Result<Policy, SettingsError> {
    let path = gogrid_probe::policy_path();
    match gogrid_probe::read_policy(&path).map_err(|error| SettingsError::PolicyFile(Box::new(error)))? {
        Some(text) => {
            Policy::from_toml(&text).map_err(|source| SettingsError::Policy { path, source: Box::new(source) })
        }
        None => Ok(Policy::none()),
    }
}

/// The threads that the limits in `file`, or in a worker's data folder, lend. The kernels' pool is made once, before the
/// worker starts; the worker then reports what is wrong with the limits.
pub fn compute_threads(data: &Path, file: Option<&Path>) -> Option<usize> {
    let policy = system_policy().ok()?;
    let settings = Settings::load(data, file, Preset::Full, policy, Totals::default()).ok()?;
    settings.in_force().cpu_threads.map(|threads| threads as usize)
}

impl Settings {
    /// Reads them from `file`, or from the data folder; with nothing there, a preset's.
    ///
    /// # Errors
    /// When a named file is missing, or the file cannot be read or is wrong.
    pub(crate) fn load(
        data: &Path,
        file: Option<&Path>,
        preset: Preset,
        policy: Policy,
        totals: Totals,
    ) -> Result<Self, SettingsError> {
        let path = file.map_or_else(|| data.join(FILE), Path::to_owned);
        let chosen = match fs::read_to_string(&path) {
            Ok(text) => Limits::from_toml(&text, preset)
                .map_err(|source| SettingsError::Limits { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => policy.start(preset),
            Err(source) => return Err(SettingsError::Io { path, source }),
        };
        Ok(Self { path, chosen, policy, totals })
    }

    /// The same for a donor who sees no file, and cannot repair one: a file that is not usable is set aside, and the preset
    /// holds. Gives the event to show.
    ///
    /// # Errors
    /// When the file cannot be read, or not set aside.
    pub(crate) fn load_or_set_aside(
        data: &Path,
        preset: Preset,
        policy: Policy,
        totals: Totals,
    ) -> Result<(Self, Option<EventKind>), SettingsError> {
        let (path, reason) = match Self::load(data, None, preset, policy.clone(), totals) {
            Err(SettingsError::Limits { path, source }) => (path, source.to_string()),
            Err(SettingsError::Io { path, source }) if source.kind() == io::ErrorKind::InvalidData => {
                (path, "it is no text".into())
            }
            other => return other.map(|settings| (settings, None)),
        };
        let kept = path.with_file_name(format!("limits.broken-{}.toml", record::now_ms()));
        fs::rename(&path, &kept).map_err(|source| SettingsError::Io { path, source })?;
        let kept = kept.display().to_string();
        tracing::error!(reason, kept, "the limits are not usable; those of the preset hold");
        let settings = Self::load(data, None, preset, policy, totals)?;
        Ok((settings, Some(EventKind::LimitsReset { reason, kept })))
    }

    /// What the donor chose.
    pub(crate) fn chosen(&self) -> &Limits {
        &self.chosen
    }

    /// What holds: the donor's limits within the policy.
    pub(crate) fn in_force(&self) -> Limits {
        self.policy.clamp(&self.chosen)
    }

    /// The signals whose rules the policy wants on wherever the machine is.
    pub(crate) fn required(&self) -> RequiredSignals {
        self.policy.required()
    }

    /// Why the rule that needs this signal is off although it is set; `None` if it is on, or not set.
    pub(crate) fn why_off<'a>(&self, signal: SignalKind, sample: &'a Sample) -> Option<&'a str> {
        self.in_force().why_off(signal, sample, &self.required())
    }

    /// The donor's limits with these changes, all of them or none.
    ///
    /// # Errors
    /// When one is out of range, or beyond the policy.
    pub(crate) fn with(&self, changes: &[(String, String)]) -> Result<Limits, LimitsError> {
        self.policy.check(changes, &self.totals)?;
        self.chosen.with(changes)
    }

    /// Changes one limit for this run.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), LimitsError> {
        self.chosen.set(key, value)
    }

    /// Takes the donor's new limits.
    pub(crate) fn choose(&mut self, limits: Limits) {
        self.chosen = limits;
    }

    /// Keeps them, whole or not at all: a crash or a power cut leaves the old file or the new one.
    pub(crate) fn keep(&self) -> Result<(), SettingsError> {
        let new = self.path.with_extension("toml.new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(self.chosen.to_toml().as_bytes())?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|source| SettingsError::Io { path: self.path.clone(), source })
    }

    /// Who manages them, if they are managed.
    pub(crate) fn managed_by(&self) -> Option<&str> {
        self.policy.managed_by()
    }

    /// Every limit for people: what holds, where it comes from, what the policy says, and which rules are off on a
    /// machine that shows this sample.
    pub(crate) fn shown(&self, sample: Option<&Sample>) -> Vec<Setting> {
        let holds = self.in_force().on(&self.totals);
        let defaults = self.policy.clamp(&Limits::of(self.chosen.preset)).on(&self.totals);
        let why_off = |key: &Key| key.signal().and_then(|signal| self.why_off(signal, sample?));
        let setting = |key: &Key| Setting {
            key: key.name.to_owned(),
            value: key.value(&holds),
            changed: key.is_changed(&self.chosen),
            help: format!("{} ({})", key.help, key.range),
            default: key.value(&defaults),
            managed: self.policy.managed(key).map(|bound| Managed { bound: bound.text, hidden: bound.hidden }),
            no_signal: why_off(key).map(str::to_owned),
        };
        Limits::KEYS.iter().map(setting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(folder: &Path, file: Option<&Path>) -> Result<Settings, SettingsError> {
        Settings::load(folder, file, Preset::Full, Policy::none(), Totals::default())
    }

    #[test]
    fn they_are_kept_as_differences_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = load(folder.path(), None).expect("nothing is there yet");
        assert_eq!(*settings.chosen(), Limits::of(Preset::Full));
        let mut limits = settings.chosen().clone();
        limits.set("cpu", "25").expect("in range");
        settings.choose(limits.clone());
        settings.keep().expect("written");
        let text = fs::read_to_string(folder.path().join(FILE)).expect("there");
        assert!(text.contains("cpu = 25") && !text.contains("gpu-memory"), "{text}");
        assert_eq!(*load(folder.path(), None).expect("readable").chosen(), limits);
    }

    #[test]
    fn a_wrong_or_missing_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.toml");
        let missing = load(folder.path(), Some(&path)).expect_err("not there");
        assert!(missing.to_string().contains("mine.toml"), "{missing}");
        fs::write(&path, "cpu = 400\n").expect("written");
        let SettingsError::Limits { source, .. } = load(folder.path(), Some(&path)).expect_err("wrong") else {
            panic!("it is the limit that is wrong");
        };
        assert!(source.to_string().contains("cpu"), "{source}");
    }

    #[test]
    fn a_broken_file_of_a_donor_is_set_aside_and_named() {
        for broken in [b"cpu = 400\n".as_slice(), b"cpu = \"2", b"\xff\xfe"] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join(FILE), broken).expect("written");
            let load = || {
                let (policy, totals) = (Policy::none(), Totals::default());
                Settings::load_or_set_aside(folder.path(), Preset::Quiet, policy, totals).expect("the preset")
            };
            let (settings, happened) = load();
            assert_eq!(*settings.chosen(), Limits::of(Preset::Quiet));
            let Some(EventKind::LimitsReset { kept, .. }) = happened else { panic!("{happened:?}") };
            assert_eq!(fs::read(kept).expect("kept"), broken);
            assert_eq!(load().1, None);
        }
    }

    #[test]
    fn a_policy_holds_is_shown_and_leaves_no_trace_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let policy = "managed-by = \"IT\"\n[limits]\ncpu = { most = 30 }\nmemory = { most = \"2GiB\" }\n";
        let policy = Policy::from_toml(policy).expect("a policy");
        let totals = Totals { memory: Some(8 << 30), ..Totals::default() };
        let mut settings = Settings::load(folder.path(), None, Preset::Full, policy, totals).expect("nothing there");
        assert_eq!(settings.managed_by(), Some("IT"));
        let change = |key: &str, value: &str| [(key.to_owned(), value.to_owned())];
        let refused = settings.with(&change("memory", "50%")).expect_err("4 GiB");
        assert!(refused.to_string().contains("2GiB that IT allows"), "{refused}");

        let chosen = settings.with(&change("memory", "25%")).expect("2 GiB are allowed");
        settings.choose(chosen);
        settings.keep().expect("written");
        let shown = settings.shown(None);
        let value = |key: &str| {
            let setting = shown.iter().find(|setting| setting.key == key).expect("every key is shown");
            (setting.value.as_str(), setting.changed, setting.managed.as_ref().map(|managed| managed.bound.as_str()))
        };
        assert_eq!(value("cpu"), ("30%", false, Some("30%")));
        assert_eq!((value("memory").1, value("gpu")), (true, ("100%", false, None)));
        assert_eq!(settings.in_force().memory.resolve(8 << 30), 2 << 30);
        let text = fs::read_to_string(folder.path().join(FILE)).expect("there");
        assert!(text.contains("memory = \"25%\"") && !text.contains("cpu"), "{text}");
    }
}
