//! Where the workspace and its build outputs are, and how cargo is called from here.

use anyhow::{Context, Result};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// What cargo sets for the program it runs. Build scripts that watch these (ring's does) would run again
/// whenever a build is started from here rather than from a shell.
const SET_BY_CARGO_RUN: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];

/// The workspace and its build outputs.
pub(crate) struct Workspace {
    /// The folder with the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// The target directory that this program was built into, wherever it is configured.
    pub(crate) target: PathBuf,
    /// The search path for commands: what this program installed comes first.
    path: std::ffi::OsString,
}

impl Workspace {
    /// Finds the workspace from where cargo started this program.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).ancestors().nth(2).context("xtask lies in crates/xtask")?.to_owned();
        // TARGET/PROFILE/xtask
        let program = env::current_exe().context("the running program has no path")?;
        let target = program.ancestors().nth(2).context("xtask runs from a target directory")?.to_owned();
        let tools = [target.join("tools/bin")];
        let path =
            env::join_paths(tools.into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())))?;
        Ok(Self { root, target, path })
    }

    /// A command that runs in the workspace's root, with what was installed here on its search path.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("PATH", &self.path);
        for (name, _) in env::vars_os() {
            if SET_BY_CARGO_RUN.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }

    /// `cargo ARGS…`, the cargo that runs this program.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }

    /// Where an executable of this name lies, on the search path or in the system folders that users' paths leave out.
    pub(crate) fn which(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }
}
