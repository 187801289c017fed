//! What debuggers need of a program, in a file beside it: most of a build's bytes, and nobody who installs it reads them.

use crate::{run::succeed, workspace::Workspace};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Moves the line tables of a program into `PROGRAM.debug`, which debuggers find by the program's debug link. Function
/// names stay in the program, for the backtraces of crash reports. Linux; elsewhere the compiler keeps them apart.
///
/// # Errors
/// The program is not built, or binutils are missing.
pub(super) fn move_aside(workspace: &Workspace, program: &Path) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let symbols = symbols(program);
    let built = modified(program)?;
    if symbols.is_file() && modified(&symbols)? >= built {
        return Ok(());
    }
    let objcopy = |arguments: &[&str], files: &[&Path]| {
        succeed(workspace.command("objcopy").args(arguments).args(files))
            .with_context(|| format!("cannot move the symbols of {} aside", program.display()))
    };
    objcopy(&["--only-keep-debug"], &[program, &symbols])?;
    objcopy(&["--strip-debug", "--remove-section=.gnu_debuglink"], &[program])?;
    objcopy(&[&format!("--add-gnu-debuglink={}", symbols.display())], &[program])?;
    // Newer than the program: it is not stripped again before it is built again.
    File::options().write(true).open(&symbols)?.set_modified(SystemTime::now())?;
    Ok(())
}

fn symbols(program: &Path) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(".debug");
    name.into()
}

fn modified(path: &Path) -> Result<SystemTime> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.with_context(|| format!("cannot read {}", path.display()))
}
