use super::{
    ramp::Ramp,
    rules::{Ceiling, Device},
};
use crate::{Reason, Share};
use std::time::Duration;

/// Finds the reason that the donor is shown: the rule that takes the largest part of what they lend.
#[derive(Debug)]
pub(super) struct Attribution {
    /// What that rule takes, in thousandths of the limit.
    taken: u64,
    pub(super) reason: Reason,
}

impl Attribution {
    pub(super) fn new() -> Self {
        Self { taken: 0, reason: Reason::Free }
    }

    /// What is left of a device's time.
    pub(super) fn device(&mut self, device: Device, ramp: &Ramp, ceiling: Ceiling, now: Duration) -> Share {
        let left = device.cap.min(ramp.level());
        self.weigh(device.cap.per_mille().into(), left.per_mille().into(), || match ceiling.reason {
            reason if ramp.is_near(ceiling.share) => reason,
            _ if ramp.is_settling(now) => Reason::Settling,
            _ => Reason::Climbing,
        });
        left
    }

    /// What is left of a memory, in bytes.
    pub(super) fn memory(&mut self, limit: u64, level: u64, reason: Option<Reason>) -> u64 {
        let left = limit.min(level);
        self.weigh(limit, left, || reason.unwrap_or(Reason::Settling));
        left
    }

    fn weigh(&mut self, lent: u64, left: u64, reason: impl FnOnce() -> Reason) {
        let taken = u128::from(lent.saturating_sub(left)) * 1000 / u128::from(lent.max(1));
        // Less than a thousandth counts as one, so that it has a reason, too.
        let taken = (taken as u64).max(u64::from(left < lent));
        if taken > self.taken {
            (self.taken, self.reason) = (taken, reason());
        }
    }
}
