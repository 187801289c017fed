//! `cargo xtask test`: what a change must pass, in the order that finds mistakes soonest.

use crate::{install, steps::Steps, workspace::Workspace};
use anyhow::Result;
use std::process::ExitCode;

/// Every check and test; `fast` leaves out what needs processes, installs or minutes.
pub(crate) fn run(fast: bool) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut steps = Steps::default();
    steps.run("format", &mut workspace.cargo(["fmt", "--all", "--check"]));
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    steps.run("clippy", &mut workspace.cargo(clippy));
    // Programs and tests in one go: the end-to-end tests run the program that lies beside them.
    if steps.run("build", &mut workspace.cargo(["build", "--workspace", "--bins", "--tests"])) {
        tests(&workspace, &mut steps, fast);
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
        // Nothing here is published: the pages are for whoever works on it, private items included.
        let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
        steps.run("docs", doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"));
        dependencies(&workspace, &mut steps);
    }
    Ok(if steps.summary() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tests(workspace: &Workspace, steps: &mut Steps, fast: bool) {
    if !fast {
        prepare(workspace, steps);
    }
    let mut command = if install::has_nextest(workspace) {
        let mut nextest = workspace.cargo(["nextest", "run", "--workspace", "--profile", "ci"]);
        if fast {
            nextest.args(["--filterset", "not package(gogrid-tests)"]);
        }
        nextest
    } else {
        let mut plain = workspace.cargo(["test", "--workspace", "--bins", "--lib", "--tests", "--no-fail-fast"]);
        if fast {
            plain.args(["--exclude", "gogrid-tests"]);
        }
        plain.args(["--", "--test-threads", "1"]);
        plain
    };
    steps.run("tests", command.env("GOGRID_TEST_PYTHON", install::python_path(workspace)));
}

/// Installs what is missing, and says what cannot be had and what that means.
fn prepare(workspace: &Workspace, steps: &mut Steps) {
    install::debian_packages(workspace);
    if let Err(error) = install::nextest(workspace) {
        eprintln!("   no cargo-nextest ({error:#}): plain `cargo test`, one test at a time");
    }
    if let Err(error) = install::python_client(workspace) {
        eprintln!("   no OpenAI client ({error:#}): the test that uses it will fail");
    }
    if !install::is_root() {
        steps.skip("two machines", "network namespaces need root: that test is skipped");
    }
}

/// Licences, bans and sources of the dependencies, and dependencies that nothing uses: with the tools that are there.
fn dependencies(workspace: &Workspace, steps: &mut Steps) {
    match workspace.which("cargo-deny") {
        // Advisories are left to a scheduled run: they change from day to day, a commit's verdict must not.
        Some(_) => {
            let args = ["deny", "--workspace", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
            steps.run("cargo deny", &mut workspace.cargo(args));
        }
        None => steps.skip("cargo deny", "not installed: cargo install cargo-deny --locked"),
    }
    match workspace.which("cargo-machete") {
        Some(_) => {
            steps.run("cargo machete", &mut workspace.cargo(["machete"]));
        }
        None => steps.skip("cargo machete", "not installed: cargo install cargo-machete --locked"),
    }
}
