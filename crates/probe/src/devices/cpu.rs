use super::{FoundDevice, gib};
use crate::{logical_cores, memory::MemoryMeter, physical_cores};
use std::{env, time::Instant};
use sysinfo::{CpuRefreshKind, System};

pub(super) fn found() -> FoundDevice {
    let memory = MemoryMeter::new().read(Instant::now());
    let memory = memory.known().map(|memory| gib(memory.total) + " of memory");
    let detail = [Some(cores(physical_cores(), logical_cores())), memory].into_iter().flatten().collect::<Vec<_>>();
    FoundDevice { device: Some("cpu".into()), name: name(), detail: detail.join(", "), why_not: None }
}

/// Its maker's name for it. Many ARM processors report none.
fn name() -> String {
    let told = System::new().ok().and_then(|mut system| {
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        Some(system.cpus().first()?.brand().trim().to_owned())
    });
    told.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("Processor ({})", env::consts::ARCH))
}

/// Threads are those that this process may use: a container may have been given fewer.
fn cores(cores: usize, threads: usize) -> String {
    let plural = if cores == 1 { "" } else { "s" };
    if cores == threads { format!("{cores} core{plural}") } else { format!("{cores} core{plural}, {threads} threads") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_told_with_their_threads() {
        assert_eq!(cores(1, 1), "1 core");
        assert_eq!(cores(8, 8), "8 cores");
        assert_eq!(cores(8, 16), "8 cores, 16 threads");
    }

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        let found = found();
        assert!(found.detail.contains("core") && found.detail.ends_with("GiB of memory"), "{found:?}");
    }
}
