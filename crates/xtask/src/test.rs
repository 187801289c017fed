//! `cargo xtask test`: what a change must pass, in the order that finds mistakes soonest.

use crate::{bundle, debian, install, run::is_root, steps::Steps, ui, workspace::Workspace};
use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};

/// Every check and test; `fast` leaves out what needs processes, installs or minutes.
pub(crate) fn run(fast: bool) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut steps = Steps::default();
    steps.run("format", &mut workspace.cargo(["fmt", "--all", "--check"]));
    if !fast {
        // First of all: without libraries and page the desktop app does not even compile.
        debian::install(&workspace, debian::DESKTOP_BUILD.iter().chain(&debian::TESTS));
        if ui::build(&workspace, &mut steps) {
            ui::check(&workspace, &mut steps);
        }
    }
    let left_out = left_out(&workspace, &mut steps, fast);
    let mut clippy = workspace.cargo(["clippy", "--workspace", "--all-targets", "--quiet"]);
    steps.run("clippy", clippy.args(left_out).args(["--", "-D", "warnings"]));
    // Programs and tests in one go: the end-to-end tests run the programs that lie beside them.
    if steps.run("build", workspace.cargo(["build", "--workspace", "--bins", "--tests"]).args(left_out)) {
        tests(&workspace, &mut steps, fast, left_out);
    }
    if fast {
        steps.skip("end-to-end tests", "--fast");
    } else {
        // Every order in which threads can meet in the pacer. Built apart: the flag changes every crate below it.
        let mut loom =
            workspace.cargo(["test", "--package", "gogrid-limits", "--lib", "--release", "--", "loom_tests"]);
        loom.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", workspace.target.join("loom"));
        steps.run("loom", &mut loom);
        steps.run("doc tests", &mut workspace.cargo(["test", "--workspace", "--doc", "--quiet"]));
        // Nothing here is published: the pages are for those who work on it, private items included.
        let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
        steps.run("docs", doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"));
        dependencies(&workspace, &mut steps);
        alert_rules(&workspace, &mut steps);
    }
    Ok(if steps.summary() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Arguments that leave out the desktop app where a quick run, which installs nothing, cannot build it.
fn left_out(workspace: &Workspace, steps: &mut Steps, fast: bool) -> &'static [&'static str] {
    let why = if !debian::are_there(workspace, &debian::DESKTOP_BUILD) {
        "its libraries are missing"
    } else if !ui::is_built(workspace) {
        "its page is not built"
    } else {
        return &[];
    };
    if !fast {
        // Said above, and the build will say it again.
        return &[];
    }
    steps.skip("desktop app", format!("{why}; `cargo xtask test` sees to that"));
    &["--exclude", "gogrid-desktop"]
}

fn tests(workspace: &Workspace, steps: &mut Steps, fast: bool, left_out: &[&str]) {
    let package = if fast { None } else { prepare(workspace, steps) };
    let mut command = if install::has_nextest(workspace) {
        let mut nextest = workspace.cargo(["nextest", "run", "--workspace", "--profile", "ci"]);
        if fast {
            nextest.args(["--filterset", "not package(gogrid-tests)"]);
        }
        nextest.args(left_out);
        nextest
    } else {
        let mut plain = workspace.cargo(["test", "--workspace", "--bins", "--lib", "--tests", "--no-fail-fast"]);
        if fast {
            plain.args(["--exclude", "gogrid-tests"]);
        }
        plain.args(left_out).args(["--", "--test-threads", "1"]);
        plain
    };
    if let Some(package) = package {
        command.env(bundle::PACKAGE, package);
    }
    steps.run("tests", command.env("GOGRID_TEST_PYTHON", install::python_path(workspace)));
}

/// Installs what is missing, and says what cannot be had and what that means. Returns the desktop app's package, where
/// it can be made and installed.
fn prepare(workspace: &Workspace, steps: &mut Steps) -> Option<PathBuf> {
    if let Err(error) = install::nextest(workspace) {
        eprintln!("   no cargo-nextest ({error:#}): plain `cargo test`, one test at a time");
    }
    if let Err(error) = install::python_client(workspace) {
        eprintln!("   no OpenAI client ({error:#}): the test that uses it will fail");
    }
    if !is_root() {
        steps.skip("two machines, package", "network namespaces and installing need root: those tests are skipped");
        return None;
    }
    if !cfg!(target_os = "linux") || workspace.which("dpkg").is_none() {
        steps.skip("package", "no dpkg to install it with");
        return None;
    }
    bundle::debug_deb(workspace, steps)
}

/// Runs the test of the alert rules, where Prometheus' tool is.
fn alert_rules(workspace: &Workspace, steps: &mut Steps) {
    match workspace.which("promtool") {
        Some(promtool) => {
            let mut test = std::process::Command::new(promtool);
            test.args(["test", "rules", "alerts_test.yml"]).current_dir(workspace.root.join("docs/monitoring"));
            steps.run("alert rules", &mut test);
        }
        None => steps.skip("alert rules", "promtool is missing"),
    }
}

/// Checks the dependencies: licences, bans and sources, and those that nothing uses.
fn dependencies(workspace: &Workspace, steps: &mut Steps) {
    // Advisories are left to a scheduled run: they change from day to day, a commit's verdict must not.
    let deny = ["deny", "--workspace", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    for (step, tool, mut command) in [
        ("cargo deny", install::DENY, workspace.cargo(deny)),
        ("cargo machete", install::MACHETE, workspace.cargo(["machete"])),
    ] {
        match install::dependency_tool(workspace, &tool) {
            Ok(()) => drop(steps.run(step, &mut command)),
            Err(error) => steps.fail(step, format!("{} cannot be installed: {error:#}", tool.name)),
        }
    }
}
