//! Starts the app's parts, the tray first.

use crate::{
    app_handles::{Desk, machine_name, starts_at_login},
    app_state::Board,
    desired_state,
    folders::Folders,
    logging, notify,
    secrets::{Keeper, SystemVault},
    settings::SettingsFile,
    tray::{self, Click, Tray},
    update::{self, Source},
    window,
    worker::{Brake, Driver, Order, Orders, Pace, Programs, Supervisor, Wanted},
};
use anyhow::{Context, Result};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tauri::{
    AppHandle, Manager, Wry,
    async_runtime::{JoinHandle, block_on, spawn},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing_appender::non_blocking::WorkerGuard;

/// The file in which a worker that gets no key keeps its own, in its folder.
const KEY_FILE: &str = "machine.key";
/// One restart is enough for many clicks.
const RESTARTS: usize = 1;
/// The worker has 2 s to end before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(4);

/// What has to be ended.
pub(crate) struct Running {
    wanted: watch::Sender<Wanted>,
    supervisor: JoinHandle<()>,
    tray: Option<Arc<Tray>>,
    /// Writes what is left of the log.
    _log: Option<WorkerGuard>,
}

impl Running {
    /// Whether there is an icon to open the window from.
    pub(crate) fn has_tray(&self) -> bool {
        self.tray.is_some()
    }

    /// Ends the worker, and waits for it.
    pub(crate) fn end(self) {
        self.wanted.send_replace(Wanted::End);
        if block_on(async { timeout(ENDS_WITHIN, self.supervisor).await }).is_err() {
            tracing::error!("the worker did not end in time");
        }
        tracing::info!("ended");
    }
}

/// Starts everything. On the main thread; nothing here waits for anything but the app's own small files.
///
/// # Errors
/// When the app has no folder for its data, or does not know where it is.
pub(crate) fn start(app: &AppHandle<Wry>) -> Result<Running> {
    let data = app.path().app_local_data_dir().context("there is no folder for the app's data")?;
    let folders = Folders::make(&data).with_context(|| format!("cannot make the folder {}", data.display()))?;
    let log = logging::start(&folders.logs);
    let version = app.package_info().version.to_string();
    tracing::info!("GoGrid {version} starts");

    let (settings, notices) = SettingsFile::load(folders.settings.clone());
    let board = Board::new(version, settings.current().for_page(starts_at_login(app)));
    for notice in notices {
        tracing::warn!("{notice}");
        board.notice(notice);
    }
    let (up, pace) = (watch::Sender::new(false), watch::Sender::new(Pace::Tray));
    let (brake, lane) = Brake::new(folders.worker.clone(), up.subscribe());
    spawn(lane);
    let orders = Orders::new(folders.worker.clone(), brake);
    app.manage(pace.clone());
    app.manage(window::Life::default());
    let tray = show_tray(app, &board, &folders, &orders);

    let name = watch::Sender::new(machine_name(settings.current()));
    let (supervisor_orders, received) = mpsc::channel(RESTARTS);
    let file_allowed = settings.current().key_file;
    let key_file = folders.worker.join(KEY_FILE);
    let (keeper, keys) = Keeper::new(Arc::new(SystemVault), board.clone(), key_file, file_allowed);
    let wanted = watch::Sender::new(Wanted::Hold(String::new()));
    spawn(desired_state::follow(keys.answer(), name.subscribe(), wanted.clone()));
    spawn(keeper.run());
    let supervisor = Supervisor {
        programs: Programs::beside_this(Driver::find()).context("it is not known where the app's programs are")?,
        data: folders.worker.clone(),
        board: board.clone(),
        wanted: wanted.subscribe(),
        orders: received,
        pace: pace.subscribe(),
        up,
    };
    let supervisor = spawn(supervisor.run());
    spawn(notify::follow(app.clone(), board.clone(), orders.clone()));
    let updates = Source::of(&settings.current().updater);
    spawn(update::follow(app.clone(), board.clone(), updates, data));
    app.manage(desk(board, orders, keys, supervisor_orders, folders, settings, name));
    Ok(Running { wanted, supervisor, tray, _log: log })
}

fn desk(
    board: Board,
    orders: Orders,
    keys: crate::secrets::KeyDesk,
    supervisor: mpsc::Sender<Order>,
    folders: Folders,
    settings: SettingsFile,
    name: watch::Sender<String>,
) -> Desk {
    Desk { board, orders, keys, supervisor, folders, settings: Mutex::new(settings), name, page: Mutex::default() }
}

/// A system without a tray still has the window.
fn show_tray(app: &AppHandle<Wry>, board: &Board, folders: &Folders, orders: &Orders) -> Option<Arc<Tray>> {
    let (clicks, clicked) = (board.clone(), orders.clone());
    let shown = Tray::show(app, board, &folders.data, move |app, click| on_click(app, click, &clicks, &clicked));
    match shown {
        Ok(tray) => {
            app.manage(Arc::clone(&tray));
            spawn(tray::follow(app.clone(), Arc::clone(&tray), board.clone()));
            tracing::info!("the tray is there");
            Some(tray)
        }
        Err(error) => {
            tracing::error!("there is no tray: {error}");
            board.notice("This desktop has no place for GoGrid's icon. Start GoGrid again to see this window.");
            None
        }
    }
}

/// On the main thread: hands the click over and returns.
fn on_click(app: &AppHandle<Wry>, click: Click, board: &Board, orders: &Orders) {
    match click {
        Click::Open => window::open(app),
        Click::Quit => app.exit(0),
        _ => {
            let request = app.try_state::<Arc<Tray>>().and_then(|tray| tray.request(click));
            let Some(request) = request else { return };
            let (board, orders) = (board.clone(), orders.clone());
            spawn(async move {
                if let Err(refused) = orders.ask(request).await {
                    tracing::warn!("a click in the tray was refused: {}", refused.message);
                    board.notice(format!("That did not work: {}.", refused.message));
                }
            });
        }
    }
}
