//! Stories of tests/e2e/desktop with the programs and the package that were just built.

use super::{Profile, newest};
use crate::{debian, run::is_root, steps::Steps, workspace::Workspace};
use anyhow::{Result, ensure};
use std::process::Command;

/// Where the package's story finds the package.
pub(crate) const PACKAGE: &str = "GOGRID_TEST_DEB";

/// Tells the stories that nothing else runs here, and that their times have to be those that are promised.
const FIGURES_COUNT: &str = "GOGRID_FIGURES_COUNT";

/// Whether the package does what a package must: installed, used, removed.
pub(super) fn package(workspace: &Workspace, steps: &mut Steps, profile: Profile) -> Result<()> {
    ensure!(is_root(), "--check installs a package: it needs root");
    debian::install(workspace, &debian::TESTS);
    steps.run("check", story(workspace, profile, "desktop::bundle").env(PACKAGE, newest(workspace, profile, "deb")?));
    Ok(())
}

/// What the app costs, and how soon a click stops the computing. The stories print their figures.
pub(super) fn figures(workspace: &Workspace, steps: &mut Steps, profile: Profile) {
    debian::install(workspace, &debian::TESTS);
    for (name, story_of) in [("cost", "desktop::cost"), ("pause", "desktop::pause")] {
        steps.run(name, story(workspace, profile, story_of).env(FIGURES_COUNT, "1"));
    }
}

fn story(workspace: &Workspace, profile: Profile, name: &str) -> Command {
    let mut story = workspace.cargo(["test", "--package", "gogrid-tests", "--test", "e2e", "--", name, "--nocapture"]);
    // The kit looks for the programs beside this one.
    story.env("GOGRID_BIN", profile.folder(workspace).join("gogrid"));
    story
}
