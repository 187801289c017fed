//! Governors that are broken in one way each. Every one must be caught by some scenario, and every scenario must
//! catch some of them: a band that nothing misses says nothing.

use crate::world::Keeper;
use gogrid_limits::{
    Allowance, Governor, Gpu, Limits, Load, Machine, Memory, Now, Power, Reason, Sample, Share, Signal,
};
use std::{collections::VecDeque, time::Duration};

const GIB: u64 = 1 << 30;

/// The ways.
pub(crate) fn all(limits: &Limits, machine: Machine) -> Vec<(&'static str, Box<dyn Keeper>)> {
    let governor = || Governor::new(limits.clone(), machine);
    let always = |allowance: fn(&Limits, &mut Allowance)| -> Box<dyn Keeper> {
        Box::new(Always { governor: governor(), allowance })
    };
    let fooled = |fool: fn(&mut Sample)| -> Box<dyn Keeper> { Box::new(Fooled { governor: governor(), fool }) };
    vec![
        (
            "gives all that is lent",
            always(|limits, a| (a.cpu, a.gpu, a.reason) = (limits.cpu, limits.gpu, Reason::Free)),
        ),
        ("gives nothing", always(|_, a| (a.cpu, a.gpu, a.memory, a.gpu_memory) = (Share::ZERO, Share::ZERO, 0, 0))),
        (
            "never goes above the floor",
            always(|limits, a| {
                (a.cpu, a.gpu) = (a.cpu.min(limits.cpu_in_use), a.gpu.min(limits.gpu_in_use));
            }),
        ),
        (
            "goes up at once",
            always(|limits, a| {
                if matches!(a.reason, Reason::Settling | Reason::Climbing) {
                    (a.cpu, a.gpu) = (limits.cpu, limits.gpu);
                }
            }),
        ),
        (
            "climbs without waiting for calm",
            always(|limits, a| {
                if a.reason == Reason::Settling {
                    (a.cpu, a.gpu) = (limits.cpu, limits.gpu);
                }
            }),
        ),
        (
            "works on while nothing is left",
            always(|_, a| {
                a.cpu = a.cpu.max(Share::from_percent(5));
            }),
        ),
        ("answers a second late", Box::new(Late { governor: governor(), queue: VecDeque::new() })),
        ("does not hear the donor", Box::new(Deaf(governor()))),
        ("takes the wall clock for the monotonic one", Box::new(WallClock { governor: governor(), first: None })),
        ("does not count time asleep", Box::new(Sleepless { governor: governor(), last: None, awake: Duration::ZERO })),
        ("does not see input", fooled(|s| replace(&mut s.user_idle, Duration::from_secs(3600)))),
        ("does not see CPU load", fooled(|s| replace(&mut s.cpu, Load { total: 0.0, own: 0.0 }))),
        ("takes its own CPU load for others'", fooled(|s| change(&mut s.cpu, |load| load.own = 0.0))),
        ("does not see GPU load", fooled(|s| gpu(s, |gpu| replace(&mut gpu.load, Load { total: 0.0, own: 0.0 })))),
        ("takes its own GPU load for others'", fooled(|s| gpu(s, |gpu| change(&mut gpu.load, |load| load.own = 0.0)))),
        (
            "does not see others' GPU memory",
            fooled(|s| {
                gpu(s, |gpu| (gpu.memory_used, gpu.memory_own) = (0, Signal::Known(0)));
            }),
        ),
        ("does not see heat", fooled(|s| replace(&mut s.cpu_celsius, 40.0))),
        ("does not see the battery", fooled(|s| replace(&mut s.power, Power::Mains))),
        ("takes every supply for a battery", fooled(|s| replace(&mut s.power, Power::Battery { charge: 1.0 }))),
        ("does not see a full screen", fooled(|s| replace(&mut s.full_screen, false))),
        ("does not see programs", fooled(|s| replace(&mut s.programs, vec![]))),
        ("takes memory for free", fooled(|s| change(&mut s.memory, |memory| memory.available = 1024 * GIB))),
        ("does not see memory pressure", fooled(|s| change(&mut s.memory, |m| m.pressure = Signal::Known(0.0)))),
        ("takes the unknown for calm", fooled(trust)),
        ("takes what a machine lacks for its user", fooled(miss)),
    ]
}

/// Changes what the governor says.
struct Always {
    governor: Governor,
    allowance: fn(&Limits, &mut Allowance),
}

