use jiff::{Timestamp, Zoned, civil};
use std::time::Duration;

/// The machine's totals, of which the limits are parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Logical cores.
    pub cores: u32,
    /// Main memory, in bytes.
    pub memory: u64,
    /// Memory of the GPU that is lent, in bytes; `None` if none is lent.
    pub gpu_memory: Option<u64>,
}

/// What was lent on this day of the local calendar.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DailyUse {
    /// Time in which something was computed.
    pub time: Duration,
    /// Energy of that work, in watt-hours; partly estimated.
    pub energy_wh: f64,
}

/// One instant, on every clock that a rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed instant, time asleep included.
    pub monotonic: Duration,
    /// Local time, for the schedule.
    pub local: civil::DateTime,
    /// Universal time, for the end of a pause.
    pub timestamp: Timestamp,
}

impl Now {
    /// The instant of a monotonic and of a wall clock.
    pub fn new(monotonic: Duration, wall: &Zoned) -> Self {
        Self { monotonic, local: wall.datetime(), timestamp: wall.timestamp() }
    }
}
