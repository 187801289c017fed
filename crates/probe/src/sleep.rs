//! The system's sleep: told before it begins, and after it is over.

#[cfg(target_os = "linux")]
#[path = "sleep/linux.rs"]
mod system;

#[cfg(not(target_os = "linux"))]
use crate::unsupported as system;

use std::{io, thread};

/// What the system does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepEvent {
    /// It goes to sleep as soon as whoever is told has returned, or after some seconds (logind: five, as a rule).
    Suspending,
    /// It is awake again, or did not go to sleep after all.
    Awake,
}

/// Tells of each sleep, from a thread of its own, for as long as the process runs. On Linux logind tells; on other
/// systems, and where there is no logind, nobody does.
///
/// # Errors
/// When the thread cannot be started.
pub fn watch_sleep(told: impl FnMut(SleepEvent) + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("sleep".into()).spawn(|| system::watch(told)).map(drop)
}
