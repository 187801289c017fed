use super::{
    Paced, PacerStats,
    free::{NextFree, nanos, scale},
    stats::Counters,
};
use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// Limits requests per interval, or bytes for a network limit, evenly spaced. Lock-free like [`Pacer`](super::Pacer), by
/// the same rule: each of `n` requests per interval occupies `interval / n` of the time line.
///
/// At most `n · (w + tolerance) / interval` requests start in a window `w`, plus those of one call.
#[derive(Debug)]
pub struct RequestPacer {
    free: NextFree,
    /// Requests per interval.
    requests: AtomicU64,
    interval: u64,
    tolerance: u64,
    counters: Counters,
}

impl RequestPacer {
    /// `requests` per `interval`. A caller may be late by up to `tolerance` without losing its turn.
    pub fn new(requests: u64, interval: Duration, tolerance: Duration) -> Self {
        Self {
            free: NextFree::new(),
            requests: AtomicU64::new(requests),
            interval: nanos(interval),
            tolerance: nanos(tolerance),
            counters: Counters::new(),
        }
    }

    /// Changes the requests per interval, from the next reservation on.
    pub fn set_requests(&self, requests: u64) {
        self.requests.store(requests, Ordering::Relaxed);
    }

    /// Requests per interval.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Reserves a turn and returns its instant, never before `now`.
    pub fn reserve(&self, now: Duration) -> Result<Duration, Paced> {
        self.reserve_many(1, now)
    }

    /// Reserves one turn for `count` requests and returns its instant. Later turns wait for all of them.
    pub fn reserve_many(&self, count: u64, now: Duration) -> Result<Duration, Paced> {
        let requests = self.requests();
        if requests == 0 {
            return Err(Paced::Stopped);
        }
        let length = scale(count, self.interval, requests);
        let claimed = self.free.claim(length, nanos(now).saturating_sub(self.tolerance));
        let start = Duration::from_nanos(claimed.from).max(now);
        self.counters.count(count, start - now);
        Ok(start)
    }

    /// How long a request reserved now would wait; `None` if it would be refused. Changes nothing.
    pub fn calculate_wait_time(&self, now: Duration) -> Option<Duration> {
        (self.requests() > 0).then(|| Duration::from_nanos(self.free.get()).saturating_sub(now))
    }

    /// Statistics since the start.
    pub fn stats(&self) -> PacerStats {
        self.counters.snapshot()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn requests_are_spread_over_the_interval() {
        let pacer = RequestPacer::new(4, SECOND, Duration::ZERO);
        let starts: Vec<_> = (0..5).map(|_| pacer.reserve(ms(100)).unwrap()).collect();
        assert_eq!(starts, [ms(100), ms(350), ms(600), ms(850), ms(1100)]);
        assert_eq!(pacer.calculate_wait_time(ms(100)), Some(ms(1250)));
        let waits = ms(250 + 500 + 750 + 1000);
        assert_eq!(pacer.stats(), PacerStats { requests: 5, throttled: 4, busy: Duration::ZERO, waits });
    }

    #[test]
    fn many_at_once_take_as_much_as_one_after_another() {
        let pacer = RequestPacer::new(1_000_000, SECOND, Duration::ZERO);
        assert_eq!(pacer.reserve_many(65_536, SECOND), Ok(SECOND));
        assert_eq!(pacer.reserve_many(0, SECOND), Ok(SECOND + Duration::from_micros(65_536)));
        assert_eq!(pacer.reserve(SECOND), Ok(SECOND + Duration::from_micros(65_536)));
        assert_eq!(pacer.reserve(SECOND), Ok(SECOND + Duration::from_micros(65_537)));
    }

    #[test]
    fn nothing_per_interval_stops_and_a_change_holds_from_the_next_on() {
        let pacer = RequestPacer::new(0, SECOND, Duration::ZERO);
        assert_eq!((pacer.reserve(SECOND), pacer.calculate_wait_time(SECOND)), (Err(Paced::Stopped), None));
        pacer.set_requests(10);
        assert_eq!(pacer.reserve(SECOND), Ok(SECOND));
        pacer.set_requests(2);
        assert_eq!(pacer.reserve(SECOND), Ok(ms(1100)));
        assert_eq!(pacer.reserve(SECOND), Ok(ms(1600)));
    }

    #[rstest]
    #[case(u64::MAX, SECOND, u64::MAX)]
    #[case(1, Duration::MAX, u64::MAX)]
    #[case(u64::MAX, Duration::MAX, 1)]
    #[case(1, Duration::ZERO, u64::MAX)]
    fn huge_numbers_end_at_the_end_of_time(#[case] requests: u64, #[case] interval: Duration, #[case] count: u64) {
        let pacer = RequestPacer::new(requests, interval, Duration::MAX);
        for now in [Duration::ZERO, SECOND, Duration::MAX] {
            let start = pacer.reserve_many(count, now).unwrap();
            assert!(start >= now && pacer.calculate_wait_time(now).is_some());
        }
    }

    proptest! {
        /// For any arrivals, no window holds more than its part, the tolerance's and the last call's.
        #[test]
        fn no_window_holds_more_than_its_part(
            requests in 1u64..1000,
            tolerance in 0u64..50,
            calls in prop::collection::vec((0u64..400, 0u64..20), 1..60),
        ) {
            let pacer = RequestPacer::new(requests, SECOND, ms(tolerance));
            let mut now = Duration::ZERO;
            let mut starts = Vec::new();
            for (passed, count) in calls {
                now += ms(passed);
                let start = pacer.reserve_many(count, now).unwrap();
                prop_assert!(start >= now);
                starts.push((start, count));
            }
            for from in 0..starts.len() {
                let mut sum = 0;
                for (start, count) in &starts[from..] {
                    let window = *start - starts[from].0 + ms(tolerance);
                    prop_assert!(sum as f64 <= requests as f64 * window.as_secs_f64() + 1e-6, "{} in {:?}", sum, window);
                    sum += count;
                }
            }
        }
    }
}
