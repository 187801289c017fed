//! CPU load: of everybody, and of this process.
//!
//! The system's counters are coarse (ticks of 10 ms on Linux, about 16 ms on Windows) while our own is exact, so over a
//! short time the difference would look like other programs. The load is therefore taken over a sliding window: back to
//! the newest reading that is old enough for one tick to matter little.
//!
//! Busy time is the time that is not spare. Spare is idle time, time in which a core waits for a disk (it could compute)
//! and time that a hypervisor gave to other machines (no program here caused it, and using less would not return it). The
//! kernel measures idle time exactly but samples busy time by ticks, which would miss or double work in slices of a few
//! milliseconds.

#[cfg_attr(target_os = "linux", path = "cpu/linux.rs")]
#[cfg_attr(windows, path = "cpu/windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "cpu/sysinfo.rs")]
mod system;

pub(crate) use system::{CpuMeter, SOURCE};

#[cfg(any(target_os = "linux", windows))]
mod window;
