//! What the worker may take right now, from the donor's limits and a look at the machine. Pure: `now` is an argument.
//!
//! ```text
//! sample ─▶ observed ─▶ rules ─▶ target ─▶ climb ─▶ level ─┐
//!           (means,   (what each       (down at once,    ├─ min(cap, level), or nothing ─▶ Allowance
//!            heat)     leaves)          up by steps)     │   while paused or out of hours
//!                                              limits ───┘
//! ```
//!
//! * **Down at once, up slowly.** The first sample that speaks for somebody lowers the allowance. When nothing does
//!   any more, calm is waited for, longer each time that it breaks early; then the level rises step by step.
//! * **The donor's own changes hold at once,** up and down. Pause and schedule lie outside the climb: what the machine
//!   shows is followed meanwhile, so that a donor who resumes gets what is due now.
//! * **What cannot be read counts as somebody who is there,** for every rule that needs it and is on.
//! * **A long gap between samples** (the machine slept) is not calm: the level goes to the floor and climbs.
//!
//! The caller samples every 50 ms while it computes, so input is answered within the next 50 ms.

mod load;
mod memory_ramp;
mod observations;
mod pause;
mod ramp;
mod rules;
mod thermal;

use crate::{Allowance, Gpu, Limits, Memory, Reason, Sample, Share, Signal};
use jiff::{Timestamp, Zoned, civil};
use memory_ramp::MemoryRamp;
use observations::Observations;
use pause::PauseClock;
use ramp::{Levels, Ramp};
use rules::{Ceiling, Ceilings, Device, Devices};
use std::time::Duration;

/// Samples further apart than this say nothing about the time between: a worker with nothing to do looks every two
/// seconds, so a gap like this one is a machine that slept.
const GAP: Duration = Duration::from_secs(10);
/// Main memory left to other programs is this part of the whole …
const HEADROOM_PART: u64 = 8;
/// … and at most so many bytes: what a browser with some tabs takes without swapping.
const MAX_HEADROOM: u64 = 4 << 30;
/// GPU memory left to other programs is this part of the whole …
const GPU_HEADROOM_PART: u64 = 32;
/// … and at most so many bytes: a few windows of a 4K desktop.
const MAX_GPU_HEADROOM: u64 = 1 << 30;
/// Programs that wait for memory for a longer part of the time than this are slowed down visibly.
const MAX_PRESSURE: f32 = 0.1;
/// Pressure is a mean over 10 s: what was given back shows in it only after that, so it is not asked for again sooner.
const PRESSURE_INTERVAL: Duration = Duration::from_secs(10);
/// Figures in a reason (a load, a temperature) are not renewed more often: people cannot read faster.
const REASON_INTERVAL: Duration = Duration::from_secs(1);

/// The machine's totals, of which the limits are parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Logical cores.
    pub cores: u32,
    /// Main memory, in bytes.
    pub memory: u64,
    /// Memory of the GPU that is lent, in bytes; `None` where none is.
    pub gpu_memory: Option<u64>,
}

/// One instant, on every clock that a rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed instant, time asleep included.
    pub monotonic: Duration,
    /// Local time, for the schedule.
    pub local: civil::DateTime,
    /// Universal time, for the end of a pause.
    pub timestamp: Timestamp,
}

impl Now {
    /// The instant of a monotonic and of a wall clock.
    pub fn new(monotonic: Duration, wall: &Zoned) -> Self {
        Self { monotonic, local: wall.datetime(), timestamp: wall.timestamp() }
    }
}

/// The limits' keeper: from samples to allowances.
#[derive(Debug)]
pub struct Governor {
    limits: Limits,
    machine: Machine,
    observed: Observations,
    cpu: Ramp,
    gpu: Ramp,
    memory: MemoryRamp,
    gpu_memory: MemoryRamp,
    /// When memory was last given back for pressure.
    last_relief: Option<Duration>,
    pause: PauseClock,
    /// The last sample and its time.
    last: Option<(Sample, Duration)>,
    allowance: Allowance,
    /// When the reason was last renewed.
    reason_renewed: Duration,
}

impl Governor {
    /// Allows nothing before the first sample.
    pub fn new(limits: Limits, machine: Machine) -> Self {
        let nothing =
            Allowance { cpu: Share::ZERO, gpu: Share::ZERO, memory: 0, gpu_memory: 0, reason: Reason::Starting };
        Self {
            limits,
            machine,
            observed: Observations::new(),
            cpu: Ramp::new(Share::FULL, Duration::ZERO),
            gpu: Ramp::new(Share::FULL, Duration::ZERO),
            memory: MemoryRamp::new(machine.memory),
            gpu_memory: MemoryRamp::new(machine.gpu_memory.unwrap_or(0)),
            last_relief: None,
            pause: PauseClock::default(),
            last: None,
            allowance: nothing,
            reason_renewed: Duration::ZERO,
        }
    }

