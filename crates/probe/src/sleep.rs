//! The system's sleep: an event before it begins and one after it ends.

#[cfg(target_os = "linux")]
#[path = "sleep/linux.rs"]
mod system;

#[cfg(not(target_os = "linux"))]
use crate::unsupported as system;

use std::{io, thread};

/// A change between awake and asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepEvent {
    /// The system goes to sleep when the callback has returned, or after some seconds (logind: usually five).
    Suspending,
    /// The system is awake again, or did not go to sleep after all.
    Awake,
}

/// Calls `on_event` at each sleep, on a thread of its own, until the process ends. The events come from logind; on other
/// systems, and on Linux without logind, there are none.
///
/// # Errors
/// If the thread cannot be started.
pub fn watch_sleep(on_event: impl FnMut(SleepEvent) + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("sleep".into()).spawn(|| system::watch(on_event)).map(drop)
}
