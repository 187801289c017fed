//! Device time at a share of real time, reserved before it is used.
//!
//! The generic cell rate algorithm (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>) on time instead of
//! cells: a slice of busy time `b` at share `s` takes `b / s` of the time line, and the next slice starts behind it. The
//! only state is the next free instant, and one compare-and-swap on it is the reservation: of a hundred callers at once
//! each gets a stretch of its own. (To read the wait, sleep, and mark the time afterwards would let all of them start
//! together.)
//!
//! ```text
//! reserve ──▶ Grant { start } ──▶ wait until start ──▶ compute ──▶ mark_request_processed: pays off, or gets back
//!    │                                  └──▶ cancel: gets back
//!    └──▶ Paced::Stopped: the share is 0
//! ```
//!
//! **Late callers.** Timers oversleep. A caller that comes up to the tolerance late is reckoned from when it should have
//! come, so that it loses nothing and the share is met in the long run: what it missed it catches up with at once, in
//! slices without waits. Where such a burst disturbs somebody, the tolerance can be lowered for a while.
//!
//! **Bound.** While the share is at most `s`, what is charged and the slices that start within a window `w`, but the last
//! of them, are busy for at most `s · (w + tolerance)`, plus what was reserved and not settled when the window began:
//! nothing for a caller that settles each slice before it reserves the next. (Starts are those of the grants; a slice
//! may start later.) Two things lie outside: busy time that the debt's cap forgives, and a share of 1, which never waits
//! and bounds nothing.
//!
//! Why: let `U` be the time line's worth of what is settled, `F` of what is reserved and not settled, and `X` how far the
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

/// How far off the next start can be moved by busy time that was not reserved. A cold slice of 3 s (a GPU loads its
/// kernels) at a share of 10 % is paid off; a measurement across a suspended night does not stop the worker until noon.
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
    /// At that share. A caller may come late by up to `tolerance` without losing time.
    pub fn new(share: Share, tolerance: Duration) -> Self {
        Self {
            free: NextFree::new(),
            share: AtomicU16::new(share.per_mille()),
            tolerance: AtomicU64::new(nanos(tolerance)),
            counters: Counters::new(),
        }
    }

    /// Changes the share, from any thread; it holds from the next reservation on. What was reserved before keeps its
    /// start and its price.
    pub fn set_share(&self, share: Share) {
        self.share.store(share.per_mille(), Ordering::Relaxed);
        // For who stops the pacer and then looks whether a slice runs. The other side says that one runs, has a fence of
        // its own, and then looks at the share: at least one sees the other.
        fence(Ordering::SeqCst);
    }

    /// Changes how late a caller may come without losing time, from any thread; it holds from the next reservation on.
    pub fn set_tolerance(&self, tolerance: Duration) {
        self.tolerance.store(nanos(tolerance), Ordering::Relaxed);
    }

    /// The earliest instant that time is reckoned from.
    fn floor(&self, now: u64) -> u64 {
        now.saturating_sub(self.tolerance.load(Ordering::Relaxed))
    }

    /// The share that holds now.
    pub fn share(&self) -> Share {
        Share::from_per_mille(self.share.load(Ordering::Relaxed))
    }

    /// Reserves the time for a slice of so much busy time, behind all that is reserved. The slice may run from the
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

    /// How long a slice that is reserved now would wait; `None`: it would be refused. Changes nothing, and promises
    /// nothing: only a reservation does.
    pub fn calculate_wait_time(&self, now: Duration) -> Option<Duration> {
        match self.share() {
            Share::ZERO => None,
            Share::FULL => Some(Duration::ZERO),
            _ => Some(Duration::from_nanos(self.free.get()).saturating_sub(now)),
        }
    }

    /// Settles a slice. What it took above the reservation is paid off by later waits, what it left is given back.
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

    /// Busy time up to now that nobody reserved, of the process' other threads: paid off by later waits. While the
    /// pacer is stopped it counts once, as it passes.
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

    /// Gives back a reservation whose slice does not run. It is counted nowhere.
    #[expect(clippy::needless_pass_by_value, reason = "a grant is settled once")]
    pub fn cancel(&self, grant: Grant) {
        if grant.claimed.length > 0 {
            self.free.give_back(grant.claimed.length);
        }
    }

    /// What was processed so far.
    pub fn stats(&self) -> PacerStats {
        self.counters.snapshot()
    }
}

/// The time line's worth of busy time at a share above 0. All of a device's time is free of charge: to price it at one
/// to one would make a slice wait for what two clocks differ by.
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
