use super::free::Claimed;
use crate::Share;
use std::time::Duration;

/// Time that is reserved for one slice. It is settled once: with what the slice took, or as not used.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "reserved time that is neither settled nor cancelled is lost to everybody"]
pub struct Grant {
    pub(super) start: Duration,
    pub(super) wait: Duration,
    pub(super) expected: Duration,
    /// What busy time costs: a share that changes later does not change the price.
    pub(super) share: Share,
    pub(super) claimed: Claimed,
}

impl Grant {
    /// When the slice may start, on the clock of the `now` that it was reserved with, and never before that.
    pub const fn start(&self) -> Duration {
        self.start
    }

    /// From the reservation until the start.
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// The busy time that is reserved.
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
