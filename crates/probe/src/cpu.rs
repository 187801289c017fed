//! CPU load: of everybody, and of this process.
//!
//! The system's counters are coarse (ticks of 10 ms on Linux, about 16 ms on Windows) while ours is exact, so a load over
//! a short time would show other programs that are not there. The load is therefore taken over a window that slides: back
//! to the newest look that is old enough for a tick to weigh little.
//!
//! Busy is what is not spare. Spare is idle time, time in which a core waits for a disk (it could compute meanwhile) and
//! time that a hypervisor gave to other machines (it is nobody's load here, and taking less would not bring it back).
//! The kernel measures idle time exactly where it stops its tick, but samples busy time by ticks: work in slices of a
//! few milliseconds would be missed or doubled if busy time were read.

#[cfg_attr(target_os = "linux", path = "cpu/linux.rs")]
#[cfg_attr(windows, path = "cpu/windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "cpu/sysinfo.rs")]
mod system;

pub(crate) use system::{CpuMeter, SOURCE};

#[cfg(any(target_os = "linux", windows))]
mod window;
