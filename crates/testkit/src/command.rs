//! The `gogrid` program that was built beside the tests, on this machine or inside a network namespace.

use anyhow::{Context, Result, bail, ensure};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

/// The longest that a command which answers and ends may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// The built program: `GOGRID_BIN`, or the one in the folder that the running test was built into.
///
/// # Panics
/// When it was not built.
pub fn gogrid_path() -> PathBuf {
    if let Some(path) = std::env::var_os("GOGRID_BIN") {
        return path.into();
    }
    // TARGET/PROFILE/deps/TEST
    let test = std::env::current_exe().expect("the running test has a path");
    let folder = test.ancestors().nth(2).expect("tests are built into TARGET/PROFILE/deps");
    let path = folder.join(format!("gogrid{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --package gogrid` first, or set GOGRID_BIN",
        path.display()
    );
    path
}

/// The folder of the demo model.
pub fn demo_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model")
}

/// Where a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// This machine.
    Local,
    /// A machine of a [`Network`](crate::Network).
    Machine {
        /// Its network namespace.
        namespace: String,
        /// Its address.
        address: String,
    },
}

impl Host {
    /// The address that servers on this host listen on.
    pub fn address(&self) -> &str {
        match self {
            Self::Local => "127.0.0.1",
            Self::Machine { address, .. } => address,
        }
    }

    /// A command that runs the built `gogrid` on this host.
    pub fn gogrid<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> std::process::Command {
        let mut command = match self {
            Self::Local => std::process::Command::new(gogrid_path()),
            Self::Machine { namespace, .. } => {
                let mut command = std::process::Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(gogrid_path());
                command
            }
        };
        command.args(args);
        command
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct CommandOutput {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl CommandOutput {
    /// Standard output of a command that succeeded.
    ///
    /// # Errors
    /// When it did not: what it said.
    pub fn success(self) -> Result<String> {
        ensure!(self.code == Some(0), "exit code {:?}: {}", self.code, self.stderr.trim());
        Ok(self.stdout)
    }

    /// Standard error of a command that refused: a code that is not 0, and no panic.
    ///
    /// # Errors
    /// When it succeeded, panicked or was ended by a signal.
    pub fn refusal(self) -> Result<String> {
        match self.code {
            Some(0) => bail!("succeeded, but should have refused: {}", self.stdout.trim()),
            None => bail!("a signal ended it: {}", self.stderr.trim()),
            Some(_) if self.stderr.contains("panicked at") => bail!("it panicked: {}", self.stderr.trim()),
            Some(_) => Ok(self.stderr),
        }
    }
}

/// Runs `gogrid ARGS…` to its end on a host.
///
/// # Errors
/// When it cannot start or does not end by a deadline; how it ended is the caller's to judge.
pub async fn run_gogrid<S: AsRef<OsStr>>(host: &Host, args: impl IntoIterator<Item = S>) -> Result<CommandOutput> {
    let command = host.gogrid(args);
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_DEADLINE, command.output())
        .await
        .with_context(|| format!("{shown} did not end within {} s", COMMAND_DEADLINE.as_secs()))?
        .with_context(|| format!("cannot start {shown}"))?;
    Ok(CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
