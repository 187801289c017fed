//! The page of the desktop app: its packages, its checks, its build, with npm.

use crate::{run::NPM, steps::Steps, workspace::Workspace};
use std::process::Command;

/// The page's folder in the workspace.
const FOLDER: &str = "ui";

/// Installs the packages of the lock file and builds the page; the desktop app is built around it.
pub(crate) fn build(workspace: &Workspace, steps: &mut Steps) -> bool {
    steps.run("ui: packages", npm(workspace).args(["ci", "--no-audit", "--no-fund"]))
        && steps.run("ui: build", npm(workspace).args(["run", "build"]))
}

/// Types, style, logic, and every page in a browser. Needs [`build`].
pub(crate) fn check(workspace: &Workspace, steps: &mut Steps) {
    for (name, script) in [("ui: types", "check"), ("ui: lint", "lint"), ("ui: tests", "test"), ("ui: pages", "pages")]
    {
        steps.run(name, npm(workspace).args(["run", script]));
    }
}

/// Whether the page was built.
pub(crate) fn is_built(workspace: &Workspace) -> bool {
    workspace.root.join(FOLDER).join("dist/index.html").is_file()
}

/// npm in the page's folder.
fn npm(workspace: &Workspace) -> Command {
    let mut command = workspace.command(NPM);
    command.current_dir(workspace.root.join(FOLDER));
    command
}