impl Keeper for Always {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        let mut allowance = self.governor.update(sample, now).clone();
        (self.allowance)(self.governor.limits(), &mut allowance);
        allowance
    }
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance {
        let mut allowance = self.governor.set_limits(limits, now).clone();
        (self.allowance)(self.governor.limits(), &mut allowance);
        allowance
    }
}

/// Changes what the governor sees.
struct Fooled {
    governor: Governor,
    fool: fn(&mut Sample),
}

impl Keeper for Fooled {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        let mut sample = sample.clone();
        (self.fool)(&mut sample);
        self.governor.update(&sample, now).clone()
    }
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance {
        self.governor.set_limits(limits, now).clone()
    }
}

struct Late {
    governor: Governor,
    queue: VecDeque<(Duration, Allowance)>,
}

impl Keeper for Late {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        self.queue.push_back((now.monotonic, self.governor.update(sample, now).clone()));
        while self.queue.len() > 1 && now.monotonic - self.queue[0].0 > Duration::from_secs(1) {
            self.queue.pop_front();
        }
        self.queue[0].1.clone()
    }
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance {
        self.governor.set_limits(limits, now).clone()
    }
}

struct Deaf(Governor);

impl Keeper for Deaf {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        self.0.update(sample, now).clone()
    }
    fn set_limits(&mut self, _: Limits, _: Now) -> Allowance {
        self.0.allowance().clone()
    }
}

struct WallClock {
    governor: Governor,
    first: Option<jiff::Timestamp>,
}

impl WallClock {
    fn now(&mut self, now: Now) -> Now {
        let first = *self.first.get_or_insert(now.timestamp);
        // A day to begin with, so that it may be set back.
        let monotonic = jiff::SignedDuration::from_hours(24) + now.timestamp.duration_since(first);
        Now { monotonic: monotonic.unsigned_abs(), ..now }
    }
}

impl Keeper for WallClock {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        let now = self.now(now);
        self.governor.update(sample, now).clone()
    }
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance {
        let now = self.now(now);
        self.governor.set_limits(limits, now).clone()
    }
}

struct Sleepless {
    governor: Governor,
    last: Option<Duration>,
    awake: Duration,
}

impl Keeper for Sleepless {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        let span = now.monotonic - self.last.replace(now.monotonic).unwrap_or(now.monotonic);
        self.awake += span.min(Duration::from_secs(1));
        self.governor.update(sample, Now { monotonic: self.awake, ..now }).clone()
    }
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance {
        self.governor.set_limits(limits, Now { monotonic: self.awake, ..now }).clone()
    }
}

fn change<T>(signal: &mut Signal<T>, change: impl FnOnce(&mut T)) {
    if let Signal::Known(value) = signal {
        change(value);
    }
}

fn replace<T>(signal: &mut Signal<T>, by: T) {
    change(signal, |value| *value = by);
}

fn gpu(sample: &mut Sample, fool: impl FnOnce(&mut Gpu)) {
    if let Some(gpu) = &mut sample.gpu {
        change(gpu, fool);
    }
}

fn miss(sample: &mut Sample) {
    fn fail<T>(signal: &mut Signal<T>) {
        if let Some(why) = signal.why_absent() {
            *signal = Signal::unknown(why);
        }
    }
    fail(&mut sample.cpu_celsius);
    fail(&mut sample.power);
    fail(&mut sample.user_idle);
    fail(&mut sample.full_screen);
    gpu(sample, |gpu| {
        fail(&mut gpu.load);
        fail(&mut gpu.celsius);
    });
}

fn trust(sample: &mut Sample) {
    fn calm<T>(signal: &mut Signal<T>, value: T) {
        if signal.known().is_none() {
            *signal = Signal::Known(value);
        }
    }
    let nothing = Load { total: 0.0, own: 0.0 };
    calm(&mut sample.cpu, nothing);
    let (total, available) = (16 * GIB, 12 * GIB);
    calm(&mut sample.memory, Memory { total, available, own: 0, pressure: Signal::Known(0.0) });
    calm(&mut sample.cpu_celsius, 40.0);
    calm(&mut sample.power, Power::Mains);
    calm(&mut sample.user_idle, Duration::from_secs(3600));
    calm(&mut sample.full_screen, false);
    calm(&mut sample.programs, vec![]);
    if sample.gpu.as_ref().is_some_and(|gpu| gpu.known().is_none()) {
        sample.gpu = None;
    }
    gpu(sample, |gpu| {
        calm(&mut gpu.load, nothing);
        calm(&mut gpu.celsius, 40.0);
        calm(&mut gpu.memory_own, gpu.memory_used);
    });
}
