use super::{Membership, MembershipError};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a machine that left its grid may go back without a new join code. The coordinator keeps its place for the
/// same time.
const COME_BACK_WITHIN: Duration = Duration::from_secs(600);

/// The grid that the machine left a moment ago. It is kept in `left.json`, so that a restart neither ends nor extends
/// the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) member: Membership,
    at: SystemTime,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Milliseconds since 1970.
    left_at_ms: u64,
    member: super::File,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("left.json")
}

impl Left {
    /// The machine leaves now.
    pub(crate) fn now(member: Membership) -> Self {
        Self { member, at: SystemTime::now() }
    }

    /// Reads it; `None`, and no file any more, when the time is over. A damaged file is worth nothing either.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        let file: File = serde_json::from_slice(&fs::read(path(folder)).ok()?).ok().or_else(|| {
            Self::forget(folder);
            None
        })?;
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(file.left_at_ms))?;
        let left = file.member.read().ok().map(|member| Self { member, at });
        let left = left.filter(|left| left.remaining().is_some());
        if left.is_none() {
            Self::forget(folder);
        }
        left
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), MembershipError> {
        let file = File { left_at_ms: unix_ms(self.at), member: super::File::of(&self.member) };
        super::write(&path(folder), &file)
    }

    /// Forgets it. A file that cannot be removed lets nobody in once its time is over.
    pub(crate) fn forget(folder: &Path) {
        if let Err(error) = fs::remove_file(path(folder))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the grid that was left cannot be forgotten");
        }
    }

    /// The time that is left to go back; `None` when it is over, and when the clock says that it has not begun.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let since = SystemTime::now().duration_since(self.at).ok()?;
        COME_BACK_WITHIN.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// When the time is over, in milliseconds since 1970.
    pub(crate) fn until_ms(&self) -> u64 {
        unix_ms(self.at + COME_BACK_WITHIN)
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_wire::{PeerAddr, PeerId};

    fn left(ago: Duration) -> Left {
        let addrs = vec!["192.0.2.1:7450".parse().expect("an address")];
        let member = Membership { coordinator: PeerAddr { id: PeerId([5; 32]), addrs }, grid: "Example".into() };
        // The file has milliseconds.
        let at = UNIX_EPOCH + Duration::from_millis(unix_ms(SystemTime::now() - ago));
        Left { member, at }
    }

    #[test]
    fn the_way_back_outlives_a_restart_but_not_its_time() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Left::load(folder.path()), None);
        let fresh = left(Duration::from_secs(540));
        fresh.save(folder.path()).expect("written");
        assert_eq!(Left::load(folder.path()), Some(fresh));
        for over in [left(COME_BACK_WITHIN), Left { at: SystemTime::now() + COME_BACK_WITHIN, ..left(Duration::ZERO) }]
        {
            over.save(folder.path()).expect("written");
            assert_eq!(Left::load(folder.path()), None);
            assert!(!path(folder.path()).exists());
        }
        fs::write(path(folder.path()), "{").expect("written");
        assert_eq!(Left::load(folder.path()), None);
    }
}
