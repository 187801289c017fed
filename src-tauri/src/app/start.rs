//! Starts the app's parts, the tray first.

use crate::{
    app_handles::{AppHandles, machine_name, starts_at_login},
    app_state::AppStateStore,
    ask::Questions,
    desired_state,
    folders::Folders,
    logging, notify,
    secrets::{GridKeys, KeyLoader, SystemVault},
    settings::SettingsFile,
    tray::{self, MenuEntry, Tray},
    update::{self, Source},
    window,
    worker::{
        DesiredState, Driver, PauseChannel, Programs, StatusInterval, Supervisor, SupervisorCommand, WorkerCommands,
    },
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

/// The file in the worker's folder that holds its key, if the app gives it none.
const KEY_FILE: &str = "machine.key";
/// Restarts that wait: one serves any number of clicks.
const RESTARTS: usize = 1;
/// Longer than the 2 s that the worker has before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(4);

/// What must be ended with the app.
pub(crate) struct Running {
    desired: watch::Sender<DesiredState>,
    supervisor: JoinHandle<()>,
    tray: Option<Arc<Tray>>,
    /// Flushes the log when it is dropped.
    _log: Option<WorkerGuard>,
}

impl Running {
    /// Whether there is an icon to open the window from.
    pub(crate) fn has_tray(&self) -> bool {
        self.tray.is_some()
    }

    /// Ends the worker and waits for it.
    pub(crate) fn end(self) {
        self.desired.send_replace(DesiredState::Stop);
        if block_on(async { timeout(ENDS_WITHIN, self.supervisor).await }).is_err() {
            tracing::error!("the worker did not end in time");
        }
        tracing::info!("ended");
    }
}

/// Starts everything, on the main thread. It waits for nothing but the app's own small files.
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
    let app_state = AppStateStore::new(version, settings.current().for_page(starts_at_login(app)));
    for notice in notices {
        tracing::warn!("{notice}");
        app_state.notice(notice);
    }
    let (worker_up, interval) = (watch::Sender::new(false), watch::Sender::new(StatusInterval::Tray));
    let (pause_channel, pause_task) = PauseChannel::new(folders.worker.clone(), worker_up.subscribe());
    spawn(pause_task);
    let commands = WorkerCommands::new(folders.worker.clone(), pause_channel);
    app.manage(interval.clone());
    app.manage(window::Lifecycle::default());
    let tray = show_tray(app, &app_state, &folders, &commands);

    let name = watch::Sender::new(machine_name(settings.current()));
    let (supervisor_commands, received) = mpsc::channel(RESTARTS);
    let file_allowed = settings.current().key_file;
    let key_file = folders.worker.join(KEY_FILE);
    let (key_loader, keys) = KeyLoader::new(Arc::new(SystemVault), app_state.clone(), key_file, file_allowed);
    let desired = watch::Sender::new(DesiredState::Hold(String::new()));
    spawn(desired_state::follow(keys.answer(), name.subscribe(), desired.clone()));
    spawn(key_loader.run());
    let supervisor = Supervisor {
        programs: Programs::beside_this(Driver::find()).context("it is not known where the app's programs are")?,
        data: folders.worker.clone(),
        app_state: app_state.clone(),
        desired: desired.subscribe(),
        commands: received,
        interval: interval.subscribe(),
        worker_up,
    };
    let supervisor = spawn(supervisor.run());
    spawn(notify::follow(app.clone(), app_state.clone(), commands.clone()));
    let updates = Source::of(&settings.current().updater);
    spawn(update::follow(app.clone(), app_state.clone(), updates, data));
    app.manage(handles(app_state, commands, keys, supervisor_commands, folders, settings, name));
    Ok(Running { desired, supervisor, tray, _log: log })
}

fn handles(
    app_state: AppStateStore,
    commands: WorkerCommands,
    keys: crate::secrets::KeyStoreHandle,
    supervisor: mpsc::Sender<SupervisorCommand>,
    folders: Folders,
    settings: SettingsFile,
    name: watch::Sender<String>,
) -> AppHandles {
    AppHandles {
        app_state,
        commands,
        keys,
        supervisor,
        folders,
        settings: Mutex::new(settings),
        name,
        page: Mutex::default(),
        questions: Questions::default(),
        grid_keys: Arc::new(GridKeys::new(Arc::new(SystemVault))),
    }
}

/// Shows the tray. A system without one still has the window.
fn show_tray(
    app: &AppHandle<Wry>,
    app_state: &AppStateStore,
    folders: &Folders,
    commands: &WorkerCommands,
) -> Option<Arc<Tray>> {
    let (state, worker) = (app_state.clone(), commands.clone());
    let shown = Tray::show(app, app_state, &folders.data, move |app, entry| on_click(app, entry, &state, &worker));
    match shown {
        Ok(tray) => {
            app.manage(Arc::clone(&tray));
            spawn(tray::follow(app.clone(), Arc::clone(&tray), app_state.clone()));
            tracing::info!("the tray is there");
            Some(tray)
        }
        Err(error) => {
            tracing::error!("there is no tray: {error}");
            app_state.notice("This desktop has no place for GoGrid's icon. Start GoGrid again to see this window.");
            None
        }
    }
}

/// Called on the main thread: hands the click over and returns.
fn on_click(app: &AppHandle<Wry>, entry: MenuEntry, app_state: &AppStateStore, commands: &WorkerCommands) {
    match entry {
        MenuEntry::Open => window::open(app),
        MenuEntry::Quit => app.exit(0),
        _ if app.try_state::<Arc<Tray>>().is_some_and(|tray| tray.is_join(entry)) => {
            app_state.update(|state| state.join_asked += 1);
            window::open(app);
        }
        _ => {
            let request = app.try_state::<Arc<Tray>>().and_then(|tray| tray.request(entry));
            let Some(request) = request else { return };
            let (app_state, commands) = (app_state.clone(), commands.clone());
            spawn(async move {
                if let Err(refused) = commands.ask(request).await {
                    tracing::warn!("a click in the tray was refused: {}", refused.message);
                    app_state.notice(format!("That did not work: {}.", refused.message));
                }
            });
        }
    }
}
