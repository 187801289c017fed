//! The desktop app's process, and the processes that it starts.

use super::{Control, Desktop, Process, processes};
use crate::{Program, Signal, gogrid_path, wait_until};
use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The app's identifier, which names its folder.
pub const IDENTIFIER: &str = "org.gogrid.desktop";

/// The deadline from the app's start to a worker that listens.
const WORKER_LISTENS: Duration = Duration::from_secs(20);

/// The desktop app, built beside `gogrid`.
///
/// # Panics
/// When it was not built.
pub fn desktop_path() -> PathBuf {
    let path = gogrid_path().with_file_name("gogrid-desktop");
    assert!(path.is_file(), "{} is missing: run `cargo build --package gogrid-desktop` first", path.display());
    path
}

/// A running app. Dropping it ends the app and every process that it started.
pub struct App {
    program: Program,
    started: Instant,
    data: PathBuf,
    inspector: Option<u16>,
}

impl App {
    /// Starts it on a desktop.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(desktop: &Desktop, args: &[&str]) -> Result<Self> {
        Self::spawn(desktop, &desktop_path(), args, None)
    }

    /// Starts an installed app.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_installed(desktop: &Desktop, program: &Path, args: &[&str]) -> Result<Self> {
        Self::spawn(desktop, program, args, None)
    }

    /// Starts it so that a [`WebDriver`](super::WebDriver) can control its window.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_driven(desktop: &Desktop, args: &[&str]) -> Result<Self> {
        // Another program could take the port before the app does, but hardly on a machine that runs tests.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Self::spawn(desktop, &desktop_path(), args, Some(port))
    }

    fn spawn(desktop: &Desktop, program: &Path, args: &[&str], inspector: Option<u16>) -> Result<Self> {
        let data = desktop.home().join(".local/share").join(IDENTIFIER);
        let mut command = desktop.command(program);
        // Marks its processes with the folder's name, in a variable that no other program needs.
        command.args(args).env("GOGRID_TEST_APP", &data);
        if let Some(port) = inspector {
            command.env("TAURI_WEBVIEW_AUTOMATION", "true").env("WEBKIT_INSPECTOR_SERVER", format!("127.0.0.1:{port}"));
        }
        let started = Instant::now();
        // A second instance on the same desktop must not write into the log of the first.
        let name = format!("gogrid-desktop-{}", started_so_far(desktop));
        Ok(Self { program: desktop.start_program(&name, command)?, started, data, inspector })
    }

    /// The time of its start.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Its worker's data folder.
    pub fn worker_data(&self) -> PathBuf {
        self.data.join("worker")
    }

    /// The port for the control of its windows.
    pub(super) fn inspector(&self) -> Option<u16> {
        self.inspector
    }

    /// Connects to its worker, as soon as that listens.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub async fn control(&self) -> Result<Control> {
        Control::connect(&self.worker_data(), WORKER_LISTENS).await
    }

    /// Its worker's process.
    ///
    /// # Errors
    /// When there is none.
    pub fn worker(&self) -> Result<Process> {
        self.running().into_iter().find(is_worker).context("the app has no worker")
    }

    /// Every process of the app, even if its parent has ended.
    pub fn running(&self) -> Vec<Process> {
        processes::naming(&self.data)
    }

    /// The processes of the window and the tray, all but the worker.
    pub fn shell(&self) -> Vec<Process> {
        processes::tree(self.program.pid()).into_iter().filter(|process| !is_worker(process)).collect()
    }

    /// Waits until none of its processes is left.
    ///
    /// # Errors
    /// When some are left at the deadline; names them.
    pub async fn wait_gone(&mut self, deadline: Duration) -> Result<()> {
        self.program.exit(deadline).await?;
        let mut left = Vec::new();
        let outcome = wait_until("every process of the app has ended", deadline, async || {
            left = self.running();
            Ok(left.is_empty().then_some(()))
        })
        .await;
        outcome.with_context(|| format!("left: {left:?}"))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        for process in self.running() {
            process.signal(Signal::KILL);
        }
    }
}

fn is_worker(process: &Process) -> bool {
    matches!(&*process.name, "gogrid" | "gogrid-cuda")
}

/// How many apps have been started on this desktop.
fn started_so_far(desktop: &Desktop) -> usize {
    (0..).take_while(|number| desktop.scratch().join(format!("logs/gogrid-desktop-{number}.err")).exists()).count()
}
