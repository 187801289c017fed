//! Loads the key without ever blocking the app.
//!
//! ```text
//!            ┌───────── try again ─────────┐
//!            ▼                             │
//! start ► Opening ─ 5 s ► Unavailable (locked; the thread goes on waiting)
//!            │                 │  the key arrives after all
//!            ├── key ──────────┴► System                     (for good)
//!            └── none ─► Unavailable ─ the donor agrees ► File (for good)
//! ```
//! A machine whose key is in a file keeps it, because another key would be another machine.

use super::{MachineKey, Vault, VaultError};
use crate::app_state::AppStateStore;
use gogrid_panel_api::KeyStore;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// A key store that is not locked answers within this time, even on a machine that has just started.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Tries that wait: one serves any number of clicks.
const TRIES: usize = 1;
/// The most threads that ask at a time. A key store that was restarted has forgotten the question, so a further try
/// must ask again. The first key that any thread gets is used.
const ASKED: usize = 4;
const THREAD: &str = "key-store";
const LOCKED: &str = "The key store is locked. Unlock it where it asks for its password";

/// The key with which to start the worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum KeyState {
    /// Not known yet: the key store is being asked.
    #[default]
    Waiting,
    /// There is none until the donor has decided something.
    Missing,
    /// The key.
    Key(MachineKey),
    /// In the worker's own file.
    File,
}

/// A handle to the key loader.
#[derive(Debug, Clone)]
pub(crate) struct KeyStoreHandle {
    tries: mpsc::Sender<()>,
    file_allowed: watch::Sender<bool>,
    answer: watch::Receiver<KeyState>,
}

impl KeyStoreHandle {
    /// Tries the key store again.
    pub(crate) fn try_again(&self) {
        // A full queue holds a try already.
        let _ = self.tries.try_send(());
    }

    /// Says whether the donor agrees to a file.
    pub(crate) fn allow_file(&self, allowed: bool) {
        self.file_allowed.send_if_modified(|before| std::mem::replace(before, allowed) != allowed);
    }

    /// The key, as it becomes known.
    pub(crate) fn answer(&self) -> watch::Receiver<KeyState> {
        self.answer.clone()
    }
}

/// Loads the key.
pub(crate) struct KeyLoader {
    vault: Arc<dyn Vault>,
    app_state: AppStateStore,
    file: PathBuf,
    /// After this time the app says that it waits.
    patience: Duration,
    tries: mpsc::Receiver<()>,
    file_allowed: watch::Receiver<bool>,
    answer: watch::Sender<KeyState>,
    /// One task for each thread that asks the key store.
    asked: JoinSet<Result<MachineKey, VaultError>>,
}

impl KeyLoader {
    /// For this vault, and the file in which a worker keeps its key.
    pub(crate) fn new(
        vault: Arc<dyn Vault>,
        app_state: AppStateStore,
        file: PathBuf,
        file_allowed: bool,
    ) -> (Self, KeyStoreHandle) {
        let (tries_sender, tries) = mpsc::channel(TRIES);
        let allowed = watch::Sender::new(file_allowed);
        let answer = watch::Sender::new(KeyState::Waiting);
        let handle = KeyStoreHandle { tries: tries_sender, file_allowed: allowed.clone(), answer: answer.subscribe() };
        let (file_allowed, asked) = (allowed.subscribe(), JoinSet::new());
        (Self { vault, app_state, file, patience: ANSWERS_WITHIN, tries, file_allowed, answer, asked }, handle)
    }

    /// Runs until the key is settled: from the key store or in a file.
    pub(crate) async fn run(mut self) {
        if *self.file_allowed.borrow() && self.file.exists() {
            return self.settle(KeyStore::File, KeyState::File);
        }
        // `Some` while the store is being opened; afterwards the donor may decide.
        let mut deadline = Some(self.open());
        loop {
            tokio::select! {
                Some(answer) = self.asked.join_next() => match answer {
                    Ok(Ok(key)) => return self.settle(KeyStore::System, KeyState::Key(key)),
                    // The other threads may still get it.
                    _ if !self.asked.is_empty() => {}
                    Ok(Err(error)) => {
                        deadline = None;
                        self.refused(&error);
                    }
                    Err(error) => {
                        deadline = None;
                        self.refused(&VaultError::Failed(error.to_string()));
                    }
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    deadline = None;
                    self.unavailable(LOCKED.into(), true);
                }
                true = agreed(&mut self.file_allowed), if deadline.is_none() => {
                    return self.settle(KeyStore::File, KeyState::File);
                }
                again = self.tries.recv() => match again {
                    Some(()) => deadline = Some(self.open()),
                    // The app is ending.
                    None => return,
                },
            }
        }
    }

    /// Asks the store, and returns the time at which to say that it is locked.
    fn open(&mut self) -> Instant {
        self.settle(KeyStore::Opening, KeyState::Waiting);
        if self.asked.len() < ASKED {
            self.ask();
        }
        Instant::now() + self.patience
    }

    /// Asks on a thread of its own, which may block for ever.
    fn ask(&mut self) {
        let (sender, opened) = oneshot::channel();
        let vault = Arc::clone(&self.vault);
        let thread = std::thread::Builder::new().name(THREAD.into()).spawn(move || {
            // Nobody receives it if the donor has agreed to a file meanwhile.
            let _ = sender.send(vault.open());
        });
        let started = thread.map(drop).map_err(|error| VaultError::Failed(error.to_string()));
        self.asked.spawn(async move {
            started?;
            opened.await.unwrap_or_else(|_| Err(VaultError::Failed("its thread ended".into())))
        });
    }

    fn refused(&self, error: &VaultError) {
        tracing::warn!("no key from the key store: {error}");
        self.unavailable(error.to_string(), error.is_lock());
    }

    fn unavailable(&self, why: String, locked: bool) {
        self.settle(KeyStore::Unavailable { why, locked }, KeyState::Missing);
    }

    fn settle(&self, store: KeyStore, answer: KeyState) {
        self.app_state.update(|state| state.key_store = store);
        self.answer.send_replace(answer);
    }
}

/// Waits until the donor agrees to a file; false if the handles are gone.
async fn agreed(file_allowed: &mut watch::Receiver<bool>) -> bool {
    file_allowed.wait_for(|allowed| *allowed).await.is_ok()
}

#[cfg(test)]
mod tests;
