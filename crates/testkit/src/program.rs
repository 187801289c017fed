//! A program in the background of a test. Its output goes to files, and it ends when its value is dropped.

use crate::wait_until;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, kill_process, kill_process_group, test_kill_process_group};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

pub use rustix::process::Signal;

/// Lines of its log that a program prints when it ends: enough for a panic and its cause.
const SHOWN_LINES: usize = 60;

/// A running child process.
///
/// It stays in the test's process group, so that a runner that kills the test kills it as well. For programs that start
/// others, use [`spawn_group`](Self::spawn_group).
pub struct Program {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    leads_group: bool,
}

impl Program {
    /// Starts a command with its output in `logs/NAME.out` and `logs/NAME.err`, and this text as its input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, command: Command, logs: &Path, input: &str) -> Result<Self> {
        Self::start(name, command, logs, input, false)
    }

    /// As [`spawn`](Self::spawn), at the head of a process group of its own: what it started ends with it, and
    /// [`group_is_empty`](Self::group_is_empty) says whether it left anything behind.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_group(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        command.process_group(0);
        Self::start(name, command, logs, "", true)
    }

    fn start(name: &str, mut command: Command, logs: &Path, input: &str, leads_group: bool) -> Result<Self> {
        fs::create_dir_all(logs)?;
        let file = |suffix: &str| logs.join(format!("{name}.{suffix}"));
        let (stdin, stdout, stderr) = (file("in"), file("out"), file("err"));
        fs::write(&stdin, input)?;
        command.stdin(File::open(&stdin)?).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr, leads_group })
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// Waits for a line of standard output that starts with `prefix`, and returns the rest of it.
    ///
    /// # Errors
    /// When the deadline passes or the program ends before.
    pub async fn line(&mut self, prefix: &str, deadline: Duration) -> Result<String> {
        let what = format!("{} prints `{prefix}…`", self.name);
        wait_until(&what, deadline, async || {
            let ended = self.child.try_wait()?;
            let text = self.stdout();
            // Only whole lines: the last one may be incomplete.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            match (whole.lines().find_map(|line| line.strip_prefix(prefix)), ended) {
                (Some(rest), _) => Ok(Some(rest.trim().to_owned())),
                (None, Some(status)) => bail!("{} ended ({status}) before `{prefix}`", self.name),
                (None, None) => Ok(None),
            }
        })
        .await
    }

    /// Errors if the process has ended.
    ///
    /// # Errors
    /// See above: how it ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended unexpectedly ({status})", self.name),
        }
    }

    /// How the process ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.id(), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Sends a signal to the process and its children, as a terminal does at Ctrl-C.
    ///
    /// # Errors
    /// When all of them have ended already.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        kill_process_group(self.id(), signal).with_context(|| format!("cannot signal the group of {}", self.name))
    }

    /// Kills the process at once, as a power cut would.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// When it has not by the deadline.
    pub async fn exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        wait_until(&format!("{} ends", self.name), deadline, async || Ok(self.child.try_wait()?)).await
    }

    /// Sends SIGTERM and expects exit code 0.
    ///
    /// # Errors
    /// When it ends otherwise, or not by the deadline.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.exit(deadline).await?;
        anyhow::ensure!(status.success(), "{} ended with {status} after SIGTERM", self.name);
        Ok(())
    }

    /// Whether no process of its group is left.
    pub fn group_is_empty(&self) -> bool {
        test_kill_process_group(self.id()).is_err()
    }

    /// The most memory that was ever resident, in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        self.memory_field("VmHWM:")
    }

    /// The memory that is resident now, in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory(&self) -> Result<u64> {
        self.memory_field("VmRSS:")
    }

    /// CPU time of all its threads since it started, as the system counts it.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/task", self.pid());
        let mut nanos = 0;
        for task in fs::read_dir(&path).with_context(|| format!("{} has ended: no {path}", self.name))? {
            // A thread may have ended.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += text.split_whitespace().next().and_then(|run| run.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn memory_field(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("{} has ended: no {path}", self.name))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).context("the process has ended")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{field} {line}"))?;
        Ok(kib * 1024)
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.leads_group {
            let _ = kill_process_group(self.id(), Signal::KILL);
        }
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for (stream, text) in [("out", self.stdout()), ("err", self.stderr())] {
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                eprintln!("[{} {stream}] {line}", self.name);
            }
        }
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// No input and no output, for commands whose exit status is all that matters.
pub(crate) fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
