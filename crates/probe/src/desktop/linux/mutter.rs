use super::bus::{Bus, Kind};
use crate::periodic::Periodic;
use std::time::{Duration, Instant};

/// A call wakes the bus and the desktop's shell, some 0.2 ms of work together: five a second at most.
const INTERVAL: Duration = Duration::from_millis(200);
const IDLE_TIME: [&str; 4] = [
    "org.gnome.Mutter.IdleMonitor",
    "/org/gnome/Mutter/IdleMonitor/Core",
    "org.gnome.Mutter.IdleMonitor",
    "GetIdletime",
];

/// GNOME's window manager, which knows of all input on Wayland too.
pub(super) struct Mutter {
    bus: Bus,
    idle: Periodic<Result<Duration, String>>,
}

impl Mutter {
    pub(super) fn new() -> Self {
        Self { bus: Bus::new(Kind::Session), idle: Periodic::new(INTERVAL) }
    }

    /// Time since the last input.
    pub(super) fn idle(&mut self, now: Instant) -> Result<Duration, String> {
        self.idle.get(now, || {
            self.bus
                .call(now, IDLE_TIME, &[], |answer| answer.body.parser().get::<u64>().ok().map(Duration::from_millis))
        })
    }
}
