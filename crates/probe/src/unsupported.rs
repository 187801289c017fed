//! What stands in on an operating system that has no code here: each part says that it is not supported. All such parts
//! are in this one file, each with the systems that need it.

/// Hard caps.
#[cfg(not(any(target_os = "linux", windows)))]
mod cap {
    use crate::CapError;
    use gogrid_limits::Share;

    /// Never made.
    #[derive(Debug)]
    pub(crate) enum Cap {}

    impl Cap {
        pub(crate) fn new() -> Result<Self, CapError> {
            Err(CapError::NotAvailable("this operating system has none for a running process".into()))
        }

        pub(crate) fn set_cpu(&mut self, _share: Share) -> Result<(), CapError> {
            match *self {}
        }

        pub(crate) fn set_memory(&mut self, _bytes: u64) -> Result<(), CapError> {
            match *self {}
        }
    }
}

/// Sleep: no events.
#[cfg(not(target_os = "linux"))]
mod sleep {
    use crate::SleepEvent;

    pub(crate) fn watch(_on_event: impl FnMut(SleepEvent)) {}
}

/// Desktop and levers of a system that is none of the three.
#[cfg(not(any(target_os = "linux", windows, target_os = "macos")))]
mod unknown {
    use crate::{Lever, LeverReport, Outcome};
    use gogrid_limits::Signal;
    use std::time::{Duration, Instant};

    const REASON: &str = "this operating system is not supported";

    pub(crate) struct Desktop;

    impl Desktop {
        pub(crate) fn new() -> Self {
            Self
        }

        pub(crate) fn user_idle(&mut self, _now: Instant) -> Signal<Duration> {
            Signal::absent(REASON)
        }

        pub(crate) fn full_screen(&mut self, _now: Instant) -> Signal<bool> {
            Signal::absent(REASON)
        }

        pub(crate) fn user_idle_source(&mut self, _now: Instant) -> Result<String, String> {
            Err(REASON.into())
        }

        pub(crate) fn full_screen_source(&mut self, _now: Instant) -> Result<String, String> {
            Err(REASON.into())
        }
    }

    pub(crate) fn background_thread(report: &mut LeverReport) {
        report.levers.push(Lever { name: "priority", outcome: Outcome::NotSet(REASON.into()) });
    }

    pub(crate) fn background_process(report: &mut LeverReport) {
        background_thread(report);
    }

    pub(crate) fn ensure_single_threaded() -> Result<(), String> {
        Err(REASON.into())
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use cap::Cap;
#[cfg(not(target_os = "linux"))]
pub(crate) use sleep::watch;
#[cfg(not(any(target_os = "linux", windows, target_os = "macos")))]
pub(crate) use unknown::{Desktop, background_process, background_thread, ensure_single_threaded};
