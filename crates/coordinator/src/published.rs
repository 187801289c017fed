//! A value that one task publishes and others follow, as with tokio's `watch`, but fair: the task that has waited
//! longest is woken first, so that it is the first to reserve KV memory in a new pipeline. Tokio's `watch` wakes in
//! random order.
//!
//! It holds the last value only, so there is no queue: a slow follower misses values in between.

use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// The publisher was dropped.
#[derive(Debug)]
pub(crate) struct PublisherGone;

/// Publishes values. Dropping it wakes those who wait.
pub(crate) struct Publisher<T>(Arc<Shared<T>>);

/// Follows the published values.
#[derive(Clone)]
pub(crate) struct Published<T> {
    shared: Arc<Shared<T>>,
    /// The version that was observed last.
    seen: u64,
}

struct Shared<T> {
    state: RwLock<State<T>>,
    /// Wakes in the order of waiting.
    changed: Notify,
}

struct State<T> {
    value: T,
    version: u64,
    publisher_gone: bool,
}

/// A publisher with its first value, and a follower.
pub(crate) fn publish<T: Clone>(value: T) -> (Publisher<T>, Published<T>) {
    let state = RwLock::new(State { value, version: 0, publisher_gone: false });
    let shared = Arc::new(Shared { state, changed: Notify::new() });
    (Publisher(shared.clone()), Published { shared, seen: 0 })
}

impl<T> Publisher<T> {
    /// Publishes another value.
    pub(crate) fn put(&self, value: T) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        (state.value, state.version) = (value, state.version + 1);
        drop(state);
        self.0.changed.notify_waiters();
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner).publisher_gone = true;
        self.0.changed.notify_waiters();
    }
}

impl<T: Clone> Published<T> {
    /// The current value.
    pub(crate) fn current(&self) -> T {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner).value.clone()
    }

    /// The current value; [`changed`](Self::changed) then waits for the next one.
    pub(crate) fn observe(&mut self) -> T {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits for another value than the last observed one. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Result<(), PublisherGone> {
        let seen = self.seen;
        self.wait(|state| state.version != seen).await
    }

    /// Waits for a value that fulfils the condition, which may be the current one. Cancel-safe.
    pub(crate) async fn wait_for(&mut self, condition: impl Fn(&T) -> bool) -> Result<(), PublisherGone> {
        self.wait(|state| condition(&state.value)).await
    }

    async fn wait(&mut self, condition: impl Fn(&State<T>) -> bool) -> Result<(), PublisherGone> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            {
                let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
                if condition(&state) {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.publisher_gone {
                    return Err(PublisherGone);
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::Mutex;

    #[tokio::test]
    async fn the_longest_waiting_follower_is_woken_first() {
        let (publisher, published) = publish(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..32 {
            let (mut published, order) = (published.clone(), order.clone());
            waiting.spawn(async move {
                published.wait_for(|value| *value == 2).await.expect("published");
                order.lock().expect("no panic").push(number);
            });
        }
        for value in 1..=2 {
            tokio::task::yield_now().await;
            publisher.put(value);
        }
        waiting.join_all().await;
        assert_eq!(*order.lock().expect("no panic"), (0..32).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_reported_once_and_so_is_the_end() {
        let (publisher, mut published) = publish(0);
        assert!(published.changed().now_or_never().is_none());
        publisher.put(1);
        assert_eq!((published.current(), published.changed().await.is_ok()), (1, true));
        assert!(published.changed().now_or_never().is_none());
        drop(publisher);
        assert!(published.changed().await.is_err() && published.wait_for(|value| *value == 2).await.is_err());
        assert!(published.wait_for(|value| *value == 1).await.is_ok());
    }
}
