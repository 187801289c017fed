//! Where the machine's power comes from.
//!
//! On Linux the kernel's files are read directly. starship-battery fails on a battery without a voltage, reads one battery
//! at a time and does not know the mains.

#[cfg_attr(target_os = "linux", path = "power/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "power/batteries.rs")]
mod system;

pub(crate) use system::SOURCE;

use crate::periodic::Periodic;
use gogrid_limits::{Power, Signal};
use std::time::{Duration, Instant};

/// Pulling the plug should be noticed soon; asking a battery's controller may take milliseconds.
const INTERVAL: Duration = Duration::from_secs(5);

pub(crate) struct PowerMeter {
    source: system::Source,
    power: Periodic<Signal<Power>>,
}

impl PowerMeter {
    pub(crate) fn new() -> Self {
        Self { source: system::Source::new(), power: Periodic::new(INTERVAL) }
    }

    pub(crate) fn read(&mut self, now: Instant) -> Signal<Power> {
        self.power.get(now, || self.source.power())
    }
}
