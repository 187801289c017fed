//! The processes of an app, what they hold and what they take, as the system counts it.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// The name of its program, cut to 15 bytes.
    pub name: String,
}

impl Process {
    /// Its part of the memory: what it shares with others is divided among them (PSS). In bytes.
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

    /// CPU time since it started, in the kernel's ticks (10 ms).
    ///
    /// # Errors
    /// When it has ended.
    pub fn ticks(&self) -> Result<u64> {
        let fields = stat(self.pid).with_context(|| format!("{} has ended", self.name))?;
        // utime and stime are the 14th and 15th field, counted from the process's id.
        let ticks = |field: usize| fields.rest.get(field - 3)?.parse::<u64>().ok();
        let sum = ticks(14).zip(ticks(15)).map(|(user, system)| user + system);
        sum.with_context(|| format!("/proc/{}/stat has no CPU time", self.pid))
    }

    /// Sends it a signal; it may have ended already.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// A process and everything that it started and that still has its parent, the process itself first.
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

/// Every process whose environment or command line names this folder, whoever its parent is now.
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

/// The processes that run now.
fn all() -> BTreeSet<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
    pids.filter_map(|pid| {
        let fields = stat(pid)?;
        // A zombie runs no more: only its parent still has to notice.
        let parent = fields.rest.get(1)?.parse().ok()?;
        (fields.rest[0] != "Z").then_some(Process { pid, parent, name: fields.name })
    })
    .collect()
}

struct Stat {
    name: String,
    /// From the third field on: state, parent, ...
    rest: Vec<String>,
}

/// `PID (NAME) STATE PARENT …`, where the name may have blanks and brackets of its own.
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
        // Pages that other tests of this program share count in parts.
        assert!(own.memory().unwrap() > 64 << 10);
        // At least as much as a loop that runs until the clock has moved on.
        let before = own.ticks().unwrap();
        while own.ticks().unwrap() == before {}
    }

    #[test]
    fn a_process_that_names_a_folder_is_found_until_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").env("SOME", folder.path()).spawn().unwrap();
        // The environment is the new program's only once it has replaced this one.
        let found = || naming(folder.path()).into_iter().find(|process| process.pid == child.id());
        while found().is_none_or(|process| process.name != "sleep") {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(naming(folder.path()), []);
    }
}
