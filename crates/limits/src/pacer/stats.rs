use super::free::nanos;
use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// What a pacer counted since it was made. Each number is exact; numbers of one snapshot that is taken while others
/// count may be a request apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacerStats {
    /// Requests that were processed.
    pub requests: u64,
    /// Of these, how many had to wait.
    pub throttled: u64,
    /// Busy time, measured; nothing where requests are counted rather than timed.
    pub busy: Duration,
    /// The sum of all waits.
    pub waits: Duration,
}

/// The counters behind it. They stop at their largest value.
#[derive(Debug)]
pub(super) struct Counters {
    requests: AtomicU64,
    throttled: AtomicU64,
    busy_nanos: AtomicU64,
    waits_nanos: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { requests: zero(), throttled: zero(), busy_nanos: zero(), waits_nanos: zero() }
    }

    pub(super) fn count(&self, requests: u64, wait: Duration) {
        add(&self.requests, requests);
        if !wait.is_zero() {
            add(&self.throttled, requests);
            add(&self.waits_nanos, nanos(wait));
        }
    }

    pub(super) fn add_busy(&self, nanos: u64) {
        add(&self.busy_nanos, nanos);
    }

    pub(super) fn snapshot(&self) -> PacerStats {
        PacerStats {
            requests: self.requests.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed)),
            waits: Duration::from_nanos(self.waits_nanos.load(Ordering::Relaxed)),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    let mut seen = counter.load(Ordering::Relaxed);
    while let Err(now) =
        counter.compare_exchange_weak(seen, seen.saturating_add(amount), Ordering::Relaxed, Ordering::Relaxed)
    {
        seen = now;
    }
}
