use crate::{
    Source,
    cpu::{self, CpuMeter},
    desktop::Desktop,
    gpu::{GpuIndex, GpuMeter},
    memory::{self, MemoryMeter},
    power::{self, PowerMeter},
    programs::ProgramFinder,
    temperature::Thermometer,
};
use gogrid_limits::{Sample, Signal};
use std::time::Instant;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Watch {
    /// Names of programs to stop for; nobody looks for programs if it is empty.
    pub programs: Vec<String>,
    /// Whether to look at the GPU. Looking keeps a laptop's second GPU from sleeping, so only while it is lent.
    pub gpu: bool,
    /// The worker's own account of its GPU time since the look before, between 0 and 1. The driver does not always tell
    /// processes apart (in a container, on Windows, or one that has done nothing yet), and its figures lag: give it
    /// whenever the GPU is watched, also if it is zero.
    pub own_gpu_busy: Option<f32>,
}

/// Looks at the machine.
pub trait Probe: Send {
    /// One look. Takes well below a millisecond as a rule; some looks, seconds apart, take a few.
    fn sample(&mut self, watch: &Watch) -> Sample;

    /// Where each signal comes from, as this machine is now. Looks at all of them, a GPU that was named included.
    fn sources(&mut self) -> Vec<Source>;
}

/// Looks at the machine that this process runs on.
///
/// CPU times and input are read at each look. What is dear to read (sensors, battery, the list of processes) has an
/// interval of its own; in between the last value holds.
pub struct SystemProbe {
    cpu: CpuMeter,
    memory: MemoryMeter,
    gpu: Option<GpuMeter>,
    thermometer: Thermometer,
    power: PowerMeter,
    desktop: Desktop,
    programs: ProgramFinder,
}

impl SystemProbe {
    /// A probe that also looks at this GPU, if it is told to watch it.
    pub fn new(device: Option<GpuIndex>) -> Self {
        Self {
            cpu: CpuMeter::new(),
            memory: MemoryMeter::new(),
            gpu: device.map(GpuMeter::new),
            thermometer: Thermometer::new(),
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
                None if watch.gpu => Some(Signal::unknown("no GPU was named to look at")),
                None => None,
            },
            cpu_celsius: self.thermometer.cpu(now),
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
    fn a_look_at_this_machine_is_sound() {
        let mut probe = SystemProbe::new(None);
        let (first, start) = (probe.sample(&Watch::default()), Instant::now());
        assert_eq!(first.gpu, None);
        assert_eq!(first.programs, Signal::Known(vec![]));
        let memory = first.memory.known().expect("every supported system tells its memory");
        assert!(memory.own > 0 && memory.own < memory.total && memory.available <= memory.total);
        // Works until there is a window to look back on.
        let load = loop {
            if let Some(load) = probe.sample(&Watch::default()).cpu.known() {
                break *load;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no load after 10 s of work");
        };
        assert!(load.own > 0.0 && load.own <= load.total && load.total <= 1.0, "{load:?}");
    }

    #[test]
    fn each_signal_tells_where_it_comes_from_or_why_it_cannot() {
        let mut probe = SystemProbe::new(None);
        let sources = probe.sources();
        let signals: Vec<_> = sources.iter().map(|source| source.signal).collect();
        assert_eq!(signals, ["user_idle", "full_screen", "power", "temperature", "cpu", "memory", "gpu"]);
        // What is told of a source is what a look shows.
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
