//! CPU work that cannot be cut, such as making a matrix of a stage. It waits for its time as a slice does, and a pause can
//! wait until none is under way.

use super::Paced;
use gogrid_limits::Grant;
use std::{
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// How often a thread that waits checks whether the allowance has changed, and whether its work is still wanted.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Such work, under way until this is dropped. The CPU time of the process is settled then.
#[must_use = "the work is under way for as long as this is held"]
pub(crate) struct NonPreemptible<'a> {
    paced: &'a Paced,
    grant: Option<Grant>,
    _counted: Counted<'a>,
}

impl Drop for NonPreemptible<'_> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.paced.cpu.mark_request_processed(grant, self.paced.take_cpu(), self.paced.now());
        }
    }
}

impl Paced {
    /// Waits for the time of such work and begins it; `None` when `over` says that it is not wanted any longer. Blocks.
    pub(crate) fn non_preemptible(&self, over: impl Fn() -> bool) -> Option<NonPreemptible<'_>> {
        while !over() {
            if self.is_stopped() {
                thread::park_timeout(POLL_EVERY);
                continue;
            }
            let shares = self.shares();
            let Ok(grant) = self.cpu.reserve(Duration::ZERO, self.now()) else { continue };
            while self.shares() == shares && !over() {
                let wait = grant.start().saturating_sub(self.now());
                if !wait.is_zero() {
                    thread::park_timeout(wait.min(POLL_EVERY));
                    continue;
                }
                let counted = Counted::new(&self.non_preemptible);
                if self.shares() == shares {
                    return Some(NonPreemptible { paced: self, grant: Some(grant), _counted: counted });
                }
            }
            self.cpu.cancel(grant);
        }
        None
    }

    /// How much of it is under way.
    pub(crate) fn non_preemptible_count(&self) -> &NonPreemptibleCount {
        &self.non_preemptible
    }
}

/// How much such work is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct NonPreemptibleCount(Arc<watch::Sender<usize>>);

impl NonPreemptibleCount {
    /// Waits until none is. If the pacers were stopped before, none begins after it. Cancel-safe.
    pub(crate) async fn none(&self) {
        // The sender is part of self.
        drop(self.0.subscribe().wait_for(|under_way| *under_way == 0).await);
    }
}

/// One more under way.
struct Counted<'a>(&'a NonPreemptibleCount);

impl<'a> Counted<'a> {
    fn new(count: &'a NonPreemptibleCount) -> Self {
        count.0.send_modify(|under_way| *under_way += 1);
        // One thread stops the pacers and then reads the count, this one counts and then reads the shares: at least one of
        // them sees the other.
        fence(Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|under_way| *under_way -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use gogrid_limits::Share;
    use std::cell::Cell;

    /// Owes time, so that the next reservation waits.
    fn owing() -> Paced {
        let paced = Paced::new(false);
        paced.cpu.set_share(Share::from_per_mille(100));
        paced.cpu.charge(Duration::from_millis(20), paced.now());
        paced
    }

    #[test]
    fn a_stop_during_the_wait_holds() {
        let (paced, looks) = (owing(), Cell::new(0));
        let over = || {
            looks.set(looks.get() + 1);
            match looks.get() {
                // The time is reserved: now it waits.
                2 => paced.cpu.set_share(Share::ZERO),
                9 => return true,
                _ => {}
            }
            false
        };
        assert!(paced.non_preemptible(over).is_none(), "nothing begins");
        assert_eq!(paced.stats().requests, 0);
        assert!(paced.non_preemptible.none().now_or_never().is_some());
    }

    #[test]
    fn a_higher_share_does_not_wait_for_what_a_lower_one_reserved() {
        let (paced, looks) = (owing(), Cell::new(0));
        paced.cpu.charge(Duration::from_secs(2), paced.now());
        let over = || {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                paced.cpu.set_share(Share::FULL);
            }
            false
        };
        assert!(paced.non_preemptible(over).is_some());
        assert!(paced.now() < Duration::from_secs(10), "at a tenth it would wait for 20 s");
    }

    #[test]
    fn what_is_under_way_is_waited_for_and_settled() {
        let paced = Paced::new(false);
        paced.cpu.set_share(Share::FULL);
        let work = paced.non_preemptible(|| false).expect("allowed");
        paced.cpu.set_share(Share::ZERO);
        assert!(paced.non_preemptible.none().now_or_never().is_none(), "it is not over yet");
        assert_eq!(paced.stats().requests, 0);
        drop(work);
        assert!(paced.non_preemptible.none().now_or_never().is_some());
        assert_eq!(paced.stats().requests, 1);
    }
}
