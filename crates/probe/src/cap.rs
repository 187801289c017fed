//! Hard caps, which the system itself keeps: a net below the pacer and the ledger, should one of them fail.

#[cfg(any(target_os = "linux", windows))]
#[cfg_attr(target_os = "linux", path = "cap/linux.rs")]
#[cfg_attr(windows, path = "cap/windows.rs")]
mod system;

#[cfg(not(any(target_os = "linux", windows)))]
use crate::unsupported as system;

use gogrid_limits::Share;
use std::io;

/// A cap that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CapError {
    /// The system offers none for this process.
    #[error("no hard cap: {0}")]
    NotAvailable(String),
    /// The system refused this one.
    #[error("{field} of {value} was refused")]
    NotApplied {
        /// Which cap, as the system calls it.
        field: &'static str,
        /// What it was to become.
        value: String,
        /// Why.
        source: io::Error,
    },
}

/// Hard caps of this process. Taken back when it is dropped.
#[derive(Debug)]
pub struct HardCap(system::Cap);

impl HardCap {
    /// Finds out how this process can be capped: by its cgroup (version 2) on Linux, if it is ours to write and holds
    /// nothing else, and by a job object on Windows.
    ///
    /// # Errors
    /// If the system offers no cap, with the reason.
    pub fn new() -> Result<Self, CapError> {
        system::Cap::new().map(Self)
    }

    /// Caps CPU time to a part of all cores. Nothing is not a cap: at least a hundredth is left.
    ///
    /// # Errors
    /// If CPU time cannot be capped, or the system refuses it.
    pub fn set_cpu(&mut self, share: Share) -> Result<(), CapError> {
        self.0.set_cpu(share.max(Share::from_percent(1)))
    }

    /// Caps main memory, in bytes. A process that goes over it loses pages of files first, then dies (Linux) or is refused
    /// memory (Windows): cap well above what the ledger allows.
    ///
    /// # Errors
    /// If memory cannot be capped, or the system refuses it.
    pub fn set_memory(&mut self, bytes: u64) -> Result<(), CapError> {
        self.0.set_memory(bytes)
    }
}
