//! Paces device time to a share of real time, by reserving it before use.
//!
//! The generic cell rate algorithm (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>) on time instead of
//! cells: a slice of busy time `b` at share `s` occupies `b / s` of the time line, and the next slice starts after it. The
//! only state is the next free instant, and one compare-and-swap on it is the reservation: a hundred callers at once get
//! a hundred disjoint stretches. (If callers read the wait, slept and marked the time afterwards, all would start
//! together.)
//!
//! ```text
//! reserve ──▶ Grant { start } ──▶ wait until start ──▶ compute ──▶ mark_request_processed: pays off, or gets back
//!    │                                  └──▶ cancel: gets back
//!    └──▶ Paced::Stopped: the share is 0
//! ```
//!
//! **Late callers.** Timers oversleep. A caller that is late by up to the tolerance is charged as if it had been on time,
//! so that it loses nothing and the share is met in the long run: it catches up at once, in slices without waits. If such
//! a burst would disturb the user, the tolerance can be lowered for a while.
//!
//! **Bound.** Take a window `w` in which the share is at most `s`. All charges, and all slices that start in it except the
//! last, are busy for at most `s · (w + tolerance)`, plus what was reserved and not settled when the window began (zero
//! for a caller that settles each slice before it reserves the next). Starts are those of the grants; a slice may start
//! later. Two things are excluded: busy time beyond the cap on debt, and a share of 1, which never waits.
//!
//! Proof: let `U` be the time line's worth of what is settled, `F` of what is reserved and not settled, and `X` how far the
//! next free instant lies ahead of `now - tolerance` (0 if behind). A reservation adds the same to `F` and `X`; a charge
//! or settlement moves `U + F` by no more than `X`; time takes from `X` no more than what passes. So `U + F - X` grows no
//! faster than time, and `X` is at most the tolerance whenever a slice starts.

mod free;
mod grant;
#[cfg(all(test, loom))]
mod loom_tests;
mod requests;
mod stats;

pub use grant::{Grant, Paced};
pub use requests::RequestPacer;
pub use stats::PacerStats;

use crate::{
    Share,
    sync::{AtomicU16, AtomicU64, Ordering, fence},
};
use free::{NextFree, nanos, scale};
use stats::Counters;
use std::time::Duration;

/// How far busy time that was not reserved can push the next start. A cold slice of 3 s (a GPU loads its kernels) at a
/// share of 10 % is paid off in full; a measurement across a suspended night does not stop the worker until noon.
const MAX_DEBT: Duration = Duration::from_secs(30);

/// A pacer of one device's time. Lock-free; every `now` is the time since one fixed instant.
#[derive(Debug)]
pub struct Pacer {
    free: NextFree,
    /// In thousandths.
    share: AtomicU16,
    /// In nanoseconds.
    tolerance: AtomicU64,
    counters: Counters,
}

impl Pacer {
    /// A pacer with this share. A caller may be late by up to `tolerance` without losing time.
    pub fn new(share: Share, tolerance: Duration) -> Self {
        Self {
            free: NextFree::new(),
            share: AtomicU16::new(share.per_mille()),
            tolerance: AtomicU64::new(nanos(tolerance)),
            counters: Counters::new(),
        }
    }

    /// Changes the share, from any thread, from the next reservation on. Earlier reservations keep their start and price.
    pub fn set_share(&self, share: Share) {
        self.share.store(share.per_mille(), Ordering::Relaxed);
        // For a caller that stops the pacer and then checks whether a slice runs. The executor marks its slice as running,
        // has a fence of its own and then reads the share: at least one side sees the other.
        fence(Ordering::SeqCst);
    }

    /// Changes how late a caller may be without losing time, from any thread, from the next reservation on.
    pub fn set_tolerance(&self, tolerance: Duration) {
        self.tolerance.store(nanos(tolerance), Ordering::Relaxed);
    }

    /// The earliest instant at which a reservation made now may begin.
    fn floor(&self, now: u64) -> u64 {
        now.saturating_sub(self.tolerance.load(Ordering::Relaxed))
    }

    /// The current share.
    pub fn share(&self) -> Share {
        Share::from_per_mille(self.share.load(Ordering::Relaxed))
    }

    /// Reserves time for a slice of `expected` busy time, after everything that is reserved. The slice may run from the
    /// grant's start on.
    pub fn reserve(&self, expected: Duration, now: Duration) -> Result<Grant, Paced> {
        let share = self.share();
        if share.is_zero() {
            return Err(Paced::Stopped);
        }
        let now_nanos = nanos(now);
        let floor = self.floor(now_nanos);
        let (claimed, start) = match share {
            Share::FULL => (free::Claimed { from: now_nanos, length: 0 }, now),
            _ => {
                let claimed = self.free.claim(price(nanos(expected), share), floor);
                (claimed, Duration::from_nanos(claimed.from).max(now))
            }
        };
        Ok(Grant { start, wait: start - now, expected, share, claimed })
    }

    /// How long a slice reserved now would wait; `None` if it would be refused. Changes nothing and promises nothing: only a
    /// reservation does.
    pub fn calculate_wait_time(&self, now: Duration) -> Option<Duration> {
        match self.share() {
            Share::ZERO => None,
            Share::FULL => Some(Duration::ZERO),
            _ => Some(Duration::from_nanos(self.free.get()).saturating_sub(now)),
        }
    }

    /// Settles a slice. Busy time above the reservation is paid off by later waits; unused time is given back.
    #[expect(clippy::needless_pass_by_value, reason = "a grant is settled once")]
    pub fn mark_request_processed(&self, grant: Grant, measured: Duration, now: Duration) {
        let (busy, reserved) = (nanos(measured), grant.claimed.length);
        let used = price(busy, grant.share);
        if used > reserved {
            // No floor: this slice's own run is part of the time that has passed since.
            self.free.charge(used - reserved, 0, latest(now));
        } else if used < reserved {
            self.free.give_back(reserved - used);
        }
        self.counters.count(1, grant.wait);
        self.counters.add_busy(busy);
    }

    /// Charges busy time up to now that was not reserved, such as that of the process's other threads. Later waits pay it
    /// off. While the pacer is stopped it counts one to one.
    pub fn charge(&self, busy: Duration, now: Duration) {
        let busy = nanos(busy);
        let length = match self.share() {
            Share::ZERO => busy,
            share => price(busy, share),
        };
        if length > 0 {
            self.free.charge(length, self.floor(nanos(now)), latest(now));
        }
        self.counters.add_busy(busy);
    }

    /// Gives back a reservation whose slice does not run. Statistics leave it out.
    #[expect(clippy::needless_pass_by_value, reason = "a grant is settled once")]
    pub fn cancel(&self, grant: Grant) {
        if grant.claimed.length > 0 {
            self.free.give_back(grant.claimed.length);
        }
    }

    /// Statistics since the start.
    pub fn stats(&self) -> PacerStats {
        self.counters.snapshot()
    }
}

/// The part of the time line that busy time occupies at a share above 0. At a share of 1 it is free: at a price of one to
/// one, a slice would wait for the difference between two clocks.
fn price(busy: u64, share: Share) -> u64 {
    match share {
        Share::FULL => 0,
        share => scale(busy, 1000, u64::from(share.per_mille())),
    }
}

fn latest(now: Duration) -> u64 {
    nanos(now.saturating_add(MAX_DEBT))
}

#[cfg(all(test, not(loom)))]
mod tests;
