//! Bounds the frames that wait at one side of a stage, in bytes and in number, and books them.
//!
//! A frame is admitted before its memory is taken, and its permit is held for as long as that memory is. The budget has a
//! floor that is booked for as long as the stage is there, enough for one step: with an empty queue a step's frame is
//! always admitted, so that a full ledger slows a stage down and never stops it. What is above the floor is booked frame
//! by frame.

use gogrid_limits::{Account, Ledger, OverLimit, Reservation};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::Thread,
};
use tokio::sync::Notify;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameBounds {
    /// Bytes that are booked in any case.
    pub(crate) floor: u64,
    /// The most bytes of several frames. A single frame may be larger: nothing else waits beside it.
    pub(crate) bytes: u64,
    /// The most frames.
    pub(crate) frames: usize,
}

/// Why a frame is not admitted, and will not be later either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    /// Nothing else waits, and yet its memory is not to be had.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// The stage is gone.
    #[error("the stage is gone")]
    Closed,
}

/// A handle on a budget.
#[derive(Debug, Clone)]
pub(crate) struct FrameBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bounds: FrameBounds,
    // Held for a few additions, never across an await.
    held: Mutex<Held>,
    /// Woken when there is room again after a frame was not admitted.
    task: Notify,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Held {
    frames: usize,
    bytes: u64,
    booked: Reservation,
    /// Whether a frame was not admitted since the last wake-up.
    wanted: bool,
    closed: bool,
}

impl FrameBudget {
    /// An empty budget. With a thread, that one is woken when there is room again.
    pub(crate) fn new(ledger: &Ledger, bounds: FrameBounds, thread: Option<Thread>) -> Result<Self, OverLimit> {
        let booked = ledger.reserve(Account::Frames, bounds.floor)?;
        let held = Mutex::new(Held { frames: 0, bytes: 0, booked, wanted: false, closed: false });
        Ok(Self(Arc::new(Shared { bounds, held, task: Notify::new(), thread })))
    }

    /// Admits a frame of this size; `None` where it has to wait.
    pub(crate) fn try_admit(&self, bytes: u64) -> Result<Option<FramePermit>, NotAdmitted> {
        let mut held = self.0.lock();
        if held.closed {
            return Err(NotAdmitted::Closed);
        }
        let FrameBounds { bytes: most, frames, .. } = self.0.bounds;
        let total = held.bytes.saturating_add(bytes);
        let alone = held.frames == 0;
        let fits = alone || (held.frames < frames && total <= most);
        match fits.then(|| held.book(total)) {
            Some(Ok(())) => {
                (held.frames, held.bytes) = (held.frames + 1, total);
                Ok(Some(FramePermit { budget: self.0.clone(), bytes }))
            }
            Some(Err(over)) if alone => Err(over.into()),
            _ => {
                held.wanted = true;
                Ok(None)
            }
        }
    }

    /// Waits until a frame of this size is admitted. Cancel-safe.
    pub(crate) async fn admit(&self, bytes: u64) -> Result<FramePermit, NotAdmitted> {
        loop {
            // Made before the attempt: room that comes in between is not missed.
            let freed = self.0.task.notified();
            if let Some(permit) = self.try_admit(bytes)? {
                return Ok(permit);
            }
            freed.await;
        }
    }

    /// Bytes that are booked.
    pub(crate) fn booked(&self) -> u64 {
        self.0.lock().booked.bytes()
    }

    /// The stage is gone: nothing more is admitted, and only what is still there stays booked.
    pub(crate) fn close(&self) {
        let mut held = self.0.lock();
        held.closed = true;
        held.settle(0);
        drop(held);
        self.0.wake();
    }
}

impl Held {
    fn book(&mut self, total: u64) -> Result<(), OverLimit> {
        match total.checked_sub(self.booked.bytes()) {
            None | Some(0) => Ok(()),
            Some(more) => self.booked.grow(more),
        }
    }

    /// Gives back what is booked and not taken, but for the floor.
    fn settle(&mut self, floor: u64) {
        let floor = if self.closed { 0 } else { floor };
        self.booked.shrink_to(self.bytes.max(floor));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.task.notify_waiters();
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }

    /// Changes what one frame takes.
    fn release(&self, bytes: u64, frames: usize) {
        let mut held = self.lock();
        held.bytes -= bytes;
        held.frames -= frames;
        held.settle(self.bounds.floor);
        let wanted = std::mem::take(&mut held.wanted);
        drop(held);
        if wanted {
            self.wake();
        }
    }
}