    /// What holds since the last sample or change of the limits.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// What the donor lends.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes the donor's change. It holds at once, up and down, as far as the last sample leaves it.
    pub fn set_limits(&mut self, limits: Limits, now: Now) -> &Allowance {
        let old = std::mem::replace(&mut self.limits, limits);
        if let Some((sample, _)) = &self.last {
            let before = self.devices_under(&old);
            let was = Ceilings::evaluate(sample, &self.observed, &old, before);
            if self.limits.max_celsius != old.max_celsius {
                self.observed.thermal_limiter.reset();
                self.observed.observe_temperature(sample, &self.limits);
            }
            let after = self.devices_under(&self.limits);
            let is = Ceilings::evaluate(sample, &self.observed, &self.limits, after);
            let (cpu_was, gpu_was) = before.while_user_is_present(&old);
            let (cpu_is, gpu_is) = after.while_user_is_present(&self.limits);
            let levels = |ceiling: &Ceiling, floor| Levels { target: ceiling.share, floor };
            self.cpu.apply_change(levels(&was.cpu, cpu_was), levels(&is.cpu, cpu_is));
            self.gpu.apply_change(levels(&was.gpu, gpu_was), levels(&is.gpu, gpu_is));
            self.notice_gap(now.monotonic);
            self.decide(now);
        }
        &self.allowance
    }

    /// Takes a look at the machine.
    pub fn update(&mut self, sample: &Sample, now: Now) -> &Allowance {
        let span = match self.notice_gap(now.monotonic) {
            Some(span) => span,
            None => {
                self.observed.reset_loads();
                GAP
            }
        };
        self.observed.observe(sample, self.machine.gpu_memory.is_some(), &self.limits, span);
        self.last = Some((sample.clone(), now.monotonic));
        self.decide(now);
        &self.allowance
    }

    fn devices_under(&self, limits: &Limits) -> Devices {
        Devices::new(limits, self.machine.gpu_memory.is_some())
    }

    /// The time since the last sample; `None` after a gap, which takes both devices to the floor.
    fn notice_gap(&mut self, now: Duration) -> Option<Duration> {
        // A monotonic clock that runs backwards is as good as a gap.
        let span = self.last.as_ref().and_then(|(_, last)| now.checked_sub(*last)).filter(|span| *span <= GAP);
        if span.is_none() {
            let (cpu, gpu) = self.devices_under(&self.limits).while_user_is_present(&self.limits);
            self.cpu.reset(cpu, now);
            self.gpu.reset(gpu, now);
        }
        span
    }

    fn decide(&mut self, now: Now) {
        let Some((sample, seen)) = self.last.take() else { return };
        let devices = self.devices_under(&self.limits);
        let ceilings = Ceilings::evaluate(&sample, &self.observed, &self.limits, devices);
        self.cpu.advance(ceilings.cpu.share, devices.cpu.cap, now.monotonic);
        self.gpu.advance(ceilings.gpu.share, devices.gpu.cap, now.monotonic);
        let mut causes = Causes::default();
        let cpu = causes.device(devices.cpu, &self.cpu, ceilings.cpu, now.monotonic);
        let gpu = causes.device(devices.gpu, &self.gpu, ceilings.gpu, now.monotonic);
        let memory = self.decide_memory(&sample, now.monotonic, &mut causes);
        let gpu_memory = self.decide_gpu_memory(&sample, now.monotonic, &mut causes);
        self.last = Some((sample, seen));
        let allowance = match self.stop_reason(&now) {
            Some(reason) => Allowance { cpu: Share::ZERO, gpu: Share::ZERO, memory, gpu_memory, reason },
            None => Allowance { cpu, gpu, memory, gpu_memory, reason: causes.reason },
        };
        self.publish(allowance, now.monotonic);
    }

    /// Why nothing at all is lent, whatever the machine shows.
    fn stop_reason(&mut self, now: &Now) -> Option<Reason> {
        if let Some(paused) = self.pause.check(self.limits.pause.as_ref(), now) {
            return Some(Reason::Paused { until: paused.until });
        }
        let out_of_hours = self.limits.when.keeps_hours() && !self.limits.schedule.contains(now.local);
        out_of_hours.then_some(Reason::OutsideSchedule)
    }

