use crate::periodic::Periodic;
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The kernel itself updates a terminal's input time only every 8 s, so that it does not reveal keystrokes.
const INTERVAL: Duration = Duration::from_secs(5);

/// Terminals: the kernel records when a program last read input from each. Output does not count: a scrolling log is not a
/// user.
pub(super) struct Terminals {
    devices: PathBuf,
    /// When it was read, and the age of the newest input at that time.
    newest: Periodic<Result<(Instant, Duration), String>>,
}

impl Terminals {
    pub(super) fn new() -> Self {
        Self { devices: "/dev".into(), newest: Periodic::new(INTERVAL) }
    }

    /// Time since the last input on a terminal, exact to 8 s.
    pub(super) fn idle(&mut self, now: Instant) -> Result<Duration, String> {
        let read = || {
            let newest = consoles(&self.devices).chain(remote(&self.devices)).filter_map(|path| last_read(&path)).max();
            let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            newest.map(|newest| (now, clock.saturating_sub(newest))).ok_or_else(|| "no terminal is open".into())
        };
        let (read_at, idle) = self.newest.get(now, read)?;
        Ok(idle + now.saturating_duration_since(read_at))
    }
}

/// The text consoles that have a login or a shell on them. 63 exist; those in use start at the first.
fn consoles(devices: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=6).map(|console| devices.join(format!("tty{console}")))
}

/// Terminal windows and remote logins.
fn remote(devices: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(devices.join("pts")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name() != "ptmx").map(|entry| entry.path())
}

fn last_read(path: &Path) -> Option<Duration> {
    let metadata = fs::metadata(path).ok()?;
    let seconds = u64::try_from(metadata.atime()).ok()?;
    metadata.file_type().is_char_device().then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminals_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pts")).unwrap();
        fs::write(folder.path().join("pts/0"), "no device").unwrap();
        let mut terminals = Terminals { devices: folder.path().into(), ..Terminals::new() };
        assert_eq!(terminals.idle(Instant::now()), Err("no terminal is open".into()));
        // A character device that every system has, used as a terminal.
        std::os::unix::fs::symlink("/dev/null", folder.path().join("pts/1")).unwrap();
        terminals.newest.invalidate();
        let read = Duration::from_secs(fs::metadata("/dev/null").unwrap().atime().unsigned_abs());
        let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - read;
        let idle = terminals.idle(Instant::now()).unwrap();
        assert!(idle.abs_diff(age) < Duration::from_secs(5), "{idle:?} is not {age:?}");
    }
}