/// A frame's part of a budget, until it is dropped. Drop the frame's memory first.
#[derive(Debug)]
#[must_use = "the frame's part is given back when this is dropped"]
pub(crate) struct FramePermit {
    budget: Arc<Shared>,
    bytes: u64,
}

impl FramePermit {
    /// The frame turned out to be of this size. Where it is larger and that is refused, the permit stays as it is.
    pub(crate) fn resize(&mut self, bytes: u64) -> Result<(), OverLimit> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => {
                let mut held = self.budget.lock();
                let total = held.bytes.saturating_add(more);
                held.book(total)?;
                held.bytes = total;
            }
            None => self.budget.release(self.bytes - bytes, 0),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for FramePermit {
    fn drop(&mut self) {
        self.budget.release(self.bytes, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const BOUNDS: FrameBounds = FrameBounds { floor: 100, bytes: 400, frames: 4 };

    fn budget(limit: u64) -> (FrameBudget, Ledger) {
        let ledger = Ledger::new(limit);
        (FrameBudget::new(&ledger, BOUNDS, None).expect("the floor fits"), ledger)
    }

    fn admit(budget: &FrameBudget, bytes: u64) -> FramePermit {
        budget.try_admit(bytes).expect("open").expect("there is room")
    }

    #[test]
    fn bytes_and_frames_are_bounded_and_booked_above_the_floor() {
        let (budget, ledger) = budget(1000);
        assert_eq!(ledger.usage().frames, 100);
        let first = admit(&budget, 90);
        assert_eq!(ledger.usage().frames, 100);
        let second = admit(&budget, 310);
        assert_eq!(ledger.usage().frames, 400);
        assert!(budget.try_admit(1).expect("open").is_none(), "the bytes are used up");
        drop(first);
        assert_eq!(ledger.usage().frames, 310);
        let _more = [admit(&budget, 1), admit(&budget, 1), admit(&budget, 1)];
        assert!(budget.try_admit(1).expect("open").is_none(), "there are four frames");
        drop(second);
        assert_eq!(ledger.usage().frames, 100);
    }

    #[test]
    fn a_full_ledger_slows_down_and_never_stops() {
        let (budget, ledger) = budget(150);
        let kv = ledger.reserve(Account::Kv, 50).expect("it fits");
        let step = admit(&budget, 100);
        assert!(budget.try_admit(10).expect("open").is_none(), "it waits for the one before");
        drop(step);
        drop(admit(&budget, 100));
        let refused = budget.try_admit(101).expect_err("nothing that is waited for would make it fit");
        assert!(matches!(refused, NotAdmitted::OverLimit(OverLimit { needed: 1, .. })), "{refused:?}");
        ledger.set_limit(0);
        drop(admit(&budget, 100));
        drop(kv);
    }

    #[test]
    fn a_frame_that_is_larger_than_the_bound_waits_for_an_empty_queue() {
        let (budget, ledger) = budget(1000);
        let small = admit(&budget, 1);
        assert!(budget.try_admit(500).expect("open").is_none());
        drop(small);
        let _large = admit(&budget, 500);
        assert_eq!(ledger.usage().frames, 500);
    }

    #[test]
    fn who_waits_goes_on_as_soon_as_there_is_room() {
        let (budget, _ledger) = budget(1000);
        let first = admit(&budget, 400);
        let mut waits = Box::pin(budget.admit(400));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        drop(waits.now_or_never().expect("there is room").expect("open"));
    }

    #[test]
    fn a_closed_budget_keeps_only_what_is_still_there() {
        let (budget, ledger) = budget(1000);
        let mut frame = admit(&budget, 200);
        let mut waits = Box::pin(budget.admit(400));
        assert!(waits.as_mut().now_or_never().is_none());
        budget.close();
        assert_eq!(waits.now_or_never().expect("it is told").expect_err("closed"), NotAdmitted::Closed);
        assert_eq!(ledger.usage().frames, 200);
        frame.resize(20).expect("less");
        assert_eq!(ledger.usage().frames, 20);
        drop(frame);
        assert_eq!(ledger.usage().frames, 0);
    }

    #[test]
    fn a_frame_can_turn_out_larger_where_memory_is_left() {
        let (budget, ledger) = budget(250);
        let mut frame = admit(&budget, 10);
        frame.resize(240).expect("it fits");
        assert!(frame.resize(251).is_err());
        assert_eq!(ledger.usage().frames, 240);
        drop(frame);
        assert_eq!(ledger.usage().frames, 100);
    }
}
