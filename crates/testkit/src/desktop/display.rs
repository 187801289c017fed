//! A desktop for one test: a home folder, a session bus, a screen and a window manager.

use crate::{Program, SOON, bus::Bus, cluster::ENVIRONMENT, wait_until};
use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The screen, larger than the smallest window that the app supports.
const SCREEN: &str = "1280x800x24";

/// The variables of the tester's environment that programs on this desktop inherit. Others could lead them out of it.
const INHERITED: [&str; 6] = ["PATH", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE", "GOGRID_LOG", "TZ"];

/// A desktop. Dropping it ends its programs and removes its home folder.
pub struct Desktop {
    // Dropped in this order.
    _window_manager: Program,
    screen: Program,
    bus: Bus,
    display: String,
    folder: TempDir,
}

impl Desktop {
    /// Starts a desktop, and waits until windows can be opened on it.
    ///
    /// # Errors
    /// When a program is missing or does not start.
    pub async fn start() -> Result<Self> {
        // A short name, because a socket's path has at most 107 bytes and the worker's socket is five folders deeper.
        let folder = tempfile::Builder::new().prefix("gg-").tempdir()?;
        let path = folder.path();
        // The bus and the key store put their sockets here, and require a private folder.
        DirBuilder::new().mode(0o700).create(path.join("run"))?;
        fs::create_dir(path.join("home"))?;
        let bus = Bus::start(path, |program| command(path, "", "", program)).await?;

        let mut screen = command(path, bus.address(), "", "Xvfb");
        // It chooses a free number, and prints it once it listens. Without -noreset it would reset itself whenever its
        // last client disconnects.
        screen.args(["-displayfd", "1", "-screen", "0", SCREEN, "-noreset", "-nolisten", "tcp"]);
        let mut screen = start("Xvfb", screen, path)?;
        let display = format!(":{}", screen.line("", SOON).await?);

        let window_manager = start("openbox", command(path, bus.address(), &display, "openbox"), path)?;
        let desktop = Self { _window_manager: window_manager, screen, bus, display, folder };
        wait_until("the window manager manages", SOON, async || Ok(desktop.is_managed().then_some(()))).await?;
        Ok(desktop)
    }

    /// The session bus's address.
    pub fn bus(&self) -> &str {
        self.bus.address()
    }

    /// The user's home folder.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder for the output of programs and for a test's own files.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// A command on this desktop.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command(self.folder.path(), self.bus.address(), &self.display, program)
    }

    /// Starts a program. Its output goes into [`scratch`](Self::scratch) under this name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_program(&self, name: &str, command: Command) -> Result<Program> {
        start(name, command, self.folder.path())
    }

    /// Runs a command to its end, such as `xdotool`, and returns its output.
    ///
    /// # Errors
    /// When it cannot start or fails.
    pub fn run<const N: usize>(&self, program: &str, args: [&str; N]) -> Result<String> {
        let output = self.command(program).args(args).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {program}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {} {}", args.join(" "), output.status, said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The titles of all open windows.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn windows(&self) -> Result<Vec<String>> {
        let listed = self.run("wmctrl", ["-l"])?;
        // Columns: ID DESKTOP HOST TITLE…
        let title = |line: &str| line.split_whitespace().skip(3).collect::<Vec<_>>().join(" ");
        Ok(listed.lines().map(title).collect())
    }

    /// Checks that the screen is still there; without it a test observes nothing of the app.
    ///
    /// # Errors
    /// When the screen has gone.
    pub fn expect_running(&mut self) -> Result<()> {
        self.screen.expect_running()
    }

    fn is_managed(&self) -> bool {
        self.run("wmctrl", ["-m"]).is_ok()
    }
}

fn start(name: &str, command: Command, folder: &Path) -> Result<Program> {
    Program::spawn(name, command, &folder.join("logs"), "").context(
        "the desktop tests need Debian's xvfb, dbus-daemon, \
        openbox and wmctrl: `cargo xtask test` installs them",
    )
}

fn command(folder: &Path, bus: &str, display: &str, program: impl AsRef<OsStr>) -> Command {
    let home = folder.join("home");
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(ENVIRONMENT);
    command
        .current_dir(&home)
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", folder.join("run"))
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("XDG_DATA_HOME", home.join(".local/share"))
        .env("XDG_CACHE_HOME", home.join(".cache"))
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .env("LANG", "C.UTF-8")
        .env("GDK_BACKEND", "x11")
        // Look for no graphics card, and for no accessibility bus, because there is none.
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("NO_AT_BRIDGE", "1");
    if !display.is_empty() {
        command.env("DISPLAY", display);
    }
    command
}
