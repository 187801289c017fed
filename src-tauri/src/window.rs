//! The window: created when it is opened, destroyed when it is closed. A hidden window would take four times the memory
//! of the tray.

mod phase;

use crate::worker::StatusInterval;
use phase::{Open, Phase};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tauri::{AppHandle, Manager, Url, WebviewUrl, WebviewWindowBuilder, Wry, webview::NewWindowResponse};
use tokio::sync::watch;

/// The prefix of the windows' labels, to which the page's permissions are bound. Each window has a label of its own,
/// because one that is closed before it is complete keeps its label for ever.
const NAME: &str = "main";
/// A script that runs before the page's own.
const LANGUAGE: &str = include_str!("window/language.js");
const TITLE: &str = "GoGrid";
/// In logical pixels: wide enough for the charts and their axes.
const SIZE: (f64, f64) = (1000.0, 690.0);
/// Below this the page's columns no longer fit.
const LEAST: (f64, f64) = (900.0, 640.0);

/// The lifecycle of the window.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    phase: Mutex<Phase>,
    /// How many windows were created.
    made: AtomicU64,
}

impl Lifecycle {
    fn step<T>(&self, step: impl FnOnce(&mut Phase) -> T) -> T {
        step(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The label of the latest window.
    fn name(&self) -> String {
        format!("{NAME}-{}", self.made.load(Ordering::Relaxed))
    }
}

/// Whether this is the label of the latest window.
pub(crate) fn is_open(app: &AppHandle<Wry>, name: &str) -> bool {
    app.state::<Lifecycle>().name() == name
}

/// Shows the window, in front.
pub(crate) fn open(app: &AppHandle<Wry>) {
    match app.state::<Lifecycle>().step(Phase::open) {
        Open::Make => {
            let app = app.clone();
            // Not in an event handler: on Windows, creating a window there waits for the end of the event.
            tauri::async_runtime::spawn(async move {
                app.state::<watch::Sender<StatusInterval>>().send_replace(StatusInterval::Window);
                if let Err(error) = make(&app) {
                    tracing::error!("the window cannot be opened: {error}");
                    closed(&app);
                }
            });
        }
        Open::Raise => raise(app),
        Open::Later => {}
    }
}

/// The donor closes the window, which is still there for a moment.
pub(crate) fn closing(app: &AppHandle<Wry>) {
    app.state::<Lifecycle>().step(Phase::closing);
}

/// The window is gone.
pub(crate) fn closed(app: &AppHandle<Wry>) {
    app.state::<watch::Sender<StatusInterval>>().send_replace(StatusInterval::Tray);
    if app.state::<Lifecycle>().step(Phase::closed) {
        open(app);
    }
}

fn raise(app: &AppHandle<Wry>) {
    // A window that is being created comes to the front by itself.
    let Some(window) = app.get_webview_window(&app.state::<Lifecycle>().name()) else { return };
    if let Err(error) = window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus()) {
        tracing::warn!("the window cannot be raised: {error}");
    }
}

fn make(app: &AppHandle<Wry>) -> tauri::Result<()> {
    let life = app.state::<Lifecycle>();
    life.made.fetch_add(1, Ordering::Relaxed);
    WebviewWindowBuilder::new(app, life.name(), WebviewUrl::default())
        .title(TITLE)
        .inner_size(SIZE.0, SIZE.1)
        .min_inner_size(LEAST.0, LEAST.1)
        .initialization_script(LANGUAGE)
        .on_navigation(is_own)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .build()?;
    Ok(())
}

/// Whether an address is the page's own. The page links to no other.
fn is_own(url: &Url) -> bool {
    match url.scheme() {
        "tauri" => url.host_str() == Some("localhost"),
        // The form on Windows.
        "http" | "https" => url.host_str() == Some("tauri.localhost"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("tauri://localhost/index.html#/limits", true)]
    #[case("http://tauri.localhost/", true)]
    #[case("https://example.org/", false)]
    #[case("https://tauri.localhost.example.org/", false)]
    #[case("tauri://example.org/", false)]
    #[case("file:///etc/passwd", false)]
    #[case("javascript:alert(1)", false)]
    fn the_page_stays_on_its_own_ground(#[case] url: &str, #[case] own: bool) {
        assert_eq!(is_own(&url.parse().unwrap()), own);
    }
}
