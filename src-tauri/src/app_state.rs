//! The app's state as one watched value. The supervisor, the key loader, the settings and the commands write their own
//! parts; the tray, the page and the notifications follow it.

use gogrid_panel_api::{AppSettings, AppState, KeyStore, Mark, Notice, Process};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio::sync::watch;

/// The most notices that are kept, more than a person reads at once. The oldest are dropped first.
const NOTICES: usize = 20;

/// A cheap handle to the app's state.
#[derive(Debug, Clone)]
pub(crate) struct AppStateStore {
    state: watch::Sender<AppState>,
    last_notice: Arc<AtomicU32>,
}

impl AppStateStore {
    /// The state at the start.
    pub(crate) fn new(version: String, settings: AppSettings) -> Self {
        let state = AppState {
            mark: Mark::Connecting,
            worker: Process::Starting,
            status: None,
            settings,
            notices: Vec::new(),
            version,
            key_store: KeyStore::Opening,
            update: None,
            offered_code: None,
            join_asked: 0,
        };
        Self { state: watch::Sender::new(state), last_notice: Arc::default() }
    }

    /// Changes the state and wakes its subscribers.
    pub(crate) fn update(&self, apply: impl FnOnce(&mut AppState)) {
        self.state.send_modify(|state| {
            apply(state);
            state.mark = Mark::of(state);
        });
    }

    /// Reads the state under its lock, so `at` must be short.
    pub(crate) fn read<T>(&self, at: impl FnOnce(&AppState) -> T) -> T {
        at(&self.state.borrow())
    }

    /// A copy of the state.
    pub(crate) fn snapshot(&self) -> AppState {
        self.state.borrow().clone()
    }

    /// Subscribes to the state. The current value counts as changed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<AppState> {
        let mut follower = self.state.subscribe();
        follower.mark_changed();
        follower
    }

    /// Adds a notice for the donor, unless one with this text is shown already.
    pub(crate) fn notice(&self, text: impl Into<String>) {
        let text = text.into();
        let id = self.last_notice.fetch_add(1, Ordering::Relaxed) + 1;
        self.state.send_if_modified(|state| {
            if state.notices.iter().any(|notice| notice.text == text) {
                return false;
            }
            if state.notices.len() == NOTICES {
                state.notices.remove(0);
            }
            state.notices.push(Notice { id, text });
            true
        });
    }

    /// Removes a notice, if it is still there.
    pub(crate) fn dismiss(&self, id: u32) {
        self.update(|state| state.notices.retain(|notice| notice.id != id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(app_state: &AppStateStore) -> Vec<String> {
        app_state.read(|state| state.notices.iter().map(|notice| notice.text.clone()).collect())
    }

    #[test]
    fn notices_are_told_once_and_dismissed_by_their_number() {
        let app_state = AppStateStore::new("1".into(), AppSettings::default());
        app_state.notice("a");
        app_state.notice("a");
        app_state.notice("b");
        assert_eq!(texts(&app_state), ["a", "b"]);
        let first = app_state.read(|state| state.notices[0].id);
        app_state.dismiss(first);
        app_state.dismiss(first);
        assert_eq!(texts(&app_state), ["b"]);
        app_state.notice("a");
        assert_eq!(texts(&app_state), ["b", "a"]);
        assert!(
            app_state.read(|state| state.notices.iter().all(|notice| notice.id != first)),
            "a number names one notice"
        );
    }

    #[test]
    fn old_notices_go() {
        let app_state = AppStateStore::new("1".into(), AppSettings::default());
        for number in 0..NOTICES + 2 {
            app_state.notice(number.to_string());
        }
        assert_eq!(texts(&app_state).len(), NOTICES);
        assert_eq!(texts(&app_state)[0], "2");
    }
}
