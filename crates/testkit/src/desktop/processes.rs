//! The processes of an app, with their memory and CPU time as counted by the system.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The id of its parent.
    pub parent: u32,
    /// The name of its program, cut to 15 bytes.
    pub name: String,
}

impl Process {
    /// Its proportional set size (PSS) in bytes: shared memory is divided among its users.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("{} has ended: no {path}", self.name))?;
        let line =
            text.lines().find_map(|line| line.strip_prefix("Pss:")).with_context(|| format!("no Pss in {path}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("Pss: {line}"))?;
        Ok(kib * 1024)
    }

    /// The CPU time since its start, in ticks of 10 ms.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ticks(&self) -> Result<u64> {
        let fields = stat(self.pid).with_context(|| format!("{} has ended", self.name))?;
        // utime and stime are fields 14 and 15, counted from the process id.
        let ticks = |field: usize| fields.rest.get(field - 3)?.parse::<u64>().ok();
        let sum = ticks(14).zip(ticks(15)).map(|(user, system)| user + system);
        sum.with_context(|| format!("/proc/{}/stat has no CPU time", self.pid))
    }

    /// Sends it a signal, if it has not ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// A process and its descendants, the process itself first.
pub fn tree(root: u32) -> Vec<Process> {
    let all = all();
    let mut tree: Vec<Process> = all.iter().filter(|process| process.pid == root).cloned().collect();
    let mut at = 0;
    while let Some(parent) = tree.get(at).map(|process| process.pid) {
        tree.extend(all.iter().filter(|process| process.parent == parent).cloned());
        at += 1;
    }
    tree
}

/// Every process whose environment or command line names this folder.
pub(super) fn naming(folder: &Path) -> Vec<Process> {
    let folder = folder.as_os_str().as_bytes();
    let names = |process: &Process| {
        ["environ", "cmdline"].iter().any(|file| {
            let text = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            text.windows(folder.len()).any(|part| part == folder)
        })
    };
    all().into_iter().filter(names).collect()
}

/// The running processes.
fn all() -> BTreeSet<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
    pids.filter_map(|pid| {
        let fields = stat(pid)?;
        // A zombie has ended; its parent has not noticed yet.
        let parent = fields.rest.get(1)?.parse().ok()?;
        (fields.rest[0] != "Z").then_some(Process { pid, parent, name: fields.name })
    })
    .collect()
}

struct Stat {
    name: String,
    /// The fields from the third on: state, parent, …
    rest: Vec<String>,
}

/// Parses `PID (NAME) STATE PARENT …`. The name may contain spaces and parentheses.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (open, close) = (text.iter().position(|&byte| byte == b'(')?, text.iter().rposition(|&byte| byte == b')')?);
    let name = OsStr::from_bytes(text.get(open + 1..close)?).to_string_lossy().into_owned();
    let rest = String::from_utf8_lossy(text.get(close + 1..)?).split_whitespace().map(ToOwned::to_owned).collect();
    Some(Stat { name, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_its_parent_memory_and_time() {
        let own = &tree(std::process::id())[0];
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        // Pages shared with other tests of this program count in part.
        assert!(own.memory().unwrap() > 64 << 10);
        // Runs until the clock has advanced.
        let before = own.ticks().unwrap();
        while own.ticks().unwrap() == before {}
    }

    #[test]
    fn a_process_that_names_a_folder_is_found_until_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").env("SOME", folder.path()).spawn().unwrap();
        // The environment is the new program's only after `exec`.
        let found = || naming(folder.path()).into_iter().find(|process| process.pid == child.id());
        while found().is_none_or(|process| process.name != "sleep") {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(naming(folder.path()), []);
    }
}
