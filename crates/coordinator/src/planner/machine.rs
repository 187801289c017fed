use super::{device::Device, speed::Measured};
use gogrid_wire::PeerId;
use std::sync::Arc;

/// A machine that can hold stages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machine {
    pub(crate) id: PeerId,
    pub(crate) device: Arc<Device>,
    /// Lent memory that no other stage uses, in bytes. A worker does not lend what its device's runtime takes, so that
    /// is not in it.
    pub(crate) free: u64,
    /// Measured times of this model on this machine, at its allowance. `None`: estimated from the kind of device.
    pub(crate) measured: Option<Measured>,
    pub(crate) link: Link,
    /// The probability that the machine is still there in a minute; above 0, at most 1.
    pub(crate) reliability: f64,
    pub(crate) groups: Vec<String>,
}

impl Machine {
    /// What a cost on this machine is divided by: its reliability, but at least 0.05, so that a machine that is lost
    /// all the time is the last choice and not an infinite cost.
    pub(super) fn cost_divisor(&self) -> f64 {
        self.reliability.clamp(0.05, 1.0)
    }
}

/// A machine's network link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link {
    /// One-way delay to the coordinator, in seconds. The coordinator counts as the middle of the network: the delay
    /// between two machines is estimated as the sum of theirs.
    pub(crate) delay: f64,
    /// Bytes per second.
    pub(crate) bandwidth: f64,
}

/// An office's wired network, until something is measured.
impl Default for Link {
    fn default() -> Self {
        // A ping between two desktops through one or two switches takes about 0.6 ms: four times this delay.
        const DELAY: f64 = 150e-6;
        // 1 Gbit/s.
        const BANDWIDTH: f64 = 125e6;
        Self { delay: DELAY, bandwidth: BANDWIDTH }
    }
}
