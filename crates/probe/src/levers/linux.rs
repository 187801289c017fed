use super::LeverReport;
use rustix::{
    process::{getpid, setpriority_process},
    thread::set_current_timer_slack,
};
use std::{fs, io, num::NonZeroU64};

/// The lowest priority that is not yet "only when idle".
const LOWEST: i32 = 19;
/// `IOPRIO_WHO_PROCESS` of linux/ioprio.h: one thread.
const IOPRIO_WHO_THREAD: libc::c_int = 1;
/// `IOPRIO_CLASS_IDLE`, in the bits of the class: we get the disk when no other program has used it for a moment.
const IOPRIO_IDLE: libc::c_int = 3 << 13;
/// The kernel may delay the end of a sleep by 50 µs to save power. The pacer's sleeps are short and must be exact.
const TIMER_SLACK_NANOS: NonZeroU64 = NonZeroU64::MIN;
/// Of 1000: killed before anything that the user runs, if memory runs out.
const OOM_SCORE: &str = "900";

pub(super) fn background_thread(report: &mut LeverReport) {
    // SCHED_IDLE: a thread of anybody else runs at once in its place.
    match idle_policy() {
        Ok(()) => report.add("scheduler", "SCHED_IDLE", Ok::<_, io::Error>(())),
        Err(error) => {
            report.add("scheduler", "SCHED_IDLE", Err(error));
            // Without a process it means the calling thread.
            report.add("nice", LOWEST.to_string(), setpriority_process(None, LOWEST));
        }
    }
    report.add("ioprio", "idle", idle_disk());
    report.add("timer slack", "1 ns", set_current_timer_slack(Some(TIMER_SLACK_NANOS)));
}

pub(super) fn background_process(report: &mut LeverReport) {
    report.add("oom_score_adj", OOM_SCORE, fs::write("/proc/self/oom_score_adj", OOM_SCORE));
    report.add("autogroup", LOWEST.to_string(), lower_autogroup());
}

fn idle_policy() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    #[expect(
        unsafe_code,
        reason = "rustix has no scheduling policies, and the function of some C libraries only fails; 0 is the calling \
                  thread, and the parameter lives until the call returns"
    )]
    let result = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn idle_disk() -> io::Result<()> {
    #[expect(unsafe_code, reason = "no library has this call; three numbers, of which 0 is the calling thread")]
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, IOPRIO_IDLE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Many desktops share CPU time between sessions before priorities count. A worker in a session of its own would get as
/// much as all programs of another session together, so its session is lowered; but never one that it shares with others.
fn lower_autogroup() -> Result<(), String> {
    const FILE: &str = "/proc/self/autogroup";
    if session()? != getpid().as_raw_pid() {
        return Err("the session is shared with other programs".into());
    }
    fs::write(FILE, LOWEST.to_string()).map_err(|error| format!("{FILE}: {error}"))
}

/// The session of this process, by its leader's id: 0 where the leader is outside of this container.
fn session() -> Result<libc::pid_t, String> {
    #[expect(
        unsafe_code,
        reason = "rustix takes the 0 for impossible; a number goes in and comes out, 0 is this process"
    )]
    let session = unsafe { libc::getsid(0) };
    if session < 0 { Err(io::Error::last_os_error().to_string()) } else { Ok(session) }
}

#[cfg(test)]
mod tests {
    use crate::{Outcome, background_thread};
    use rustix::thread::current_timer_slack;
    use std::{fs, thread};

    /// The scheduling policy of the calling thread, the 41st field of its `stat`.
    fn policy() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        // After the name, which may have spaces, comes the third.
        stat.rsplit(") ").next().unwrap().split(' ').nth(41 - 3).unwrap().parse().unwrap()
    }

    #[test]
    fn a_background_thread_is_idle_class_and_exact_and_so_are_its_children() {
        assert_eq!(policy(), libc::SCHED_OTHER);
        let worker = thread::Builder::new().name("lowered".into()).spawn(|| {
            let report = background_thread();
            assert!(report.is_complete(), "{report}");
            let child =
                thread::Builder::new().name("child".into()).spawn(|| (policy(), current_timer_slack().unwrap()));
            ((policy(), current_timer_slack().unwrap()), child.unwrap().join().unwrap())
        });
        assert_eq!(worker.unwrap().join().unwrap(), ((libc::SCHED_IDLE, 1), (libc::SCHED_IDLE, 1)));
        assert_eq!(policy(), libc::SCHED_OTHER);
    }

    #[test]
    fn a_process_that_shares_its_session_leaves_it_alone() {
        let report = crate::background_process();
        let outcome = |name| report.levers.iter().find(|lever| lever.name == name).map(|lever| &lever.outcome);
        assert_eq!(outcome("oom_score_adj"), Some(&Outcome::Set("900".into())));
        assert_eq!(fs::read_to_string("/proc/self/oom_score_adj").unwrap(), "900\n");
        assert!(outcome("autogroup").is_some());
    }
}
