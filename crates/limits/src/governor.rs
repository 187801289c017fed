//! What the worker may take right now, computed from the donor's limits and samples of the machine. Pure: `now` is an
//! argument.
//!
//! ```text
//! sample ─▶ observations ─▶ rules ─▶ ceilings ─▶ ramp ─▶ level ─┐
//!           (mean loads,    (what each          (down at once,  ├─ min(cap, level), or nothing ─▶ Allowance
//!            temperature)    leaves)             up by steps)   │   while paused or out of hours
//!                                                     limits ───┘
//! ```
//!
//! * **Down at once, up slowly.** The first sample that shows a user or their programs lowers the allowance. After the
//!   last such sample the governor holds for a while, longer each time that the calm breaks early; then the level rises
//!   step by step.
//! * **The donor's own changes apply at once,** up and down. Pause and schedule are outside the ramp, which follows the
//!   samples meanwhile: a donor who resumes gets what is due now.
//! * **A signal that fails counts as a user at the machine,** for every rule that needs it and is on. A signal that the
//!   machine does not have turns its rule off, unless a policy requires it.
//! * **A long gap between samples** (the machine slept) is not calm: the level goes to the floor and climbs.
//!
//! The caller samples every 50 ms while it computes, so input is answered within the next 50 ms.

mod attribution;
mod input;
mod load;
mod memory_ramp;
mod observations;
mod pause;
mod ramp;
mod rules;
mod thermal;

pub use input::{DailyUse, Machine, Now};

use crate::{Allowance, Gpu, Limits, Memory, Reason, RequiredSignals, Sample, Share, Signal};
use attribution::Attribution;
use memory_ramp::MemoryRamp;
use observations::Observations;
use pause::PauseClock;
use ramp::{Levels, Ramp};
use rules::{Ceiling, Ceilings, Devices};
use std::time::Duration;

/// Samples further apart than this say nothing about the time between. An idle worker samples every two seconds, so a
/// gap like this one is a machine that slept.
const GAP: Duration = Duration::from_secs(10);
/// Main memory left to other programs: this part of the whole …
const HEADROOM_PART: u64 = 8;
/// … and at most this many bytes: what a browser with some tabs takes without swapping.
const MAX_HEADROOM: u64 = 4 << 30;
/// GPU memory left to other programs: this part of the whole …
const GPU_HEADROOM_PART: u64 = 32;
/// … and at most this many bytes: a few windows of a 4K desktop.
const MAX_GPU_HEADROOM: u64 = 1 << 30;
/// Part of the time that programs wait for memory. Above this they are visibly slow.
const MAX_PRESSURE: f32 = 0.1;
/// Pressure is a mean over 10 s and shows freed memory only after that, so no more is freed sooner.
const PRESSURE_INTERVAL: Duration = Duration::from_secs(10);
/// Figures in a reason (a load, a temperature) change at most this often: people cannot read faster.
const REASON_INTERVAL: Duration = Duration::from_secs(1);

