//! CPU time of this process and of the calling thread. Cheap: a system call of well below a microsecond, made before and
//! after each slice of work.
//!
//! Linux and macOS count in nanoseconds. Windows charges a whole clock tick (about 16 ms) to the thread that runs at its
//! end, so a single slice of some milliseconds may show nothing or a whole tick; sums over many slices are right.

#[cfg(windows)]
pub(crate) use system::filetime_span;

use std::time::Duration;

/// CPU time of all threads of this process since it started.
pub fn process_cpu_time() -> Duration {
    system::process()
}

/// CPU time of the calling thread since it started.
pub fn thread_cpu_time() -> Duration {
    system::thread()
}

#[cfg(unix)]
mod system {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    use std::time::Duration;

    pub(super) fn process() -> Duration {
        duration(clock_gettime(ClockId::ProcessCPUTime))
    }

    pub(super) fn thread() -> Duration {
        duration(clock_gettime(ClockId::ThreadCPUTime))
    }

    fn duration(time: Timespec) -> Duration {
        // CPU clocks start at zero, so neither part is negative.
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

#[cfg(windows)]
mod system {
    use std::time::Duration;
    use windows_sys::Win32::{
        Foundation::FILETIME,
        System::Threading::{GetCurrentProcess, GetCurrentThread, GetProcessTimes, GetThreadTimes},
    };

    pub(super) fn process() -> Duration {
        let mut times = [FILETIME::default(); 4];
        let [created, exited, kernel, user] = &mut times;
        #[expect(unsafe_code, reason = "std has no CPU time; the handle is a constant, and the four places are ours")]
        let known = unsafe { GetProcessTimes(GetCurrentProcess(), created, exited, kernel, user) } != 0;
        sum(known, times)
    }

    pub(super) fn thread() -> Duration {
        let mut times = [FILETIME::default(); 4];
        let [created, exited, kernel, user] = &mut times;
        #[expect(unsafe_code, reason = "std has no CPU time; the handle is a constant, and the four places are ours")]
        let known = unsafe { GetThreadTimes(GetCurrentThread(), created, exited, kernel, user) } != 0;
        sum(known, times)
    }

    /// Kernel and user time. The calls cannot fail for a process or thread that asks about itself.
    fn sum(known: bool, [_, _, kernel, user]: [FILETIME; 4]) -> Duration {
        if known { filetime_span(kernel) + filetime_span(user) } else { Duration::ZERO }
    }

    /// A span of time, which Windows counts in 100 ns.
    pub(crate) fn filetime_span(time: FILETIME) -> Duration {
        Duration::from_nanos(((u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime)) * 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{hint::black_box, time::Instant};

    #[test]
    fn work_is_counted_for_the_thread_that_does_it() {
        let (process, thread, start) = (process_cpu_time(), thread_cpu_time(), Instant::now());
        while thread_cpu_time() - thread < Duration::from_millis(40) {
            black_box((0..10_000_u64).map(black_box).sum::<u64>());
            assert!(start.elapsed() < Duration::from_secs(20), "40 ms of work did not come together in 20 s");
        }
        // A tick of tolerance for systems that count in ticks.
        assert!(process_cpu_time() - process + Duration::from_millis(16) >= Duration::from_millis(40));
        assert!(thread_cpu_time() - thread <= start.elapsed() + Duration::from_millis(16));
    }
}
