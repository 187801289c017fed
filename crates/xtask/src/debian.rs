//! Debian packages that builds and tests need: which are missing, and their installation where this user may.

use crate::{
    run::{is_root, quiet, succeed},
    workspace::Workspace,
};
use anyhow::{Result, bail, ensure};

/// By what it is seen that a package is there.
enum Sign {
    /// A program of this name.
    Program(&'static str),
    /// A library of this name that pkg-config knows.
    Library(&'static str),
    /// Modules that Python can import.
    Python(&'static str),
}

/// A package that something here needs.
pub(crate) struct Package {
    name: &'static str,
    sign: Sign,
    purpose: &'static str,
}

const fn program(program: &'static str, name: &'static str, purpose: &'static str) -> Package {
    Package { name, sign: Sign::Program(program), purpose }
}

const fn library(library: &'static str, name: &'static str, purpose: &'static str) -> Package {
    Package { name, sign: Sign::Library(library), purpose }
}

/// What the desktop app is built from. Node is not among them: Debian's is too old for the page's tools.
pub(crate) const DESKTOP_BUILD: [Package; 3] = [
    program("pkg-config", "pkg-config", "finding the libraries"),
    library("webkit2gtk-4.1", "libwebkit2gtk-4.1-dev", "the desktop app's window"),
    library("ayatana-appindicator3-0.1", "libayatana-appindicator3-dev", "the desktop app's tray icon"),
];

/// What the tests run.
pub(crate) const TESTS: [Package; 16] = [
    program("python3", "python3", "the OpenAI client"),
    Package { name: "python3-venv", sign: Sign::Python("ensurepip, venv"), purpose: "the OpenAI client" },
    program("ip", "iproute2", "machines with addresses of their own (network namespaces)"),
    program("curl", "curl", "the command line that the demo prints"),
    program("promtool", "prometheus", "the alert rules"),
    program("openssl", "openssl", "certificates"),
    program("chromium", "chromium", "the page's accessibility and its pictures"),
    program("Xvfb", "xvfb", "a screen for the desktop app"),
    program("dbus-daemon", "dbus-daemon", "a session bus for the desktop app"),
    program("openbox", "openbox", "windows that can be closed from outside"),
    program("wmctrl", "wmctrl", "closing and raising windows"),
    program("xdotool", "xdotool", "a mouse for the desktop app"),
    program("WebKitWebDriver", "webkit2gtk-driver", "clicking in the desktop app's window"),
    program("gnome-keyring-daemon", "gnome-keyring", "a key store"),
    program("secret-tool", "libsecret-tools", "looking into the key store"),
    program("desktop-file-validate", "desktop-file-utils", "the desktop entry"),
];

/// Installs those that are missing, if this user may. What stays missing is said, never fatal here: whatever needs it
/// fails or says that it was skipped.
pub(crate) fn install<'a>(workspace: &Workspace, packages: impl IntoIterator<Item = &'a Package>) {
    let missing: Vec<&Package> = packages.into_iter().filter(|package| !is_there(workspace, &package.sign)).collect();
    if missing.is_empty() {
        return;
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    eprintln!("\n── Debian packages: {}", names.join(" "));
    if let Err(error) = apt_install(workspace, &names) {
        for Package { name, purpose, .. } in missing {
            eprintln!("   {name} is missing ({purpose}): {error:#}");
        }
    }
}

/// Whether all of them are there.
pub(crate) fn are_there<'a>(workspace: &Workspace, packages: impl IntoIterator<Item = &'a Package>) -> bool {
    packages.into_iter().all(|package| is_there(workspace, &package.sign))
}

fn is_there(workspace: &Workspace, sign: &Sign) -> bool {
    match sign {
        Sign::Program(name) => workspace.which(name).is_some(),
        Sign::Library(name) => quiet(workspace.command("pkg-config").args(["--exists", name])),
        Sign::Python(modules) => quiet(workspace.command("python3").args(["-c", &format!("import {modules}")])),
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
