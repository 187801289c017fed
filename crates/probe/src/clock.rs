use std::time::Duration;

/// Time since some fixed instant; it never goes back, and time asleep is part of it.
#[cfg(unix)]
pub fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    // Elsewhere this clock goes on while the machine sleeps.
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time since some fixed instant; it never goes back, and time asleep is part of it.
#[cfg(not(unix))]
pub fn since_boot() -> Duration {
    use std::{sync::OnceLock, time::Instant};
    // Windows' performance counter goes on while the machine sleeps.
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_go_back() {
        let first = since_boot();
        assert!(since_boot() >= first);
    }
}
