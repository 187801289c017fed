use gogrid_limits::Signal;
use std::time::{Duration, Instant};

/// `kCGEventSourceStateHIDSystemState`: what the hardware did, not what programs made up.
const HID_SYSTEM_STATE: i32 = 1;
/// `kCGAnyInputEventType`.
const ANY_INPUT: u32 = u32::MAX;

const NOT_DETECTED: &str = "full-screen programs cannot be detected on macOS";

#[expect(unsafe_code, reason = "one function of a system framework; its signature is that of CGEventSource.h")]
#[link(name = "CoreGraphics", kind = "framework")]
unsafe extern "C" {
    safe fn CGEventSourceSecondsSinceLastEventType(state: i32, event: u32) -> f64;
}

/// The desktop of macOS.
pub(crate) struct Desktop;

impl Desktop {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Time since the last key or pointer event.
    pub(crate) fn user_idle(&mut self, _now: Instant) -> Signal<Duration> {
        let seconds = CGEventSourceSecondsSinceLastEventType(HID_SYSTEM_STATE, ANY_INPUT);
        Duration::try_from_secs_f64(seconds)
            .map_or_else(|_| Signal::unknown(format!("macOS says {seconds} s since the last input")), Signal::Known)
    }

    /// The source of input times, or why there is none.
    pub(crate) fn user_idle_source(&mut self, now: Instant) -> Result<String, String> {
        self.user_idle(now).into_result().map(|_| "the system's event source".into())
    }

    /// There is none.
    pub(crate) fn full_screen_source(&mut self, _now: Instant) -> Result<String, String> {
        Err(NOT_DETECTED.into())
    }

    /// Not on this system.
    pub(crate) fn full_screen(&mut self, _now: Instant) -> Signal<bool> {
        Signal::absent(NOT_DETECTED)
    }
}
