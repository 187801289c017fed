use super::LeverReport;
use std::{ffi::c_void, io};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThread, IDLE_PRIORITY_CLASS, PROCESS_POWER_THROTTLING_CURRENT_VERSION,
    PROCESS_POWER_THROTTLING_EXECUTION_SPEED, PROCESS_POWER_THROTTLING_STATE, ProcessPowerThrottling, SetPriorityClass,
    SetProcessInformation, SetThreadInformation, SetThreadPriority, THREAD_MODE_BACKGROUND_BEGIN,
    THREAD_POWER_THROTTLING_CURRENT_VERSION, THREAD_POWER_THROTTLING_EXECUTION_SPEED, THREAD_POWER_THROTTLING_STATE,
    ThreadPowerThrottling,
};

pub(super) fn background_thread(report: &mut LeverReport) {
    // Of the thread, not of the process: the process' mode would also squeeze its memory to 32 MiB.
    report.add("thread mode", "background", background_mode());
    report.add("thread power throttling", "EcoQoS", economical_thread());
}

pub(super) fn background_process(report: &mut LeverReport) {
    report.add("priority class", "idle", idle_class());
    report.add("process power throttling", "EcoQoS", economical_process());
}

fn background_mode() -> io::Result<()> {
    #[expect(unsafe_code, reason = "std has no priorities; the handle is a constant that means the calling thread")]
    done(unsafe { SetThreadPriority(GetCurrentThread(), THREAD_MODE_BACKGROUND_BEGIN) })
}

fn idle_class() -> io::Result<()> {
    #[expect(unsafe_code, reason = "std has no priorities; the handle is a constant that means this process")]
    done(unsafe { SetPriorityClass(GetCurrentProcess(), IDLE_PRIORITY_CLASS) })
}

fn economical_thread() -> io::Result<()> {
    let state = THREAD_POWER_THROTTLING_STATE {
        Version: THREAD_POWER_THROTTLING_CURRENT_VERSION,
        ControlMask: THREAD_POWER_THROTTLING_EXECUTION_SPEED,
        StateMask: THREAD_POWER_THROTTLING_EXECUTION_SPEED,
    };
    let (place, size) = place(&state);
    #[expect(unsafe_code, reason = "std has no such setting; it reads a struct of the type and size that it is told")]
    done(unsafe { SetThreadInformation(GetCurrentThread(), ThreadPowerThrottling, place, size) })
}

fn economical_process() -> io::Result<()> {
    let state = PROCESS_POWER_THROTTLING_STATE {
        Version: PROCESS_POWER_THROTTLING_CURRENT_VERSION,
        ControlMask: PROCESS_POWER_THROTTLING_EXECUTION_SPEED,
        StateMask: PROCESS_POWER_THROTTLING_EXECUTION_SPEED,
    };
    let (place, size) = place(&state);
    #[expect(unsafe_code, reason = "std has no such setting; it reads a struct of the type and size that it is told")]
    done(unsafe { SetProcessInformation(GetCurrentProcess(), ProcessPowerThrottling, place, size) })
}

fn place<T>(state: &T) -> (*const c_void, u32) {
    (std::ptr::from_ref(state).cast(), size_of::<T>() as u32)
}

fn done(result: i32) -> io::Result<()> {
    if result != 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
