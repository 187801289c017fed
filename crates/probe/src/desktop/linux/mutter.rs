use super::bus::{Bus, CallError, Kind};
use crate::periodic::Periodic;
use gogrid_limits::Signal;
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
    idle: Periodic<Signal<Duration>>,
}

impl Mutter {
    pub(super) fn new() -> Self {
        Self { bus: Bus::new(Kind::Session), idle: Periodic::new(INTERVAL) }
    }

    /// Time since the last input. Absent on a desktop that is not GNOME's.
    pub(super) fn idle(&mut self, now: Instant) -> Signal<Duration> {
        self.idle.get(now, || {
            let milliseconds = self.bus.call(now, IDLE_TIME, &[], |answer| answer.body.parser().get::<u64>().ok());
            match milliseconds {
                Ok(milliseconds) => Signal::Known(Duration::from_millis(milliseconds)),
                Err(CallError::NoService(reason)) => Signal::Absent(reason),
                Err(CallError::Failed(reason)) => Signal::Unknown(reason),
            }
        })
    }
}
