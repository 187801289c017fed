use crate::{Probe, Source, Watch};
use gogrid_limits::{Gpu, Load, Memory, Power, Sample, Signal, SignalKind};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// An idle machine: no user, nothing running, 8 GiB of memory, on the mains.
pub fn calm_sample() -> Sample {
    const GIB: u64 = 1 << 30;
    Sample {
        cpu: Signal::Known(Load { total: 0.0, own: 0.0 }),
        memory: Signal::Known(Memory {
            total: 8 * GIB,
            available: 6 * GIB,
            own: GIB / 4,
            pressure: Signal::Known(0.0),
        }),
        gpu: None,
        cpu_celsius: Signal::Known(40.0),
        cpu_watts: Signal::unknown("this machine has no meter"),
        power: Signal::Known(Power::Mains),
        user_idle: Signal::Known(Duration::from_secs(3600)),
        full_screen: Signal::Known(false),
        programs: Signal::Known(vec![]),
    }
}

/// A probe for tests: returns the sample that its [`FakeMachine`] holds.
#[derive(Debug)]
pub struct FakeProbe {
    machine: FakeMachine,
}

/// The handle with which a test sets the samples of a [`FakeProbe`].
#[derive(Debug, Clone)]
pub struct FakeMachine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    sample: Sample,
    samples_taken: u64,
    watch: Option<Watch>,
}

impl FakeProbe {
    /// A probe that returns this sample until its machine is changed.
    pub fn new(sample: Sample) -> (Self, FakeMachine) {
        let machine = FakeMachine { state: Arc::new(Mutex::new(State { sample, samples_taken: 0, watch: None })) };
        (Self { machine: machine.clone() }, machine)
    }
}

impl Probe for FakeProbe {
    fn sample(&mut self, watch: &Watch) -> Sample {
        self.machine.with(|state| {
            state.samples_taken += 1;
            state.watch = Some(watch.clone());
            state.sample.clone()
        })
    }

    /// Every signal comes from the test.
    fn sources(&mut self) -> Vec<Source> {
        const FROM: &str = "a test";
        let sample = self.machine.with(|state| state.sample.clone());
        vec![
            Source::of("user_idle", sample.user_idle, FROM),
            Source::of("full_screen", sample.full_screen, FROM),
            Source::of("power", sample.power, FROM),
            Source::of("temperature", sample.cpu_celsius, FROM),
            Source::of("cpu", sample.cpu, FROM),
            Source::of("memory", sample.memory, FROM),
            Source::of("gpu", sample.gpu.unwrap_or_else(|| Signal::unknown("no GPU is lent")), FROM),
        ]
    }
}

impl FakeMachine {
    /// Returns this sample from now on.
    pub fn show(&self, sample: Sample) {
        self.with(|state| state.sample = sample);
    }

    /// Changes a part of the sample.
    pub fn change(&self, change: impl FnOnce(&mut Sample)) {
        self.with(|state| change(&mut state.sample));
    }

    /// Takes a signal away, as on a machine that does not have it.
    pub fn hide(&self, signal: SignalKind, why: &str) {
        self.change(|sample| match signal {
            SignalKind::UserIdle => sample.user_idle = Signal::absent(why),
            SignalKind::CpuLoad => sample.cpu = Signal::absent(why),
            SignalKind::GpuLoad => change_gpu(sample, |gpu| gpu.load = Signal::absent(why)),
            SignalKind::Temperature => {
                sample.cpu_celsius = Signal::absent(why);
                change_gpu(sample, |gpu| gpu.celsius = Signal::absent(why));
            }
            SignalKind::Power => sample.power = Signal::absent(why),
            SignalKind::FullScreen => sample.full_screen = Signal::absent(why),
            SignalKind::Programs => sample.programs = Signal::absent(why),
        });
    }

    /// How many samples were taken. After two more, a change has been seen.
    pub fn samples_taken(&self) -> u64 {
        self.with(|state| state.samples_taken)
    }

    /// The watch of the last sample.
    pub fn last_watch(&self) -> Option<Watch> {
        self.with(|state| state.watch.clone())
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn change_gpu(sample: &mut Sample, change: impl FnOnce(&mut Gpu)) {
    if let Some(Signal::Known(gpu)) = &mut sample.gpu {
        change(gpu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_hides_has_no_source() {
        let (mut probe, machine) = FakeProbe::new(calm_sample());
        machine.hide(SignalKind::Power, "no battery answers");
        let source = |probe: &mut FakeProbe, signal| {
            probe.sources().into_iter().find(|source| source.signal == signal).map(|source| source.from)
        };
        assert_eq!(source(&mut probe, "power"), Some(Err("no battery answers".into())));
        assert_eq!(source(&mut probe, "user_idle"), Some(Ok("a test".into())));
    }

    #[test]
    fn the_probe_returns_the_sample_of_its_machine() {
        let (mut probe, machine) = FakeProbe::new(calm_sample());
        let watch = Watch { programs: vec!["game".into()], ..Watch::default() };
        assert_eq!(probe.sample(&watch), calm_sample());
        machine.change(|sample| sample.power = Signal::Known(Power::Battery { charge: 0.5 }));
        assert_eq!(probe.sample(&watch).power, Signal::Known(Power::Battery { charge: 0.5 }));
        assert_eq!((machine.samples_taken(), machine.last_watch()), (2, Some(watch)));
    }
}
