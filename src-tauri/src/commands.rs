//! What the page may call. Each command is listed in `build.rs` and allowed in `capabilities/window.json`.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands a command its arguments by value")]

use crate::{
    app_handles::Desk,
    export, log_lines,
    report::{self, System},
    worker::Order,
};
use gogrid_panel_api::{AppSettings, AppState, LogFilter, LogLine, Request, RequestError, Response};
use jiff::Zoned;
use tauri::{AppHandle, Manager, State, Wry, async_runtime::spawn_blocking, ipc::Channel};

/// What the app knows.
#[tauri::command]
pub(crate) fn app_state(desk: State<'_, Desk>) -> AppState {
    desk.board.copy()
}

/// The same, again and again.
#[tauri::command]
pub(crate) fn follow(desk: State<'_, Desk>, channel: Channel<AppState>) {
    desk.follow(channel);
}

/// Asks the worker.
#[tauri::command]
pub(crate) async fn worker(desk: State<'_, Desk>, request: Request) -> Result<Response, RequestError> {
    desk.orders.ask(request).await
}

/// Takes the app's settings over.
#[tauri::command]
pub(crate) async fn change_settings(app: AppHandle<Wry>, settings: AppSettings) -> Result<AppState, RequestError> {
    off_the_async_threads(app, move |app, desk| desk.change_settings(app, &settings)).await?
}

/// Asks the key store again.
#[tauri::command]
pub(crate) fn open_key_store(desk: State<'_, Desk>) {
    desk.keys.try_again();
}

/// Lines of a log.
#[tauri::command]
pub(crate) async fn logs(app: AppHandle<Wry>, filter: LogFilter) -> Result<Vec<LogLine>, RequestError> {
    off_the_async_threads(app, move |app, desk| log_lines::read(&desk.folders, &filter, &desk.private(home(app))))
        .await?
}

/// A text for whoever helps.
#[tauri::command]
pub(crate) async fn report(app: AppHandle<Wry>) -> Result<String, RequestError> {
    off_the_async_threads(app, |app, desk| {
        report::write(&desk.board.copy(), &System::look(), &desk.folders, &desk.private(home(app)))
    })
    .await
}

/// Writes the work of each day into the downloads, and says where.
#[tauri::command]
pub(crate) async fn export_days(app: AppHandle<Wry>, desk: State<'_, Desk>) -> Result<String, RequestError> {
    let Response::Days(days) = desk.orders.ask(Request::Days).await? else {
        return Err(RequestError::new(None, "the engine's answer is not understood: it may be of another version"));
    };
    off_the_async_threads(app, move |app, _| {
        let folder = app.path().download_dir().or_else(|_| app.path().home_dir());
        let folder = folder.map_err(|error| RequestError::new(None, format!("There is no folder for it: {error}")))?;
        let today = Zoned::now().strftime("%Y-%m-%d").to_string();
        export::write(&folder, &today, &export::csv(&days))
            .map(|path| path.display().to_string())
            .map_err(|error| RequestError::new(None, format!("Nothing was written to {}: {error}", folder.display())))
    })
    .await?
}

/// Takes a notice away.
#[tauri::command]
pub(crate) fn dismiss(desk: State<'_, Desk>, id: u32) {
    desk.board.dismiss(id);
}

/// The donor has used the offered code, or does not want it.
#[tauri::command]
pub(crate) fn forget_code(desk: State<'_, Desk>) {
    desk.board.change(|state| state.offered_code = None);
}

/// Starts the worker anew.
#[tauri::command]
pub(crate) fn restart_worker(desk: State<'_, Desk>) {
    // A full queue has what is wanted.
    let _ = desk.supervisor.try_send(Order::Restart);
}

/// Installs the newest version and starts it.
#[tauri::command]
pub(crate) async fn install_update(app: AppHandle<Wry>, desk: State<'_, Desk>) -> Result<(), RequestError> {
    let refused = |error: crate::update::UpdateError| RequestError::new(None, error.to_string());
    desk.updates().map_err(refused)?.install(&app).await.map_err(refused)?;
    app.request_restart();
    Ok(())
}

/// The disk may be slow, and the threads of the async tasks are few.
async fn off_the_async_threads<T: Send + 'static>(
    app: AppHandle<Wry>,
    work: impl FnOnce(&AppHandle<Wry>, &Desk) -> T + Send + 'static,
) -> Result<T, RequestError> {
    spawn_blocking(move || work(&app, &app.state::<Desk>()))
        .await
        .map_err(|error| RequestError::new(None, format!("GoGrid failed: {error}")))
}

fn home(app: &AppHandle<Wry>) -> Option<String> {
    app.path().home_dir().ok().map(|home| home.display().to_string())
}
