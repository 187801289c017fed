//! Installs tools into the target directory, if they are missing: the test runner, the checks of the dependencies, the
//! Python client, the bundler.

use crate::{
    run::{NPM, quiet, succeed},
    workspace::Workspace,
};
use anyhow::{Context, Result, ensure};
use std::{fs, path::PathBuf};

/// The test runner that is built when none is there that fits .config/nextest.toml.
const NEXTEST_VERSION: &str = "0.9.143";

/// A tool that looks at the dependencies.
pub(crate) struct DependencyTool {
    /// Of the crate and of the program.
    pub(crate) name: &'static str,
    version: &'static str,
}

/// Licences, bans and sources, as deny.toml has them.
pub(crate) const DENY: DependencyTool = DependencyTool { name: "cargo-deny", version: "0.20.2" };

/// Dependencies that nothing uses.
pub(crate) const MACHETE: DependencyTool = DependencyTool { name: "cargo-machete", version: "0.9.2" };

/// The bundler of the desktop app, of the same version as the app's own libraries.
const BUNDLER: &str = "@tauri-apps/cli@2.12.5";

/// Whether a test runner is there that accepts .config/nextest.toml.
pub(crate) fn has_nextest(workspace: &Workspace) -> bool {
    quiet(&mut workspace.cargo(["nextest", "show-config", "version"]))
}

/// Builds the test runner where it is missing; an error says why there is none.
pub(crate) fn nextest(workspace: &Workspace) -> Result<()> {
    if has_nextest(workspace) {
        return Ok(());
    }
    build(workspace, "cargo-nextest", NEXTEST_VERSION)?;
    ensure!(has_nextest(workspace), "the installed cargo-nextest does not accept .config/nextest.toml");
    Ok(())
}

/// Builds one of the tools that look at the dependencies, where it is missing.
pub(crate) fn dependency_tool(workspace: &Workspace, tool: &DependencyTool) -> Result<()> {
    if workspace.which(tool.name).is_some() { Ok(()) } else { build(workspace, tool.name, tool.version) }
}

/// Builds a program of crates.io into the target directory.
fn build(workspace: &Workspace, name: &str, version: &str) -> Result<()> {
    eprintln!("\n── {name} {version}: built once, some minutes");
    let tools = workspace.target.join("tools");
    let build = tools.join("build");
    let mut install = workspace.cargo(["install", name, "--locked", "--version", version, "--root"]);
    // Such a tool waits for other programs or reads some files: it is built to be ready soon, not to be fast.
    install
        .arg(&tools)
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    let outcome = succeed(&mut install);
    if build.exists() {
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    }
    outcome
}

/// Where [`python_client`] puts the interpreter that has the APIs' clients.
pub(crate) fn python_path(workspace: &Workspace) -> PathBuf {
    workspace.target.join("test-python/bin/python")
}

/// The pinned Python packages of tests/requirements.txt, in a virtual environment that is made again when they change.
pub(crate) fn python_client(workspace: &Workspace) -> Result<()> {
    let wanted_path = workspace.root.join("tests/requirements.txt");
    let wanted = fs::read_to_string(&wanted_path).with_context(|| format!("cannot read {}", wanted_path.display()))?;
    let home = workspace.target.join("test-python");
    let installed = home.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|have| have == wanted)
        && quiet(workspace.command(python_path(workspace)).args(["-c", "import anthropic, openai"]))
    {
        return Ok(());
    }
    eprintln!("\n── Python packages of tests/requirements.txt");
    succeed(workspace.command("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut pip = workspace.command(python_path(workspace));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted_path);
    succeed(&mut pip)?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}

/// The script that makes bundles, for Node; installed where it is missing.
pub(crate) fn bundler(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("tools/npm");
    let script = folder.join("node_modules/@tauri-apps/cli/tauri.js");
    let installed = folder.join("installed.txt");
    if !(script.is_file() && fs::read_to_string(&installed).is_ok_and(|have| have == BUNDLER)) {
        eprintln!("\n── {BUNDLER}");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut npm = workspace.command(NPM);
        npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&folder).arg(BUNDLER);
        succeed(&mut npm)?;
        fs::write(&installed, BUNDLER).with_context(|| format!("cannot write {}", installed.display()))?;
    }
    Ok(script)
}
