//! A value that one task publishes and others follow, as with tokio's `watch`. But who waits longest is woken first:
//! who comes first to new routes gets the room in them. Tokio's `watch` wakes in random order.

use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// The publisher is gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// Publishes; dropping it tells those who wait.
pub(crate) struct Publisher<T>(Arc<Shared<T>>);

/// Follows what is published.
#[derive(Clone)]
pub(crate) struct Published<T> {
    shared: Arc<Shared<T>>,
    /// The version that was looked at last.
    seen: u64,
}

struct Shared<T> {
    state: RwLock<State<T>>,
    news: Notify,
}

struct State<T> {
    value: T,
    version: u64,
    gone: bool,
}

/// A publisher of a first value, and who follows it.
pub(crate) fn publish<T: Clone>(value: T) -> (Publisher<T>, Published<T>) {
    let state = RwLock::new(State { value, version: 0, gone: false });
    let shared = Arc::new(Shared { state, news: Notify::new() });
    (Publisher(shared.clone()), Published { shared, seen: 0 })
}

impl<T> Publisher<T> {
    /// Publishes another value.
    pub(crate) fn put(&self, value: T) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        (state.value, state.version) = (value, state.version + 1);
        drop(state);
        self.0.news.notify_waiters();
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner).gone = true;
        self.0.news.notify_waiters();
    }
}

impl<T: Clone> Published<T> {
    /// What is published now.
    pub(crate) fn now(&self) -> T {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner).value.clone()
    }

    /// What is published now; [`changed`](Self::changed) waits for another from here on.
    pub(crate) fn look(&mut self) -> T {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits for another value than the one last looked at. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Result<(), Gone> {
        let seen = self.seen;
        self.wait(|state| state.version != seen).await
    }

    /// Waits for a value that is as it should be, the present one included. Cancel-safe.
    pub(crate) async fn wait_for(&mut self, condition: impl Fn(&T) -> bool) -> Result<(), Gone> {
        self.wait(|state| condition(&state.value)).await
    }

    async fn wait(&mut self, condition: impl Fn(&State<T>) -> bool) -> Result<(), Gone> {
        loop {
            let mut news = std::pin::pin!(self.shared.news.notified());
            // From here on no news is missed.
            news.as_mut().enable();
            {
                let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
                if condition(&state) {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.gone {
                    return Err(Gone);
                }
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::Mutex;

    #[tokio::test]
    async fn who_waits_longest_is_woken_first() {
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
    async fn a_value_is_news_once_and_the_end_is_told() {
        let (publisher, mut published) = publish(0);
        assert!(published.changed().now_or_never().is_none());
        publisher.put(1);
        assert_eq!((published.now(), published.changed().await.is_ok()), (1, true));
        assert!(published.changed().now_or_never().is_none());
        drop(publisher);
        assert!(published.changed().await.is_err() && published.wait_for(|value| *value == 2).await.is_err());
        assert!(published.wait_for(|value| *value == 1).await.is_ok());
    }
}
