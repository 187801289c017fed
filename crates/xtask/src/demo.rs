//! `cargo xtask demo`: the release build of `gogrid demo`.

use crate::workspace::Workspace;
use anyhow::Result;
use std::{ffi::OsString, process::ExitCode};

/// Builds and becomes `gogrid demo ARGS…`: where the system can, this process is replaced by it, so that a signal
/// meant for the demo reaches the demo.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut command = workspace.cargo(["run", "--release", "--package", "gogrid", "--bin", "gogrid", "--", "demo"]);
    command.args(args);
    become_command(command)
}

#[cfg(unix)]
fn become_command(mut command: std::process::Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(anyhow::Error::new(command.exec()).context("cannot start cargo"))
}

#[cfg(not(unix))]
fn become_command(mut command: std::process::Command) -> Result<ExitCode> {
    use anyhow::Context as _;
    let status = command.status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
