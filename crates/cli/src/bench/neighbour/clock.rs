//! The CPU time of another process.
//!
//! Linux keeps a clock for each process (`clock_getcpuclockid`). It counts the nanoseconds of all its threads, with
//! those that have ended, up to the moment of reading. `/proc/PID/stat` counts the same in ticks of 10 ms, and
//! `schedstat` counts only up to each thread's last tick.

use anyhow::Result;
use std::time::Duration;
#[cfg(target_os = "linux")]
use {
    anyhow::Context,
    nix::{time::ClockId, unistd::Pid},
};

/// A process' CPU clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuClock {
    #[cfg(target_os = "linux")]
    id: ClockId,
}

impl CpuClock {
    /// The clock of a running process.
    #[cfg(target_os = "linux")]
    pub(super) fn of(pid: u32) -> Result<Self> {
        let pid = Pid::from_raw(pid.try_into()?);
        Ok(Self { id: ClockId::pid_cpu_clock_id(pid).context("the worker's CPU clock")? })
    }

    /// The clock of a running process.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_pid: u32) -> Result<Self> {
        anyhow::bail!("the CPU clock of another process can only be read on Linux so far")
    }

    /// The CPU time so far.
    ///
    /// # Errors
    /// When the process has ended.
    pub(super) fn now(self) -> Result<Duration> {
        #[cfg(target_os = "linux")]
        return Ok(self.id.now().context("the worker has ended")?.into());
        #[cfg(not(target_os = "linux"))]
        Ok(Duration::ZERO)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{hint::black_box, time::Instant};

    #[test]
    fn it_counts_work_and_nothing_else() -> Result<()> {
        let clock = CpuClock::of(std::process::id())?;
        let (before, start) = (clock.now()?, Instant::now());
        while clock.now()? - before < Duration::from_millis(30) {
            black_box((0..10_000_u64).map(black_box).sum::<u64>());
            assert!(start.elapsed() < Duration::from_secs(20), "30 ms of work did not come together in 20 s");
        }
        Ok(())
    }

    #[test]
    fn a_missing_process_has_none() {
        // Linux gives out no number from here on (PID_MAX_LIMIT).
        assert!(CpuClock::of(1 << 22).and_then(CpuClock::now).is_err());
    }
}
