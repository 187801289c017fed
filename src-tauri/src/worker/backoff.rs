use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// The first delay: a worker that somebody has killed is back at once.
const FIRST: Duration = Duration::from_millis(500);
/// The longest delay before jitter, which may double it: none is longer than 30 s.
const LONGEST: Duration = Duration::from_secs(15);
/// A worker that ran this long was healthy: the next delay is the first again.
pub(super) const HEALTHY: Duration = Duration::from_secs(60);

/// The delays before restarts of the worker, and how many there were in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    waits: ExponentialBackoff,
    times: u32,
}

impl Backoff {
    pub(super) fn new() -> Self {
        let builder = ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST).with_jitter();
        Self { waits: builder.without_max_times().build(), times: 0 }
    }

    /// The delay after a worker that ran this long, and how many times in a row it has ended.
    pub(super) fn after(&mut self, ran: Duration) -> (Duration, u32) {
        if ran >= HEALTHY {
            *self = Self::new();
        }
        self.times = self.times.saturating_add(1);
        (self.waits.next().unwrap_or(LONGEST), self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(59);

    #[test]
    fn waits_grow_from_half_a_second_to_half_a_minute() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..50).map(|_| backoff.after(SHORT)).collect();
        assert!(waits[0].0 >= FIRST && waits[0].0 <= 2 * FIRST, "{waits:?}");
        assert!(waits.iter().all(|(wait, _)| *wait <= Duration::from_secs(30)), "{waits:?}");
        assert!(waits[10..].iter().all(|(wait, _)| *wait >= LONGEST), "{waits:?}");
        assert_eq!(waits[49].1, 50);
    }

    #[test]
    fn a_minute_of_running_starts_over() {
        let mut backoff = Backoff::new();
        for _ in 0..10 {
            backoff.after(SHORT);
        }
        let (wait, times) = backoff.after(HEALTHY);
        assert!(wait <= 2 * FIRST, "{wait:?}");
        assert_eq!(times, 1);
    }
}
