//! The commands that the page may call. Each is listed in `build.rs` and allowed in `capabilities/window.json`.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands a command its arguments by value")]

use crate::{
    app_handles::AppHandles,
    ask, export, log_lines,
    report::{self, System},
    worker::SupervisorCommand,
};
use gogrid_panel_api::{
    AnswerEnd, AppSettings, AppState, GridModels, GridQuestion, LogFilter, LogLine, Request, RequestError, Response,
};
use std::io;
use tauri::{AppHandle, Manager, State, Wry, async_runtime::spawn_blocking, ipc::Channel};
use zeroize::Zeroizing;

/// The app's state.
#[tauri::command]
pub(crate) fn app_state(handles: State<'_, AppHandles>) -> AppState {
    handles.app_state.snapshot()
}

/// Sends the app's state over the channel, at every change.
#[tauri::command]
pub(crate) fn follow(handles: State<'_, AppHandles>, channel: Channel<AppState>) {
    handles.follow(channel);
}

/// Sends a request to the worker.
#[tauri::command]
pub(crate) async fn worker(handles: State<'_, AppHandles>, request: Request) -> Result<Response, RequestError> {
    handles.commands.ask(request).await
}

/// Applies the app's settings.
#[tauri::command]
pub(crate) async fn change_settings(app: AppHandle<Wry>, settings: AppSettings) -> Result<AppState, RequestError> {
    run_blocking(app, move |app, handles| handles.change_settings(app, &settings)).await?
}

/// Tries the key store again.
#[tauri::command]
pub(crate) fn open_key_store(handles: State<'_, AppHandles>) {
    handles.keys.try_again();
}

/// Lines of a log.
#[tauri::command]
pub(crate) async fn logs(app: AppHandle<Wry>, filter: LogFilter) -> Result<Vec<LogLine>, RequestError> {
    run_blocking(app, move |app, handles| log_lines::read(&handles.folders, &filter, &handles.redactor(home(app))))
        .await?
}

/// The text for the person who helps the donor.
#[tauri::command]
pub(crate) async fn report(app: AppHandle<Wry>) -> Result<String, RequestError> {
    run_blocking(app, |app, handles| {
        report::write(&handles.app_state.snapshot(), &System::read(), &handles.folders, &handles.redactor(home(app)))
    })
    .await
}

/// Asks the donor where to save a text, writes it there and returns the path; `None` if they decline.
#[tauri::command]
pub(crate) async fn save_file(app: AppHandle<Wry>, name: String, text: String) -> Result<Option<String>, RequestError> {
    run_blocking(app, move |app, _| export::save(app, &name, &text)).await?
}

/// Removes a notice.
#[tauri::command]
pub(crate) fn dismiss(handles: State<'_, AppHandles>, id: u32) {
    handles.app_state.dismiss(id);
}

/// Drops the offered code: the donor has used or declined it.
#[tauri::command]
pub(crate) fn forget_code(handles: State<'_, AppHandles>) {
    handles.app_state.update(|state| state.offered_code = None);
}

/// Restarts the worker.
#[tauri::command]
pub(crate) fn restart_worker(handles: State<'_, AppHandles>) {
    // A full queue holds a restart already.
    let _ = handles.supervisor.try_send(SupervisorCommand::Restart);
}

/// Installs the newest version and restarts the app.
#[tauri::command]
pub(crate) async fn install_update(app: AppHandle<Wry>, handles: State<'_, AppHandles>) -> Result<(), RequestError> {
    let refused = |error: crate::update::UpdateError| RequestError::new(None, error.to_string());
    handles.updates().map_err(refused)?.install(&app).await.map_err(refused)?;
    app.request_restart();
    Ok(())
}

/// The grid's models.
#[tauri::command]
pub(crate) async fn grid_models(handles: State<'_, AppHandles>) -> Result<GridModels, RequestError> {
    ask::models(&handles.app_state, &handles.grid_keys).await
}

/// Uses a key for the grid, and keeps it in the system's key store if the grid takes it.
#[tauri::command]
pub(crate) async fn use_grid_key(handles: State<'_, AppHandles>, key: String) -> Result<GridModels, RequestError> {
    ask::use_key(&handles.app_state, &handles.grid_keys, &Zeroizing::new(key)).await
}

/// Forgets the key for the grid.
#[tauri::command]
pub(crate) async fn forget_grid_key(handles: State<'_, AppHandles>) -> Result<(), RequestError> {
    ask::forget_key(&handles.app_state, &handles.grid_keys).await
}

/// Asks the grid. The pieces of the answer go over the channel.
#[tauri::command]
pub(crate) async fn ask_grid(
    handles: State<'_, AppHandles>,
    question: GridQuestion,
    channel: Channel<String>,
) -> Result<AnswerEnd, RequestError> {
    let piece = move |text: &str| channel.send(text.to_owned()).map_err(io::Error::other);
    handles.questions.ask(&handles.app_state, &handles.grid_keys, question, piece).await
}

/// Ends the answer under way.
#[tauri::command]
pub(crate) fn stop_asking(handles: State<'_, AppHandles>) {
    handles.questions.stop();
}

/// Runs work that may block on the disk, away from the few async threads.
async fn run_blocking<T: Send + 'static>(
    app: AppHandle<Wry>,
    work: impl FnOnce(&AppHandle<Wry>, &AppHandles) -> T + Send + 'static,
) -> Result<T, RequestError> {
    spawn_blocking(move || work(&app, &app.state::<AppHandles>()))
        .await
        .map_err(|error| RequestError::new(None, format!("GoGrid failed: {error}")))
}

fn home(app: &AppHandle<Wry>) -> Option<String> {
    app.path().home_dir().ok().map(|home| home.display().to_string())
}
