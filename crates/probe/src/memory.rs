use crate::periodic::Periodic;
use gogrid_limits::{Memory, Signal};
use std::time::{Duration, Instant};
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Filling memory takes a program seconds; one sample costs some 50 µs.
const INTERVAL: Duration = Duration::from_millis(500);

/// For people.
pub(crate) const SOURCE: &str = if cfg!(target_os = "linux") {
    "/proc/meminfo, and the control group's limits in a container"
} else {
    "the system's memory counters"
};

/// Main memory, by sysinfo; within the limits of a container if we are in one.
pub(crate) struct MemoryMeter {
    system: Result<(System, Pid), String>,
    memory: Periodic<Signal<Memory>>,
}

impl MemoryMeter {
    pub(crate) fn new() -> Self {
        let system = System::new().and_then(|system| Ok((system, sysinfo::get_current_pid()?)));
        Self {
            system: system.map_err(|error| format!("memory cannot be read: {error}")),
            memory: Periodic::new(INTERVAL),
        }
    }

    pub(crate) fn read(&mut self, now: Instant) -> Signal<Memory> {
        self.memory.get(now, || match &mut self.system {
            Ok((system, own)) => sample(system, *own),
            Err(reason) => Signal::Unknown(reason.clone()),
        })
    }
}

fn sample(system: &mut System, own: Pid) -> Signal<Memory> {
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, kind);
    let (mut total, mut available) = (system.total_memory(), system.available_memory());
    if let Some(container) = system.cgroup_limits() {
        total = total.min(container.total_memory);
        // Not what is free: the container's page cache can be given up.
        available = available.min(container.total_memory.saturating_sub(container.rss));
    }
    match system.process(own).map(sysinfo::Process::memory) {
        Some(own) if total > 0 => Signal::Known(Memory { total, available, own, pressure: pressure() }),
        _ => Signal::unknown("the system does not report its memory"),
    }
}

#[cfg(target_os = "linux")]
fn pressure() -> Signal<f32> {
    const FILE: &str = "/proc/pressure/memory";
    match std::fs::read_to_string(FILE) {
        Ok(text) => {
            some_avg10(&text).map_or_else(|| Signal::unknown(format!("{FILE} has an unknown form")), Signal::Known)
        }
        Err(error) => Signal::unknown(format!("the kernel does not report memory pressure ({FILE}: {error})")),
    }
}

#[cfg(not(target_os = "linux"))]
fn pressure() -> Signal<f32> {
    Signal::unknown("only Linux reports memory pressure")
}

/// Of `some avg10=1.25 avg60=…`, the first number as a part.
#[cfg(target_os = "linux")]
fn some_avg10(text: &str) -> Option<f32> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f32 = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()?;
    Some((percent / 100.0).clamp(0.0, 1.0))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_part_of_time_in_which_some_waited() {
        let text =
            "some avg10=12.50 avg60=3.00 avg300=0.00 total=96326\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=66495\n";
        assert_eq!(some_avg10(text), Some(0.125));
        assert_eq!(some_avg10("full avg10=1.00"), None);
        assert_eq!(some_avg10("some avg10=many"), None);
    }

    #[test]
    fn a_large_allocation_shows() {
        let own = |meter: &mut MemoryMeter| {
            meter.memory.invalidate();
            meter.read(Instant::now()).known().unwrap().own
        };
        let mut meter = MemoryMeter::new();
        let before = own(&mut meter);
        let block = vec![1_u8; 64 << 20];
        let after = own(&mut meter);
        assert!(after >= before + (48 << 20), "{before} bytes before, {after} after");
        drop(block);
    }
}
