use gogrid_limits::Signal;
use std::time::{Duration, Instant};

const REASON: &str = "this operating system is not known to the program";

/// The desktop of a system that nobody has taught this program.
pub(crate) struct Desktop;

impl Desktop {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn user_idle(&mut self, _now: Instant) -> Signal<Duration> {
        Signal::unknown(REASON)
    }

    pub(crate) fn full_screen(&mut self, _now: Instant) -> Signal<bool> {
        Signal::unknown(REASON)
    }

    pub(crate) fn user_idle_source(&mut self, _now: Instant) -> Result<String, String> {
        Err(REASON.into())
    }

    pub(crate) fn full_screen_source(&mut self, _now: Instant) -> Result<String, String> {
        Err(REASON.into())
    }
}
