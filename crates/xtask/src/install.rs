//! Installs what the tests need beyond Rust, only where it is missing and only where it may: Debian packages through
//! apt, the test runner into the target directory, the Python client into a virtual environment there.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The test runner that is built when none is there that fits .config/nextest.toml.
const NEXTEST_VERSION: &str = "0.9.143";

/// Programs of the tests, the Debian packages that have them, and what they are for.
const DEBIAN: [(&str, &str, &str); 3] = [
    ("python3", "python3", "the OpenAI client"),
    ("ip", "iproute2", "machines with addresses of their own (network namespaces)"),
    ("curl", "curl", "the command line that the demo prints"),
];

/// Debian packages that are missing, installed if this user may. What stays missing is said, never fatal here:
/// the tests that need it fail or say that they were skipped.
pub(crate) fn debian_packages(workspace: &Workspace) {
    let mut missing: Vec<(&str, &str)> =
        DEBIAN.iter().filter(|(program, ..)| workspace.which(program).is_none()).map(|&(_, p, why)| (p, why)).collect();
    if !quiet(workspace.command("python3").args(["-c", "import ensurepip, venv"])) {
        missing.push(("python3-venv", "the OpenAI client"));
    }
    if missing.is_empty() {
        return;
    }
    let names: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    eprintln!("\n── Debian packages: {}", names.join(" "));
    if let Err(error) = apt_install(workspace, &names) {
        for (package, purpose) in missing {
            eprintln!("   {package} is missing ({purpose}): {error:#}");
        }
    }
}

fn apt_install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    ensure!(workspace.which("apt-get").is_some(), "this system has no apt-get; install it by hand");
    let elevate: &[&str] = if is_root() {
        &["env"]
    } else if quiet(workspace.command("sudo").args(["-n", "true"])) {
        &["sudo", "-n", "env"]
    } else {
        bail!("installing needs root, or sudo without a password; install it by hand");
    };
    let apt = |args: &[&str]| {
        let mut command = workspace.command(elevate[0]);
        command.args(&elevate[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]).args(args);
        succeed(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], packages].concat())
}

/// Whether a test runner is there that accepts .config/nextest.toml.
pub(crate) fn has_nextest(workspace: &Workspace) -> bool {
    quiet(&mut workspace.cargo(["nextest", "show-config", "version"]))
}

/// Builds the test runner where it is missing; an error says why there is none.
pub(crate) fn nextest(workspace: &Workspace) -> Result<()> {
    if has_nextest(workspace) {
        return Ok(());
    }
    eprintln!("\n── cargo-nextest {NEXTEST_VERSION}: built once, some minutes");
    let tools = workspace.target.join("tools");
    let build = tools.join("build");
    let mut install = workspace.cargo(["install", "cargo-nextest", "--locked", "--version", NEXTEST_VERSION, "--root"]);
    // It mostly waits for tests: built quickly rather than to be quick.
    install
        .arg(&tools)
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    let outcome = succeed(&mut install);
    if build.exists() {
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    }
    outcome?;
    ensure!(has_nextest(workspace), "the installed cargo-nextest does not accept .config/nextest.toml");
    Ok(())
}

/// Where [`python_client`] puts the interpreter that has the OpenAI client.
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
        && quiet(workspace.command(python_path(workspace)).args(["-c", "import openai"]))
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

/// Whether this process may do everything (Linux; elsewhere false).
pub(crate) fn is_root() -> bool {
    // The owner of a process's folder in /proc is its effective user.
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == 0)
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Runs without output; true if it could start and succeeded.
fn quiet(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}
