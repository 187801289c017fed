use super::LeverReport;
use std::io;

/// The lowest priority among programs of the same class.
const LOWEST: i32 = 19;

pub(super) fn background_thread(report: &mut LeverReport) {
    // Not QOS_CLASS_BACKGROUND: it delays timers by some 100 ms, which the pacer's sleeps cannot bear, and keeps the
    // thread from the fast cores even when they are idle. UTILITY gives way to everything that the user waits for.
    report.add("QoS class", "utility", utility());
}

pub(super) fn background_process(report: &mut LeverReport) {
    report.add("nice", LOWEST.to_string(), rustix::process::setpriority_process(None, LOWEST));
}

fn utility() -> io::Result<()> {
    #[expect(unsafe_code, reason = "no library has this call; two numbers, about the calling thread only")]
    let result = unsafe { libc::pthread_set_qos_class_self_np(libc::qos_class_t::QOS_CLASS_UTILITY, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}
