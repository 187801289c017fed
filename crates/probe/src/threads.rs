//! How many threads compute.

use crate::{Lever, LeverReport, Outcome};
use std::{env, thread};
use sysinfo::System;

/// Physical cores of the machine; its logical cores if that is unknown.
pub fn physical_cores() -> usize {
    System::physical_core_count().unwrap_or_else(|_| logical_cores()).max(1)
}

/// Threads that can run at the same time, within the quota and affinity that this process was given.
pub fn logical_cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Sets the number of threads that the kernels compute on (if it is given), how often their pool looks for work before a
/// thread sleeps, and that CUDA counts GPUs as the driver does. What the user has set stays.
///
/// Call it first in `main`, before any thread exists: the variables are read once, when the pools are built, and a
/// process that has threads must not change its environment. If there are threads already, nothing is set, and the report
/// says so.
pub fn prepare_compute_threads(threads: Option<usize>, spin_limit: u32) -> LeverReport {
    let threads = threads.map(|threads| threads.max(1).to_string());
    let variables = [
        ("CANDLE_NUM_THREADS", threads.clone()),
        ("RAYON_NUM_THREADS", threads),
        ("CANDLE_BARRIER_POOL_SPIN_LIMIT", Some(spin_limit.to_string())),
        ("CUDA_DEVICE_ORDER", Some("PCI_BUS_ID".into())),
    ];
    let alone = ensure_single_threaded();
    let lever = |(name, value): (&'static str, Option<String>)| {
        let outcome = match (env::var_os(name), &alone) {
            (Some(users), _) => Outcome::Set(format!("{} (set by the user)", users.to_string_lossy())),
            (None, Err(reason)) => Outcome::NotSet(reason.clone()),
            (None, Ok(())) => set(name, value?),
        };
        Some(Lever { name, outcome })
    };
    LeverReport { levers: variables.into_iter().filter_map(lever).collect() }
}

/// Sets a variable. Only for a process that has no other thread.
pub(crate) fn set(name: &str, value: String) -> Outcome {
    #[expect(
        unsafe_code,
        reason = "libraries take these settings from the environment only; sound, as `ensure_single_threaded` has seen that no other \
                  thread exists that could read the environment meanwhile (on Windows it is always sound)"
    )]
    unsafe {
        env::set_var(name, &value);
    };
    Outcome::Set(value)
}

/// Whether the calling thread is the process' only one.
#[cfg(target_os = "linux")]
pub(crate) fn ensure_single_threaded() -> Result<(), String> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(threads) => Err(format!("the process has {threads} threads already")),
        Err(error) => Err(format!("the process' threads cannot be counted: {error}")),
    }
}

#[cfg(target_os = "macos")]
fn ensure_single_threaded() -> Result<(), String> {
    let size = size_of::<libc::proc_taskinfo>() as libc::c_int;
    #[expect(unsafe_code, reason = "a struct of plain numbers, of which all zeros is a value")]
    let mut info: libc::proc_taskinfo = unsafe { std::mem::zeroed() };
    let process = rustix::process::getpid().as_raw_pid();
    #[expect(unsafe_code, reason = "no safe function counts threads; the place is ours and its size is passed")]
    let written = unsafe { libc::proc_pidinfo(process, libc::PROC_PIDTASKINFO, 0, (&raw mut info).cast(), size) };
    match info.pti_threadnum {
        1 if written == size => Ok(()),
        threads if written == size => Err(format!("the process has {threads} threads already")),
        _ => Err(format!("the process' threads cannot be counted: {}", std::io::Error::last_os_error())),
    }
}

#[cfg(windows)]
fn ensure_single_threaded() -> Result<(), String> {
    // Windows guards the environment itself.
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use crate::unsupported::ensure_single_threaded;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted() {
        assert!(logical_cores() >= 1 && physical_cores() >= 1);
    }

    // Tests run on threads, so here nothing can be set; `tests/environment.rs` has a process of its own.
    #[cfg(not(windows))]
    #[test]
    fn a_process_with_threads_keeps_its_environment() {
        let report = prepare_compute_threads(Some(3), 7);
        assert!(report.levers.iter().all(|lever| matches!(lever.outcome, Outcome::NotSet(_))), "{report}");
        assert!(env::var_os("CANDLE_NUM_THREADS").is_none());
    }
}
