//! The audit log: what operators changed, who came and went, and who was refused; one JSON line each, in `audit.jsonl` of
//! the data folder. Lines are only appended. No line has a secret, or the text of a request.

use gogrid_link::Occasional;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const FILE: &str = "audit.jsonl";
/// Strangers can cause refusals: at most one line in this time, with the number of those left out.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it happened.
    pub at: Timestamp,
    /// What happened, such as `key_created`, `member_removed` or `api_refused`.
    pub act: String,
    /// Who did it: a user of this machine, a machine's short id, or a key's prefix; `?` where that is not known.
    pub who: String,
    /// From where: `command line`, or an address.
    pub from: String,
    /// What it was done to, and how.
    pub what: String,
    /// Lines of the same kind that were left out before this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Appends to the log of a data folder. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    /// `None` in tests without a folder.
    path: Option<Arc<Path>>,
    refusals: Arc<Occasional>,
}

impl Audit {
    /// The log of a data folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { path: Some(folder.join(FILE).into()), ..Self::nowhere() }
    }

    /// No log.
    pub(crate) fn nowhere() -> Self {
        Self { path: None, refusals: Arc::new(Occasional::new(REFUSALS_EVERY)) }
    }

    /// An operator has done something on this machine.
    pub(crate) fn operator(&self, act: &str, what: String) {
        let who = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
        self.append(act, who.as_deref().unwrap_or("?"), "command line", what, 0);
    }

    /// A machine has done something.
    pub(crate) fn machine(&self, act: &str, who: &str, what: String) {
        self.append(act, who, "link", what, 0);
    }

    /// Somebody was refused. A flood of refusals makes a line a second.
    pub(crate) fn refused(&self, act: &str, who: &str, from: &str, why: String) {
        if let Some(left_out) = self.refusals.pass() {
            self.append(act, who, from, why, left_out);
        }
    }

    fn append(&self, act: &str, who: &str, from: &str, what: String, left_out: u64) {
        let Some(path) = &self.path else { return };
        let (act, who, from) = (act.to_owned(), who.to_owned(), from.to_owned());
        let entry = AuditEntry { at: Timestamp::now(), act, who, from, what, left_out };
        if let Err(error) = write(path, &entry) {
            tracing::error!(%error, ?entry, path = %path.display(), "the audit log cannot be written");
        }
    }
}

fn write(path: &Path, entry: &AuditEntry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // In one write, so that lines of several programs do not mix.
    options.open(path)?.write_all(&line)
}

/// The last `count` lines of a data folder's audit log, oldest first. A line that cannot be read is left out.
///
/// # Errors
/// When there is a file that cannot be read.
pub fn audit(folder: &Path, count: usize) -> Result<Vec<AuditEntry>, (PathBuf, io::Error)> {
    let path = folder.join(FILE);
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err((path, error)),
    };
    let mut last = std::collections::VecDeque::new();
    for line in io::BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| (path.clone(), error))?;
        if let Ok(entry) = serde_json::from_slice(&line) {
            last.push_back(entry);
            if last.len() > count {
                last.pop_front();
            }
        }
    }
    Ok(last.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_grows_and_a_flood_of_refusals_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(audit(folder.path(), 9).expect("none yet"), []);
        let log = Audit::of(folder.path());
        log.operator("key_created", "gg-abcdefgh for the wiki".into());
        for _ in 0..100 {
            log.refused("api_refused", "?", "192.0.2.1", "no key\nsecond line".into());
        }
        Audit::of(folder.path()).machine("member_joined", "1234", "anna".into());
        let lines = audit(folder.path(), 9).expect("readable");
        let acts: Vec<&str> = lines.iter().map(|line| line.act.as_str()).collect();
        assert_eq!(acts, ["key_created", "api_refused", "member_joined"]);
        assert_eq!(audit(folder.path(), 1).expect("readable")[0].act, "member_joined");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
