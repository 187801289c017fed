//! Whether the package does what a package must: the story of tests/e2e/desktop/bundle.rs with the one just made.

use super::{Profile, newest};
use crate::{debian, run::is_root, steps::Steps, workspace::Workspace};
use anyhow::{Result, ensure};

/// The story's name.
const STORY: &str = "desktop::bundle";

/// Where the story finds the package.
pub(crate) const PACKAGE: &str = "GOGRID_TEST_DEB";

/// Runs it.
pub(super) fn run(workspace: &Workspace, steps: &mut Steps, profile: Profile) -> Result<()> {
    ensure!(is_root(), "--check installs a package: it needs root");
    debian::install(workspace, &debian::TESTS);
    let mut story = workspace.cargo(["test", "--package", "gogrid-tests", "--test", "e2e", "--", STORY, "--nocapture"]);
    story.env(PACKAGE, newest(workspace, profile, "deb")?);
    // The kit's own programs are not used here, but it looks for them beside the test.
    steps.run("check", story.env("GOGRID_BIN", profile.folder(workspace).join("gogrid")));
    Ok(())
}