    fn decide_memory(&mut self, sample: &Sample, now: Duration, causes: &mut Causes) -> u64 {
        let limit = self.limits.memory.resolve(self.machine.memory);
        let headroom = (self.machine.memory / HEADROOM_PART).min(MAX_HEADROOM);
        let (room, reason) = match &sample.memory {
            Signal::Unknown(_) => (None, None),
            Signal::Known(memory) => match pressure(memory) {
                Some(waiting) => {
                    // What is said to be available does not help; some of ours will.
                    let due =
                        self.last_relief.is_none_or(|last_relief| now.saturating_sub(last_relief) >= PRESSURE_INTERVAL);
                    if due {
                        self.last_relief = Some(now);
                    }
                    let room = memory.own.saturating_sub(headroom);
                    (due.then_some(room), Some(Reason::MemoryPressure { waiting: rules::percent(waiting) }))
                }
                None => {
                    let room = memory.own.saturating_add(memory.available).saturating_sub(headroom);
                    (Some(room), Some(Reason::MemoryShort { available: memory.available }))
                }
            },
        };
        self.memory.advance(room, limit, now);
        causes.memory(limit, self.memory.level(), reason.filter(|_| room.is_none_or(|room| room < limit)))
    }

    fn decide_gpu_memory(&mut self, sample: &Sample, now: Duration, causes: &mut Causes) -> u64 {
        let Some(total) = self.machine.gpu_memory else { return 0 };
        let limit = self.limits.gpu_memory.resolve(total);
        let (room, reason) = match &sample.gpu {
            Some(Signal::Known(gpu)) => {
                let others = gpu.memory_used.saturating_sub(self.own_gpu_memory(gpu));
                let headroom = (gpu.memory_total / GPU_HEADROOM_PART).min(MAX_GPU_HEADROOM);
                let room = gpu.memory_total.saturating_sub(others).saturating_sub(headroom);
                (Some(room), Some(Reason::GpuMemoryShort { others }))
            }
            Some(Signal::Unknown(_)) | None => (None, None),
        };
        self.gpu_memory.advance(room, limit, now);
        causes.memory(limit, self.gpu_memory.level(), reason.filter(|_| room.is_none_or(|room| room < limit)))
    }

    /// Ours, of the memory in use. Where it cannot be told (in a container the driver hides process ids) it is taken
    /// for as much as was allowed: what is used beyond that is others' for certain, and using our own never looks like
    /// others taking it.
    fn own_gpu_memory(&self, gpu: &Gpu) -> u64 {
        gpu.memory_own.known().copied().unwrap_or(self.allowance.gpu_memory)
    }

    fn publish(&mut self, mut allowance: Allowance, now: Duration) {
        let old = &mut self.allowance;
        let figures = |a: &Allowance| (a.cpu, a.gpu, a.memory, a.gpu_memory, a.reason.kind());
        let fresh = now.saturating_sub(self.reason_renewed) < REASON_INTERVAL;
        if figures(old) == figures(&allowance) && fresh {
            std::mem::swap(&mut allowance.reason, &mut old.reason);
        } else {
            self.reason_renewed = now;
        }
        *old = allowance;
    }
}

/// The part of time in which programs wait for memory, where it is too much.
fn pressure(memory: &Memory) -> Option<f32> {
    memory.pressure.known().copied().filter(|waiting| *waiting > MAX_PRESSURE)
}

/// Finds the rule that takes most.
#[derive(Debug)]
struct Causes {
    /// In thousandths of what the donor lends.
    taken: u64,
    reason: Reason,
}

impl Default for Causes {
    fn default() -> Self {
        Self { taken: 0, reason: Reason::Free }
    }
}

impl Causes {
    fn weigh(&mut self, lent: u64, left: u64, reason: impl FnOnce() -> Reason) {
        let taken = u128::from(lent.saturating_sub(left)) * 1000 / u128::from(lent.max(1));
        // Less than a thousandth of the memory still is something.
        let taken = (taken as u64).max(u64::from(left < lent));
        if taken > self.taken {
            (self.taken, self.reason) = (taken, reason());
        }
    }

    /// What is left of a device.
    fn device(&mut self, device: Device, ramp: &Ramp, ceiling: Ceiling, now: Duration) -> Share {
        let left = device.cap.min(ramp.level());
        self.weigh(device.cap.per_mille().into(), left.per_mille().into(), || match ceiling.reason {
            reason if ramp.is_near(ceiling.share) => reason,
            _ if ramp.is_settling(now) => Reason::Settling,
            _ => Reason::Climbing,
        });
        left
    }

    /// What is left of a memory.
    fn memory(&mut self, limit: u64, level: u64, reason: Option<Reason>) -> u64 {
        let left = limit.min(level);
        self.weigh(limit, left, || reason.unwrap_or(Reason::Settling));
        left
    }
}

#[cfg(test)]
mod tests;
