//! The app: its plugins, its events, its start.

mod start;

use crate::{
    app_handles::AppHandles,
    arguments::Arguments,
    commands,
    join_link::{LinkError, OfferedCode},
    window,
};
use start::Running;
use tauri::{AppHandle, Manager, RunEvent, WindowEvent, Wry};

/// Runs the app until the donor quits it, and returns its exit code. A second instance hands its arguments to the first
/// and never returns.
///
/// # Errors
/// When the system has no display.
pub(crate) fn run(arguments: Arguments) -> tauri::Result<i32> {
    let app = tauri::Builder::default()
        // First, because a second instance must end before it touches anything.
        .plugin(tauri_plugin_single_instance::init(|app, arguments, _folder| started_again(app, &arguments)))
        .plugin(tauri_plugin_autostart::Builder::new().arg(crate::arguments::BACKGROUND).build())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_updater::Builder::new().build())
        .invoke_handler(tauri::generate_handler![
            commands::app_state,
            commands::follow,
            commands::worker,
            commands::change_settings,
            commands::open_key_store,
            commands::logs,
            commands::report,
            commands::save_file,
            commands::dismiss,
            commands::forget_code,
            commands::restart_worker,
            commands::install_update,
            commands::grid_models,
            commands::use_grid_key,
            commands::forget_grid_key,
            commands::ask_grid,
            commands::stop_asking,
        ])
        .build(context())?;
    let mut arguments = Some(arguments);
    let mut running = None;
    Ok(app.run_return(move |app, event| match event {
        RunEvent::Ready => running = arguments.take().and_then(|arguments| ready(app, arguments)),
        RunEvent::WindowEvent { label, event: WindowEvent::CloseRequested { .. }, .. }
            if window::is_open(app, &label) =>
        {
            window::closing(app);
        }
        RunEvent::WindowEvent { label, event: WindowEvent::Destroyed, .. } if window::is_open(app, &label) => {
            let handles = app.state::<AppHandles>();
            handles.page_is_gone();
            handles.questions.stop();
            window::closed(app);
        }
        // Closing the last window leaves the tray.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::Exit => {
            if let Some(running) = running.take() {
                Running::end(running);
            }
        }
        #[cfg(target_os = "macos")]
        RunEvent::Opened { urls } => {
            urls.iter().for_each(|url| offer(app, OfferedCode::of_link(url.as_str())));
            window::open(app);
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::open(app),
        _ => {}
    }))
}

/// What the build embeds in the program: the page, the icon, the settings of `tauri.conf.json`.
#[expect(clippy::disallowed_methods, reason = "Tauri's macro uses it, for a panic while it unpacks what is embedded")]
fn context() -> tauri::Context {
    tauri::generate_context!()
}

fn ready(app: &AppHandle<Wry>, arguments: Arguments) -> Option<Running> {
    // The app lives in the menu bar, not in the dock.
    #[cfg(target_os = "macos")]
    if let Err(error) = app.set_activation_policy(tauri::ActivationPolicy::Accessory) {
        eprintln!("warning: the app stays in the dock: {error}");
    }
    match start::start(app) {
        Ok(running) => {
            if let Some(link) = arguments.link {
                offer(app, link);
            }
            if arguments.window || !running.has_tray() {
                window::open(app);
            }
            Some(running)
        }
        Err(error) => {
            // There may be no log yet.
            eprintln!("Error: {error:#}");
            app.exit(1);
            None
        }
    }
}

/// Somebody has started the app a second time, to see its window.
fn started_again(app: &AppHandle<Wry>, arguments: &[String]) {
    // Until the first instance has started, there is nothing to raise.
    if app.try_state::<AppHandles>().is_none() {
        return;
    }
    let Arguments { window, link } = Arguments::read(arguments);
    if let Some(link) = link {
        offer(app, link);
    }
    if window {
        window::open(app);
    }
}

/// Offers the code of a link that somebody has opened. The page asks before it is used.
fn offer(app: &AppHandle<Wry>, link: Result<OfferedCode, LinkError>) {
    let app_state = &app.state::<AppHandles>().app_state;
    match link {
        Ok(code) => app_state.update(|state| state.offered_code = Some(code.into_code())),
        Err(error) => {
            tracing::warn!("a link was refused: {error}");
            app_state.notice(format!("A link could not be used: {error}."));
        }
    }
}
