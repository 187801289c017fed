//! How commands are run and what this process may.

use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

/// What npm is called here.
pub(crate) const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// Whether this process may do everything (Linux; elsewhere false).
pub(crate) fn is_root() -> bool {
    // The owner of a process's folder in /proc is its effective user.
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        std::path::Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == 0)
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Runs without output; true if it could start and succeeded.
pub(crate) fn quiet(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Runs without input; an error says how it ended.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}
