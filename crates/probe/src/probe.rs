use crate::{
    Source,
    cpu::{self, CpuMeter},
    desktop::Desktop,
    energy::EnergyMeter,
    gpu::{GpuIndex, GpuMeter},
    memory::{self, MemoryMeter},
    power::{self, PowerMeter},
    programs::ProgramFinder,
    temperature::Thermometer,
};
use gogrid_limits::{Sample, Signal};
use std::time::Instant;

/// What a sample should cover.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Watch {
    /// Names of programs to stop for. If empty, processes are not listed.
    pub programs: Vec<String>,
    /// Whether to read the GPU. Reading keeps a laptop's second GPU awake, so only while it is lent.
    pub gpu: bool,
    /// The worker's own account of its GPU time since the sample before, between 0 and 1. The driver does not always tell
    /// processes apart (in a container, on Windows, or a process that has done nothing yet), and its figures lag: set this
    /// whenever the GPU is read, even to zero.
    pub own_gpu_busy: Option<f32>,
}

/// Takes samples of the machine.
pub trait Probe: Send {
    /// One sample. Usually takes well below a millisecond; some samples, seconds apart, take a few.
    fn sample(&mut self, watch: &Watch) -> Sample;

    /// Where each signal comes from on this machine at the moment. Reads all of them, including the GPU if there is one.
    fn sources(&mut self) -> Vec<Source>;
}

/// Takes samples of the machine that this process runs on.
///
/// CPU times and input are read in each sample. Expensive signals (sensors, battery, the list of processes) have intervals
/// of their own; in between, the last value is used.
pub struct SystemProbe {
    cpu: CpuMeter,
    memory: MemoryMeter,
    gpu: Option<GpuMeter>,
    thermometer: Thermometer,
    energy: EnergyMeter,
    power: PowerMeter,
    desktop: Desktop,
    programs: ProgramFinder,
}

impl SystemProbe {
    /// A probe that can also read this GPU.
    pub fn new(device: Option<GpuIndex>) -> Self {
        Self {
            cpu: CpuMeter::new(),
            memory: MemoryMeter::new(),
            gpu: device.map(GpuMeter::new),
            thermometer: Thermometer::new(),
            energy: EnergyMeter::new(),
            power: PowerMeter::new(),
            desktop: Desktop::new(),
            programs: ProgramFinder::new(),
        }
    }
}

impl Probe for SystemProbe {
    fn sample(&mut self, watch: &Watch) -> Sample {
        let now = Instant::now();
        Sample {
            cpu: self.cpu.load(),
            memory: self.memory.read(now),
            gpu: match &mut self.gpu {
                Some(gpu) if watch.gpu => Some(gpu.read(now, watch.own_gpu_busy)),
                Some(gpu) => {
                    gpu.release();
                    None
                }
                None if watch.gpu => Some(Signal::unknown("no GPU was chosen")),
                None => None,
            },
            cpu_celsius: self.thermometer.cpu(now),
            cpu_watts: self.energy.watts(now),
            power: self.power.read(now),
            user_idle: self.desktop.user_idle(now),
            full_screen: self.desktop.full_screen(now),
            programs: self.programs.running(now, &watch.programs),
        }
    }

    fn sources(&mut self) -> Vec<Source> {
        let now = Instant::now();
        let gpu = match &mut self.gpu {
            Some(gpu) => gpu.source(now),
            None => Err("no GPU is lent".into()),
        };
        vec![
            Source { signal: "user_idle", from: self.desktop.user_idle_source(now) },
            Source { signal: "full_screen", from: self.desktop.full_screen_source(now) },
            Source::of("power", self.power.read(now), power::SOURCE),
            Source { signal: "temperature", from: self.thermometer.source(now) },
            Source::of("cpu", self.cpu.load(), cpu::SOURCE),
            Source::of("memory", self.memory.read(now), memory::SOURCE),
            Source { signal: "gpu", from: gpu },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sample_of_this_machine_is_plausible() {
        let mut probe = SystemProbe::new(None);
        let (first, start) = (probe.sample(&Watch::default()), Instant::now());
        assert_eq!(first.gpu, None);
        assert_eq!(first.programs, Signal::Known(vec![]));
        let memory = first.memory.known().expect("every supported system reports its memory");
        assert!(memory.own > 0 && memory.own < memory.total && memory.available <= memory.total);
        // Keeps the CPU busy until the window is full.
        let load = loop {
            if let Some(load) = probe.sample(&Watch::default()).cpu.known() {
                break *load;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no load after 10 s of work");
        };
        assert!(load.own > 0.0 && load.own <= load.total && load.total <= 1.0, "{load:?}");
    }

    #[test]
    fn each_signal_has_a_source_or_a_reason() {
        let mut probe = SystemProbe::new(None);
        let sources = probe.sources();
        let signals: Vec<_> = sources.iter().map(|source| source.signal).collect();
        assert_eq!(signals, ["user_idle", "full_screen", "power", "temperature", "cpu", "memory", "gpu"]);
        // A source is known exactly if its signal is.
        let sample = probe.sample(&Watch::default());
        let known = [
            sample.user_idle.known().is_some(),
            sample.full_screen.known().is_some(),
            sample.power.known().is_some(),
            sample.cpu_celsius.known().is_some(),
        ];
        assert_eq!(known.as_slice(), sources[..4].iter().map(|source| source.from.is_ok()).collect::<Vec<_>>());
        assert!(sources[5].from.is_ok() && sources[6].from.is_err(), "{sources:?}");
        for source in sources {
            assert!(!source.from.unwrap_or_else(|why| why).is_empty(), "{}", source.signal);
        }
    }

    #[test]
    fn a_gpu_that_is_watched_but_not_named_is_unknown() {
        let watch = Watch { gpu: true, ..Watch::default() };
        assert!(matches!(SystemProbe::new(None).sample(&watch).gpu, Some(Signal::Unknown(_))));
    }
}
