use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// The first wait: a worker that was ended by hand is back before anybody wonders.
const FIRST: Duration = Duration::from_millis(500);
/// Jitter makes a wait up to twice as long, so none is longer than 30 s.
const LONGEST: Duration = Duration::from_secs(15);
/// A worker that ran for so long was all right: the next wait is the first again.
pub(super) const ALL_RIGHT: Duration = Duration::from_secs(60);

/// How long to wait before the worker is started again, and how often that happened.
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

    /// The wait after a worker that ran for so long, and how often in a row that was.
    pub(super) fn after(&mut self, ran: Duration) -> (Duration, u32) {
        if ran >= ALL_RIGHT {
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
        let (wait, times) = backoff.after(ALL_RIGHT);
        assert!(wait <= 2 * FIRST, "{wait:?}");
        assert_eq!(times, 1);
    }
}
