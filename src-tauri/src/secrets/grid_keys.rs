//! The donor's keys for the APIs of grids, in the system's key store: one for each coordinator, sent to that one alone.
//!
//! The key store is asked once a grid has asked for a key, not before. It may block until somebody answers its prompt, so
//! a thread of its own asks it, one at a time.

use super::VaultError;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};
use zeroize::Zeroizing;

/// A key store that is not locked answers within this time; a donor who is there unlocks it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// The longest key, in bytes.
const LONGEST: usize = 512;
const THREAD: &str = "grid-keys";
const LOCKED: &str = "the key store is locked: unlock it where it asks for its password, then try again";

/// A store of keys for grids. Each call may block for ever, until somebody unlocks the store.
pub(crate) trait GridKeyVault: Send + Sync + 'static {
    /// The key for the grid of this coordinator.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn read(&self, coordinator: &str) -> Result<Option<GridKey>, VaultError>;

    /// Keeps a key in place of the one before; none is forgotten.
    ///
    /// # Errors
    /// When the store does not take it.
    fn write(&self, coordinator: &str, key: Option<&GridKey>) -> Result<(), VaultError>;
}

/// A key for the API of a grid.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct GridKey(Arc<Zeroizing<String>>);

impl GridKey {
    /// The key that somebody typed; `None` if it has other characters than visible ASCII, or too many.
    pub(crate) fn typed(text: &str) -> Option<Self> {
        let key = text.trim();
        let visible = !key.is_empty() && key.len() <= LONGEST && key.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then(|| Self(Arc::new(Zeroizing::new(key.to_owned()))))
    }

    /// The key itself.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GridKey(…)")
    }
}

/// The key of the grid that was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    coordinator: String,
    key: GridKey,
    kept: bool,
}

/// The keys, and the one that is in use.
pub(crate) struct GridKeys {
    vault: Arc<dyn GridKeyVault>,
    known: Mutex<Option<Known>>,
    /// One thread asks the key store, even if it never comes back.
    alone: Arc<Semaphore>,
    patience: Duration,
}

impl GridKeys {
    /// Keys in this vault.
    pub(crate) fn new(vault: Arc<dyn GridKeyVault>) -> Self {
        Self { vault, known: Mutex::default(), alone: Arc::new(Semaphore::new(1)), patience: ANSWERS_WITHIN }
    }

