use crate::process_cpu_time;
use gogrid_limits::{Load, Signal};
use std::time::{Duration, Instant};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, System};

/// For people.
pub(crate) const SOURCE: &str = "the kernel's processor ticks";

/// The load of all cores, by sysinfo, over its own shortest interval or more.
pub(crate) struct CpuMeter {
    system: Result<System, String>,
    then: (Instant, Duration),
    load: Signal<Load>,
}

impl CpuMeter {
    pub(crate) fn new() -> Self {
        let mut system = System::new().map_err(|error| format!("CPU times cannot be read: {error}"));
        if let Ok(system) = &mut system {
            system.refresh_cpu_usage();
        }
        let reason = format!("CPU times were watched for less than {} ms", MINIMUM_CPU_UPDATE_INTERVAL.as_millis());
        Self { system, then: (Instant::now(), process_cpu_time()), load: Signal::Unknown(reason) }
    }

    /// The load over the last interval.
    pub(crate) fn load(&mut self) -> Signal<Load> {
        let system = match &mut self.system {
            Ok(system) => system,
            Err(reason) => return Signal::Unknown(reason.clone()),
        };
        let (at, own) = (Instant::now(), process_cpu_time());
        let elapsed = at - self.then.0;
        if elapsed >= MINIMUM_CPU_UPDATE_INTERVAL {
            system.refresh_cpu_usage();
            let capacity = elapsed.as_secs_f32() * system.cpus().len().max(1) as f32;
            let own_share = ((own - self.then.1).as_secs_f32() / capacity).min(1.0);
            let total = (system.global_cpu_usage() / 100.0).clamp(own_share, 1.0);
            self.load = Signal::Known(Load { total, own: own_share });
            self.then = (at, own);
        }
        self.load.clone()
    }
}
