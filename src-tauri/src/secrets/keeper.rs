//! Gets the key without ever holding up the app.
//!
//! ```text
//!            ┌───────── try again ─────────┐
//!            ▼                             │
//! start ► Opening ─ 5 s ► Unavailable (locked, the thread goes on waiting)
//!            │                 │  it wins after all
//!            ├── key ──────────┴► System                     (for good)
//!            └── none ─► Unavailable ─ the donor agrees ► File (for good)
//! ```
//! A machine whose key is in a file already stays with it: another key would be another machine.

use super::{MachineKey, Vault, VaultError};
use crate::board::Board;
use gogrid_panel_api::KeyStore;
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// So long a key store that is not locked needs at most, even on a machine that has just started.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// One try is enough for many clicks.
const TRIES: usize = 1;
const THREAD: &str = "key-store";
const LOCKED: &str = "The key store is locked. Unlock it where it asks for its password";

/// What the worker is started with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum KeyAnswer {
    /// Not known yet; the key store is asked.
    #[default]
    Waiting,
    /// The donor has to decide something first.
    Missing,
    /// The key.
    Key(MachineKey),
    /// The worker's own file.
    File,
}

/// How to speak with the keeper.
#[derive(Debug, Clone)]
pub(crate) struct KeyDesk {
    tries: mpsc::Sender<()>,
    file_allowed: watch::Sender<bool>,
    answer: watch::Receiver<KeyAnswer>,
}

impl KeyDesk {
    /// Asks the key store again.
    pub(crate) fn try_again(&self) {
        // A full queue has what is wanted.
        let _ = self.tries.try_send(());
    }

    /// Whether the donor agrees to a file.
    pub(crate) fn allow_file(&self, allowed: bool) {
        self.file_allowed.send_if_modified(|before| std::mem::replace(before, allowed) != allowed);
    }

    /// What the worker is started with, as it becomes known.
    pub(crate) fn answer(&self) -> watch::Receiver<KeyAnswer> {
        self.answer.clone()
    }
}

/// Gets the key.
pub(crate) struct Keeper {
    vault: Arc<dyn Vault>,
    board: Board,
    file: PathBuf,
    /// After so long the app says that it waits.
    patience: Duration,
    tries: mpsc::Receiver<()>,
    file_allowed: watch::Receiver<bool>,
    answer: watch::Sender<KeyAnswer>,
}

type Opened = oneshot::Receiver<Result<MachineKey, VaultError>>;

impl Keeper {
    /// For this vault, and the file in which a worker keeps its own key.
    pub(crate) fn new(vault: Arc<dyn Vault>, board: Board, file: PathBuf, file_allowed: bool) -> (Self, KeyDesk) {
        let (tries_sender, tries) = mpsc::channel(TRIES);
        let allowed = watch::Sender::new(file_allowed);
        let answer = watch::Sender::new(KeyAnswer::Waiting);
        let desk = KeyDesk { tries: tries_sender, file_allowed: allowed.clone(), answer: answer.subscribe() };
        let file_allowed = allowed.subscribe();
        (Self { vault, board, file, patience: ANSWERS_WITHIN, tries, file_allowed, answer }, desk)
    }

    /// Runs until there is a key or a file, for good.
    pub(crate) async fn run(mut self) {
        if *self.file_allowed.borrow() && self.file.exists() {
            return self.use_file();
        }
        let mut opened = None;
        loop {
            match self.open(opened.take()).await {
                Outcome::Key(key) => return self.settle(KeyStore::System, KeyAnswer::Key(key)),
                Outcome::File => return self.use_file(),
                Outcome::Again(waiting) => opened = waiting,
                Outcome::Closed => return,
            }
        }
    }

    /// One try: the first answer, the donor's decision, or a wish to try again.
    async fn open(&mut self, waiting: Option<Opened>) -> Outcome {
        self.show(KeyStore::Opening);
        let mut opened = match waiting.map_or_else(|| self.ask(), Ok) {
            Ok(opened) => opened,
            Err(error) => return self.refused(&VaultError::Failed(error.to_string())).await,
        };
        let deadline = Instant::now() + self.patience;
        let mut late = false;
        loop {
            tokio::select! {
                answer = &mut opened => return match answer {
                    Ok(Ok(key)) => Outcome::Key(key),
                    Ok(Err(error)) => self.refused(&error).await,
                    Err(_) => self.refused(&VaultError::Failed("its thread ended".into())).await,
                },
                () = sleep_until(deadline), if !late => {
                    late = true;
                    self.unavailable(LOCKED.into(), true);
                    if *self.file_allowed.borrow() {
                        return Outcome::File;
                    }
                }
                agreed = agreed(&mut self.file_allowed), if late => return agreed,
                again = self.tries.recv() => return again.map_or(Outcome::Closed, |()| Outcome::Again(Some(opened))),
            }
        }
    }

    /// The store said no: waits for a decision.
    async fn refused(&mut self, error: &VaultError) -> Outcome {
        tracing::warn!("no key from the key store: {error}");
        self.unavailable(error.to_string(), error.is_lock());
        tokio::select! {
            agreed = agreed(&mut self.file_allowed) => agreed,
            again = self.tries.recv() => again.map_or(Outcome::Closed, |()| Outcome::Again(None)),
        }
    }

    /// Asks on a thread of its own, which may wait for ever.
    fn ask(&self) -> io::Result<Opened> {
        let (sender, opened) = oneshot::channel();
        let vault = Arc::clone(&self.vault);
        std::thread::Builder::new().name(THREAD.into()).spawn(move || {
            // Nobody waits for it any more once the donor has agreed to a file.
            let _ = sender.send(vault.open());
        })?;
        Ok(opened)
    }

    fn use_file(&self) {
        self.settle(KeyStore::File, KeyAnswer::File);
    }

    fn settle(&self, store: KeyStore, answer: KeyAnswer) {
        self.show(store);
        self.answer.send_replace(answer);
    }

    fn unavailable(&self, why: String, locked: bool) {
        self.settle(KeyStore::Unavailable { why, locked }, KeyAnswer::Missing);
    }

    fn show(&self, store: KeyStore) {
        self.board.change(|state| state.key_store = store);
    }
}

enum Outcome {
    Key(MachineKey),
    File,
    Again(Option<Opened>),
    Closed,
}

async fn agreed(file_allowed: &mut watch::Receiver<bool>) -> Outcome {
    match file_allowed.wait_for(|allowed| *allowed).await {
        Ok(_) => Outcome::File,
        Err(_) => Outcome::Closed,
    }
}

#[cfg(test)]
mod tests;