/// Turns samples into allowances under the donor's limits.
#[derive(Debug)]
pub struct Governor {
    limits: Limits,
    required: RequiredSignals,
    machine: Machine,
    observed: Observations,
    cpu: Ramp,
    gpu: Ramp,
    memory: MemoryRamp,
    gpu_memory: MemoryRamp,
    /// When memory was last freed because of pressure.
    last_relief: Option<Duration>,
    pause: PauseClock,
    today: DailyUse,
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
            required: RequiredSignals::default(),
            machine,
            observed: Observations::new(),
            cpu: Ramp::new(Share::FULL, Duration::ZERO),
            gpu: Ramp::new(Share::FULL, Duration::ZERO),
            memory: MemoryRamp::new(machine.memory),
            gpu_memory: MemoryRamp::new(machine.gpu_memory.unwrap_or(0)),
            last_relief: None,
            pause: PauseClock::default(),
            today: DailyUse::default(),
            last: None,
            allowance: nothing,
            reason_renewed: Duration::ZERO,
        }
    }

    /// With rules that are on even where the machine does not have their signal.
    #[must_use]
    pub fn requiring(self, required: RequiredSignals) -> Self {
        Self { required, ..self }
    }

    /// The allowance since the last sample or change of the limits.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// What the donor lends.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes the donor's change. It applies at once, up and down, as far as the last sample allows.
    pub fn set_limits(&mut self, limits: Limits, now: Now) -> &Allowance {
        let old = std::mem::replace(&mut self.limits, limits);
        if let Some((sample, _)) = &self.last {
            let before = self.devices_under(&old);
            let was = Ceilings::evaluate(sample, &self.observed, (&old, &self.required), before);
            if self.limits.max_celsius != old.max_celsius {
                self.observed.thermal_limiter.reset();
                self.observed.observe_temperature(sample, &self.limits);
            }
            let after = self.devices_under(&self.limits);
            let is = Ceilings::evaluate(sample, &self.observed, (&self.limits, &self.required), after);
            let (cpu_was, gpu_was) = before.while_user_is_present(&old);
            let (cpu_is, gpu_is) = after.while_user_is_present(&self.limits);
            let levels = |ceiling: &Ceiling, floor| Levels { target: ceiling.share, floor };
            self.cpu.apply_change(levels(&was.cpu, cpu_was), levels(&is.cpu, cpu_is));
            self.gpu.apply_change(levels(&was.gpu, gpu_was), levels(&is.gpu, gpu_is));
            self.check_gap(now.monotonic);
            self.decide(now);
        }
        &self.allowance
    }

    /// Takes what was lent today, for the next decision.
    pub fn observe_day(&mut self, today: DailyUse) {
        self.today = today;
    }

    /// Takes a sample of the machine.
    pub fn update(&mut self, sample: &Sample, now: Now) -> &Allowance {
        let span = self.check_gap(now.monotonic).unwrap_or_else(|| {
            self.observed.reset_loads();
            GAP
        });
        self.observed.observe(sample, self.machine.gpu_memory.is_some(), &self.limits, span);
        self.last = Some((sample.clone(), now.monotonic));
        self.decide(now);
        &self.allowance
    }

    fn devices_under(&self, limits: &Limits) -> Devices {
        Devices::new(limits, self.machine.gpu_memory.is_some())
    }

    /// The time since the last sample; `None` after a gap, which takes both devices to the floor.
    fn check_gap(&mut self, now: Duration) -> Option<Duration> {
        // A monotonic clock that runs backwards counts as a gap.
        let span = self.last.as_ref().and_then(|(_, last)| now.checked_sub(*last)).filter(|span| *span <= GAP);
        if span.is_none() {
            let (cpu, gpu) = self.devices_under(&self.limits).while_user_is_present(&self.limits);
            self.cpu.reset(cpu, now);
            self.gpu.reset(gpu, now);
        }
        span
    }

    fn decide(&mut self, now: Now) {
        let Some((sample, sampled)) = self.last.take() else { return };
        let devices = self.devices_under(&self.limits);
        let ceilings = Ceilings::evaluate(&sample, &self.observed, (&self.limits, &self.required), devices);
        self.cpu.advance(ceilings.cpu.share, devices.cpu.cap, now.monotonic);
        self.gpu.advance(ceilings.gpu.share, devices.gpu.cap, now.monotonic);
        let mut attribution = Attribution::new();
        let cpu = attribution.device(devices.cpu, &self.cpu, ceilings.cpu, now.monotonic);
        let gpu = attribution.device(devices.gpu, &self.gpu, ceilings.gpu, now.monotonic);
        let memory = self.decide_memory(&sample, now.monotonic, &mut attribution);
        let gpu_memory = self.decide_gpu_memory(&sample, now.monotonic, &mut attribution);
        self.last = Some((sample, sampled));
        let allowance = match self.stop_reason(&now) {
            Some(reason) => Allowance { cpu: Share::ZERO, gpu: Share::ZERO, memory, gpu_memory, reason },
            None => Allowance { cpu, gpu, memory, gpu_memory, reason: attribution.reason },
        };
        self.publish(allowance, now.monotonic);
    }

    /// Why nothing is lent, regardless of the samples.
    fn stop_reason(&mut self, now: &Now) -> Option<Reason> {
        if let Some(paused) = self.pause.check(self.limits.pause.as_ref(), now) {
            return Some(Reason::Paused { until: paused.until });
        }
        let out_of_hours = self.limits.when.keeps_hours() && !self.limits.schedule.contains(now.local);
        if out_of_hours {
            return Some(Reason::OutsideSchedule);
        }
        let energy = self.limits.daily_energy.filter(|limit| self.today.energy_wh >= f64::from(*limit));
        let time = self.limits.daily_time.filter(|limit| self.today.time >= *limit);
        energy
            .map(|limit| Reason::DailyEnergy { limit })
            .or_else(|| time.map(|limit| Reason::DailyHours { limit: limit.as_secs() }))
    }

    fn decide_memory(&mut self, sample: &Sample, now: Duration, attribution: &mut Attribution) -> u64 {
        let limit = self.limits.memory.resolve(self.machine.memory);
        let (target, reason) = match &sample.memory {
            Signal::Unknown(_) | Signal::Absent(_) => (None, None),
            Signal::Known(memory) => self.memory_target(memory, now),
        };
        self.memory.advance(target, limit, now);
        let is_short = target.is_none_or(|target| target < limit);
        attribution.memory(limit, self.memory.level(), reason.filter(|_| is_short))
    }

    /// The bytes of main memory that the machine can spare, `None` to leave the level as it is, and why.
    fn memory_target(&mut self, memory: &Memory, now: Duration) -> (Option<u64>, Option<Reason>) {
        let headroom = (self.machine.memory / HEADROOM_PART).min(MAX_HEADROOM);
        let Some(waiting) = pressure(memory) else {
            let target = memory.own.saturating_add(memory.available).saturating_sub(headroom);
            return (Some(target), Some(Reason::MemoryShort { available: memory.available }));
        };
        // Programs wait although memory is said to be available: only freeing some of ours helps.
        let is_due = self.last_relief.is_none_or(|last| now.saturating_sub(last) >= PRESSURE_INTERVAL);
        if is_due {
            self.last_relief = Some(now);
        }
        let target = is_due.then(|| memory.own.saturating_sub(headroom));
        (target, Some(Reason::MemoryPressure { waiting: rules::percent(waiting) }))
    }

    fn decide_gpu_memory(&mut self, sample: &Sample, now: Duration, attribution: &mut Attribution) -> u64 {
        let Some(total) = self.machine.gpu_memory else { return 0 };
        let limit = self.limits.gpu_memory.resolve(total);
        let (target, reason) = match &sample.gpu {
            Some(Signal::Known(gpu)) => {
                let others = gpu.memory_used.saturating_sub(self.own_gpu_memory(gpu));
                let headroom = (gpu.memory_total / GPU_HEADROOM_PART).min(MAX_GPU_HEADROOM);
                let target = gpu.memory_total.saturating_sub(others).saturating_sub(headroom);
                (Some(target), Some(Reason::GpuMemoryShort { others }))
            }
            Some(Signal::Unknown(_) | Signal::Absent(_)) | None => (None, None),
        };
        self.gpu_memory.advance(target, limit, now);
        let is_short = target.is_none_or(|target| target < limit);
        attribution.memory(limit, self.gpu_memory.level(), reason.filter(|_| is_short))
    }

    /// Our part of the GPU memory in use. In a container the driver hides process ids and cannot tell: then it is taken
    /// to be the whole allowance. What is used beyond that certainly belongs to others, and using our own never looks
    /// like others taking it.
    fn own_gpu_memory(&self, gpu: &Gpu) -> u64 {
        gpu.memory_own.known().copied().unwrap_or(self.allowance.gpu_memory)
    }

    fn publish(&mut self, mut allowance: Allowance, now: Duration) {
        let old = &mut self.allowance;
        let figures = |a: &Allowance| (a.cpu, a.gpu, a.memory, a.gpu_memory, a.reason.kind());
        let is_fresh = now.saturating_sub(self.reason_renewed) < REASON_INTERVAL;
        // The end of a pause is the donor's word, not a figure that flickers.
        let is_word = matches!(allowance.reason, Reason::Paused { .. });
        if figures(old) == figures(&allowance) && is_fresh && !is_word {
            std::mem::swap(&mut allowance.reason, &mut old.reason);
        } else {
            self.reason_renewed = now;
        }
        *old = allowance;
    }
}

/// The part of time in which programs wait for memory, if it is too much.
fn pressure(memory: &Memory) -> Option<f32> {
    memory.pressure.known().copied().filter(|waiting| *waiting > MAX_PRESSURE)
}

#[cfg(test)]
mod tests;
