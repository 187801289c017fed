//! Hard caps, enforced by the system: a safety net in case the pacer or the ledger fails.

#[cfg(any(target_os = "linux", windows))]
#[cfg_attr(target_os = "linux", path = "cap/linux.rs")]
#[cfg_attr(windows, path = "cap/windows.rs")]
mod system;

#[cfg(not(any(target_os = "linux", windows)))]
use crate::unsupported as system;

#[cfg(target_os = "linux")]
pub(crate) use system::own_group;

use gogrid_limits::Share;
use std::io;

/// Why there is no cap.
#[derive(Debug, thiserror::Error)]
pub enum CapError {
    /// The system offers none for this process.
    #[error("no hard cap: {0}")]
    NotAvailable(String),
    /// The system refused the value.
    #[error("{field} of {value} was refused")]
    NotApplied {
        /// Which cap, as the system calls it.
        field: &'static str,
        /// The value.
        value: String,
        /// Why.
        source: io::Error,
    },
}

/// Hard caps of this process. Removed on drop.
#[derive(Debug)]
pub struct HardCap(system::Cap);

impl HardCap {
    /// Finds out how this process can be capped: by its cgroup (version 2) on Linux, if we may write to it and it holds no
    /// other process; by a job object on Windows.
    ///
    /// # Errors
    /// If the system offers no cap, with the reason.
    pub fn new() -> Result<Self, CapError> {
        system::Cap::new().map(Self)
    }

    /// Caps CPU time to a part of all cores, at least 1 %.
    ///
    /// # Errors
    /// If CPU time cannot be capped, or the system refuses it.
    pub fn set_cpu(&mut self, share: Share) -> Result<(), CapError> {
        self.0.set_cpu(share.max(Share::from_percent(1)))
    }

    /// Caps main memory, in bytes. A process above it first loses cached file pages, then is killed (Linux) or refused
    /// memory (Windows): set it well above what the ledger allows.
    ///
    /// # Errors
    /// If memory cannot be capped, or the system refuses it.
    pub fn set_memory(&mut self, bytes: u64) -> Result<(), CapError> {
        self.0.set_memory(bytes)
    }
}