    /// The key in use for this coordinator's grid, and whether the key store keeps it. Asks nobody.
    pub(crate) fn known(&self, coordinator: &str) -> Option<(GridKey, bool)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.coordinator == coordinator).map(|known| (known.key.clone(), known.kept))
    }

    /// The key that the key store has for this coordinator's grid.
    ///
    /// # Errors
    /// When the store cannot be read or is locked.
    pub(crate) async fn find(&self, coordinator: &str) -> Result<Option<GridKey>, VaultError> {
        let of = coordinator.to_owned();
        let found = self.ask(move |vault| vault.read(&of)).await?;
        if let Some(key) = &found {
            self.remember(coordinator, key.clone(), true);
        }
        Ok(found)
    }

    /// Uses a key that the grid has taken, and keeps it. If the key store does not take it, the key is known until the
    /// app ends.
    pub(crate) async fn keep(&self, coordinator: &str, key: GridKey) {
        self.remember(coordinator, key.clone(), false);
        let (of, given) = (coordinator.to_owned(), key.clone());
        match self.ask(move |vault| vault.write(&of, Some(&given))).await {
            Ok(()) => self.remember(coordinator, key, true),
            Err(error) => tracing::warn!("the key for the grid is not kept: {error}"),
        }
    }

    /// Forgets the key.
    ///
    /// # Errors
    /// When the key store keeps it all the same.
    pub(crate) async fn forget(&self, coordinator: &str) -> Result<(), VaultError> {
        let kept = self.known(coordinator).is_none_or(|(_, kept)| kept);
        if kept {
            let of = coordinator.to_owned();
            self.ask(move |vault| vault.write(&of, None)).await?;
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn remember(&self, coordinator: &str, key: GridKey, kept: bool) {
        let known = Known { coordinator: coordinator.to_owned(), key, kept };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn GridKeyVault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let locked = || VaultError::Denied(LOCKED.to_owned());
        let permit = self.alone.clone().try_acquire_owned().map_err(|_| locked())?;
        let (sender, answer) = oneshot::channel();
        let vault = self.vault.clone();
        let ask = move || {
            let answer = work(&*vault);
            drop(permit);
            // Nobody receives it after the deadline.
            let _ = sender.send(answer);
        };
        let started = std::thread::Builder::new().name(THREAD.into()).spawn(ask);
        started.map_err(|error| VaultError::Failed(error.to_string()))?;
        let answered = timeout(self.patience, answer).await.map_err(|_| locked())?;
        answered.unwrap_or_else(|_| Err(VaultError::Failed("its thread ended".into())))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A key store in memory; without a map it takes nothing.
    pub(crate) struct FakeGridVault(pub(crate) Option<Mutex<HashMap<String, String>>>);

    impl FakeGridVault {
        pub(crate) fn empty() -> Arc<Self> {
            Arc::new(Self(Some(Mutex::default())))
        }

        fn keys(&self) -> Result<std::sync::MutexGuard<'_, HashMap<String, String>>, VaultError> {
            let missing = || VaultError::Missing("there is none".into());
            Ok(self.0.as_ref().ok_or_else(missing)?.lock().unwrap())
        }
    }

    impl GridKeyVault for FakeGridVault {
        fn read(&self, coordinator: &str) -> Result<Option<GridKey>, VaultError> {
            Ok(self.keys()?.get(coordinator).and_then(|key| GridKey::typed(key)))
        }

        fn write(&self, coordinator: &str, key: Option<&GridKey>) -> Result<(), VaultError> {
            match key {
                Some(key) => drop(self.keys()?.insert(coordinator.into(), key.secret().into())),
                None => drop(self.keys()?.remove(coordinator)),
            }
            Ok(())
        }
    }

    fn key(text: &str) -> GridKey {
        GridKey::typed(text).expect("a key")
    }

    #[test]
    fn a_key_has_visible_characters_only_and_is_not_shown() {
        assert_eq!(key(" gg-1 \n").secret(), "gg-1");
        assert!(!format!("{:?}", key("gg-secret")).contains("secret"));
        for wrong in ["", "  ", "a b", "ä", "a\nb", &"k".repeat(LONGEST + 1)] {
            assert_eq!(GridKey::typed(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_key_is_kept_for_its_grid_alone_until_it_is_forgotten() {
        let vault = FakeGridVault::empty();
        let keys = GridKeys::new(vault.clone());
        keys.keep("a", key("gg-1")).await;
        assert_eq!((keys.known("a"), keys.known("b")), (Some((key("gg-1"), true)), None));
        let restarted = GridKeys::new(vault);
        assert_eq!(restarted.known("a"), None, "nobody has asked for it yet");
        assert_eq!(restarted.find("b").await, Ok(None));
        assert_eq!(restarted.find("a").await, Ok(Some(key("gg-1"))));
        restarted.forget("a").await.expect("forgotten");
        assert_eq!((restarted.known("a"), restarted.find("a").await), (None, Ok(None)));
    }

    #[tokio::test]
    async fn without_a_key_store_a_key_is_known_until_the_app_ends() {
        let keys = GridKeys::new(Arc::new(FakeGridVault(None)));
        keys.keep("a", key("gg-1")).await;
        assert_eq!(keys.known("a"), Some((key("gg-1"), false)));
        keys.forget("a").await.expect("it is in memory only");
        assert_eq!(keys.known("a"), None);
    }

    #[tokio::test]
    async fn a_locked_key_store_holds_up_one_thread_and_nobody_else() {
        struct Locked(Mutex<std::sync::mpsc::Receiver<()>>);
        impl GridKeyVault for Locked {
            fn read(&self, _: &str) -> Result<Option<GridKey>, VaultError> {
                let _ = self.0.lock().unwrap().recv();
                Ok(None)
            }
            fn write(&self, _: &str, _: Option<&GridKey>) -> Result<(), VaultError> {
                Ok(())
            }
        }
        let (unlock, locked) = std::sync::mpsc::sync_channel(1);
        let mut keys = GridKeys::new(Arc::new(Locked(Mutex::new(locked))));
        keys.patience = Duration::from_millis(20);
        for _ in 0..2 {
            assert!(keys.find("a").await.expect_err("locked").is_lock());
        }
        unlock.send(()).expect("it waits");
        keys.alone.acquire().await.expect("the thread ends").forget();
    }
}
