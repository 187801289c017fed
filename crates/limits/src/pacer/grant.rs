use super::free::Claimed;
use crate::Share;
use std::time::Duration;

/// Time reserved for one slice. It is settled once, with the time that the slice took, or cancelled.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "reserved time that is neither settled nor cancelled is lost to everybody"]
pub struct Grant {
    pub(super) start: Duration,
    pub(super) wait: Duration,
    pub(super) expected: Duration,
    /// The share at the time of the reservation: later changes do not change its price.
    pub(super) share: Share,
    pub(super) claimed: Claimed,
}

impl Grant {
    /// When the slice may start, on the clock of the `now` that it was reserved with. Never before that `now`.
    pub const fn start(&self) -> Duration {
        self.start
    }

    /// Time from the reservation to the start.
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// The reserved busy time.
    pub const fn expected(&self) -> Duration {
        self.expected
    }
}

/// Why there is no reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Paced {
    /// Nothing may run.
    #[error("stopped: the allowance is 0, nothing starts before it is raised")]
    Stopped,
}
