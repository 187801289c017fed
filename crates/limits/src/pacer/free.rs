use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// The next free instant, in nanoseconds (GCRA's theoretical arrival time). It is the only state of a reservation, so one
/// compare-and-swap claims the time. It guards no other data and all threads see its values in one order, so relaxed
/// accesses are enough.
#[derive(Debug)]
pub(super) struct NextFree(AtomicU64);

/// A stretch of time that belongs to one reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimed {
    /// Its first nanosecond.
    pub(super) from: u64,
    /// Its length in nanoseconds, as asked for except at the end of 64 bits.
    pub(super) length: u64,
}

impl NextFree {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Claims `length`, starting at the next free instant or at `floor`, whichever is later. Free time before `floor` is lost.
    pub(super) fn claim(&self, length: u64, floor: u64) -> Claimed {
        let mut claimed = Claimed { from: 0, length: 0 };
        self.update(|free| {
            let from = free.max(floor);
            let until = from.saturating_add(length);
            claimed = Claimed { from, length: until - from };
            until
        });
        claimed
    }

    /// Moves the instant back.
    pub(super) fn give_back(&self, length: u64) {
        self.update(|free| free.saturating_sub(length));
    }

    /// Moves the instant forward, from `floor` at least. This call does not move it past `latest`.
    pub(super) fn charge(&self, length: u64, floor: u64, latest: u64) {
        self.update(|free| free.max(floor).saturating_add(length).min(latest.max(free)));
    }

    fn update(&self, mut next: impl FnMut(u64) -> u64) {
        let mut free = self.get();
        loop {
            let moved = next(free);
            match self.0.compare_exchange_weak(free, moved, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => free = now,
            }
        }
    }
}

/// In nanoseconds; 584 years at most.
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

/// `amount` · `by` / `parts`, rounded up, at most [`u64::MAX`].
pub(super) fn scale(amount: u64, by: u64, parts: u64) -> u64 {
    match amount.checked_mul(by) {
        // 64 bits hold the product of all realistic values and divide several times as fast.
        Some(product) => product.div_ceil(parts),
        None => u64::try_from((u128::from(amount) * u128::from(by)).div_ceil(u128::from(parts))).unwrap_or(u64::MAX),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn claims_follow_each_other_and_lost_time_stays_lost() {
        let free = NextFree::new();
        assert_eq!(free.claim(10, 0), Claimed { from: 0, length: 10 });
        assert_eq!(free.claim(5, 0), Claimed { from: 10, length: 5 });
        assert_eq!(free.claim(5, 100), Claimed { from: 100, length: 5 });
        free.give_back(200);
        assert_eq!(free.get(), 0);
    }

    #[test]
    fn a_charge_stops_at_the_latest_instant_but_never_moves_back() {
        let free = NextFree::new();
        free.charge(70, 20, 50);
        assert_eq!(free.get(), 50);
        free.charge(70, 0, 10);
        assert_eq!(free.get(), 50);
        free.charge(7, 60, 100);
        assert_eq!(free.get(), 67);
    }

    #[test]
    fn the_end_of_time_holds_and_can_be_given_back() {
        let free = NextFree::new();
        free.claim(7, 0);
        let claimed = free.claim(u64::MAX, 0);
        assert_eq!(claimed, Claimed { from: 7, length: u64::MAX - 7 });
        assert_eq!(free.claim(1, 0), Claimed { from: u64::MAX, length: 0 });
        free.give_back(claimed.length);
        assert_eq!(free.get(), 7);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        assert_eq!(scale(u64::MAX, 1000, 1), u64::MAX);
        assert_eq!(scale(u64::MAX, 1000, 1000), u64::MAX);
        assert_eq!((scale(10, 1000, 300), scale(0, 1000, 1)), (34, 0));
    }
}
