//! Handles to the app's parts, for the commands.

use crate::{
    app_state::AppStateStore,
    ask::Questions,
    folders::Folders,
    redact::Redactor,
    secrets::{GridKeys, KeyStoreHandle},
    settings::{Settings, SettingsFile, check_name},
    update::{Source, UpdateError},
    worker::{SupervisorCommand, WorkerCommands},
};
use gogrid_panel_api::{AppSettings, AppState, RequestError};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tauri::{AppHandle, Wry, ipc::Channel};
use tauri_plugin_autostart::ManagerExt;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::timeout,
};

/// The page redraws what changes by itself, such as a countdown, once a second.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// Handles to the app's parts.
pub(crate) struct AppHandles {
    pub(crate) app_state: AppStateStore,
    pub(crate) commands: WorkerCommands,
    pub(crate) keys: KeyStoreHandle,
    pub(crate) supervisor: mpsc::Sender<SupervisorCommand>,
    pub(crate) folders: Folders,
    pub(crate) settings: Mutex<SettingsFile>,
    pub(crate) name: watch::Sender<String>,
    pub(crate) questions: Questions,
    pub(crate) grid_keys: Arc<GridKeys>,
    /// The task that sends the state to the page. There is one page; a reload replaces the task.
    pub(crate) page: Mutex<Option<AbortHandle>>,
}

impl AppHandles {
    /// Applies settings from the page. Blocks on the disk.
    ///
    /// # Errors
    /// When a value is invalid, they cannot be written, or the system refuses the start at login.
    pub(crate) fn change_settings(&self, app: &AppHandle<Wry>, page: &AppSettings) -> Result<AppState, RequestError> {
        check_name(&page.machine_name)?;
        let mut file = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        start_at_login(app, page.autostart)?;
        let settings = file.current().with(page);
        file.save(settings.clone()).map_err(|error| RequestError::new(None, error.to_string()))?;
        drop(file);
        self.keys.allow_file(settings.key_file);
        let name = machine_name(&settings);
        self.name.send_if_modified(|now| {
            let changed = *now != name;
            *now = name;
            changed
        });
        self.app_state.update(|state| state.settings = settings.for_page(starts_at_login(app)));
        Ok(self.app_state.snapshot())
    }

    /// Sends the state to the page at once, at every change and at least once a second, until the page is gone.
    pub(crate) fn follow(&self, page: Channel<AppState>) {
        let mut states = self.app_state.subscribe();
        let task = tauri::async_runtime::spawn(async move {
            loop {
                let state = states.borrow_and_update().clone();
                if page.send(state).is_err() {
                    return;
                }
                if let Ok(Err(_)) = timeout(AT_LEAST_EVERY, states.changed()).await {
                    return;
                }
            }
        });
        self.replace_page(Some(task.inner().abort_handle()));
    }

    /// Stops sending: the page is gone, and what it was asked to show with it.
    pub(crate) fn page_is_gone(&self) {
        self.replace_page(None);
        self.app_state.update(|state| state.join_asked = 0);
    }

    fn replace_page(&self, task: Option<AbortHandle>) {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *page, task) {
            before.abort();
        }
    }

    /// The source of updates.
    ///
    /// # Errors
    /// When updates are off.
    pub(crate) fn updates(&self) -> Result<Source, UpdateError> {
        Source::of(&self.settings.lock().unwrap_or_else(PoisonError::into_inner).current().updater)
    }

    /// A redactor for what is private on this computer.
    pub(crate) fn redactor(&self, home: Option<String>) -> Redactor {
        Redactor::of_this_computer(home, [self.name.borrow().clone(), host_name()])
    }
}

/// Whether the system starts the app at login. The system's answer counts, not the settings.
pub(crate) fn starts_at_login(app: &AppHandle<Wry>) -> bool {
    app.autolaunch().is_enabled().unwrap_or_else(|error| {
        tracing::warn!("it is not known whether the app starts at login: {error}");
        false
    })
}

fn start_at_login(app: &AppHandle<Wry>, start: bool) -> Result<(), RequestError> {
    if start == starts_at_login(app) {
        return Ok(());
    }
    let system = app.autolaunch();
    let changed = if start { system.enable() } else { system.disable() };
    changed.map_err(|error| RequestError::new(Some("autostart"), format!("The system does not take it: {error}")))
}

/// The name that the fleet sees.
pub(crate) fn machine_name(settings: &Settings) -> String {
    match settings.machine_name.trim() {
        "" => host_name(),
        name => name.to_owned(),
    }
}

fn host_name() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "unnamed".to_owned())
}
