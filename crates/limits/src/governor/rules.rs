//! What each rule leaves of the devices' time, given one sample and the observations before it.
//!
//! | rule | leaves |
//! |---|---|
//! | a program to stop for, full screen, battery, too hot | nothing |
//! | input, others' load above its threshold, a signal that fails | the floor: the donor's share while the user is present |
//! | a signal that the machine does not have | everything: the rule is off, unless a policy requires it |
//! | others' load below its threshold | what they leave, minus some headroom; never below the floor |
//! | close to the temperature limit | a part of the donor's cap |

use super::{observations::Observations, thermal::ThermalState};
use crate::{Limits, Power, Reason, RequiredSignals, Sample, Share, Signal, reason::SignalKind};

/// The headroom beside others' load is as large as that load, and at most this many thousandths. A program that needs a
/// little more finds a part of the device idle and does not wait for our slice to end. No load, no headroom.
const MAX_HEADROOM: u16 = 100;
/// What others' load leaves is rounded to this many thousandths, so that it does not move with every sample.
const GRAIN: u16 = 50;

/// The most that one device's rules leave of its time, and the strictest rule's reason.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ceiling {
    pub(super) share: Share,
    pub(super) reason: Reason,
}

impl Ceiling {
    fn lower(&mut self, share: Share, reason: &dyn Fn() -> Reason) {
        if share < self.share {
            *self = Self { share, reason: reason() };
        }
    }
}

/// The donor's figures for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) cap: Share,
    /// While the user is present.
    pub(super) floor: Share,
}

impl Device {
    fn new(cap: Share, in_use: Share) -> Self {
        Self { cap, floor: in_use.min(cap) }
    }

    /// The share, or [`Share::FULL`] if it does not go below the cap.
    fn clamp(self, share: Share) -> Share {
        if share >= self.cap { Share::FULL } else { share }
    }
}

/// The donor's figures for both devices. A GPU that is not lent has a cap of zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Devices {
    pub(super) cpu: Device,
    pub(super) gpu: Device,
}

impl Devices {
    pub(super) fn new(limits: &Limits, has_gpu: bool) -> Self {
        let gpu =
            if has_gpu { Device::new(limits.gpu, limits.gpu_in_use) } else { Device::new(Share::ZERO, Share::ZERO) };
        Self { cpu: Device::new(limits.cpu, limits.cpu_in_use), gpu }
    }

    /// The floors of CPU and GPU while the user is present; zero for a donor who lends only while away.
    pub(super) fn while_user_is_present(self, limits: &Limits) -> (Share, Share) {
        if limits.when.is_idle_only() { (Share::ZERO, Share::ZERO) } else { (self.cpu.floor, self.gpu.floor) }
    }
}

/// What all rules leave of each device. [`Share::FULL`] with [`Reason::Free`] if no rule takes anything.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ceilings {
    pub(super) cpu: Ceiling,
    pub(super) gpu: Ceiling,
}

impl Ceilings {
    /// Applies all rules under the donor's limits.
    pub(super) fn evaluate(
        sample: &Sample,
        observed: &Observations,
        (limits, required): (&Limits, &RequiredSignals),
        devices: Devices,
    ) -> Self {
        let free = Ceiling { share: Share::FULL, reason: Reason::Free };
        let mut evaluation = Evaluation { limits, required, devices, ceilings: Self { cpu: free.clone(), gpu: free } };
        // Of rules that leave the same the first is the reason, so rules about known signals come first.
        evaluation.stops(sample, observed);
        evaluation.presence(sample, observed);
        evaluation.unreadable_signals(sample, observed);
        evaluation.share_with_others(observed);
        evaluation.ceilings.cpu.share = devices.cpu.clamp(evaluation.ceilings.cpu.share);
        evaluation.ceilings.gpu.share = devices.gpu.clamp(evaluation.ceilings.gpu.share);
        evaluation.ceilings
    }
}

struct Evaluation<'a> {
    limits: &'a Limits,
    required: &'a RequiredSignals,
    devices: Devices,
    ceilings: Ceilings,
}

impl Evaluation<'_> {
    fn leave(&mut self, cpu: Share, gpu: Share, reason: impl Fn() -> Reason) {
        self.ceilings.cpu.lower(cpu, &reason);
        self.ceilings.gpu.lower(gpu, &reason);
    }

    fn stop(&mut self, reason: impl Fn() -> Reason) {
        self.leave(Share::ZERO, Share::ZERO, reason);
    }

    fn floor(&mut self, reason: impl Fn() -> Reason) {
        self.leave(self.devices.cpu.floor, self.devices.gpu.floor, reason);
    }

    fn stops(&mut self, sample: &Sample, observed: &Observations) {
        if let (false, Signal::Known(running)) = (self.limits.stop_for.is_empty(), &sample.programs)
            && let Some(name) = running.first()
        {
            self.stop(|| Reason::Program { name: name.clone() });
        }
        if self.limits.stop_for_full_screen && sample.full_screen == Signal::Known(true) {
            self.stop(|| Reason::FullScreen);
        }
        if let (false, Signal::Known(Power::Battery { charge })) = (self.limits.on_battery, &sample.power) {
            self.stop(|| Reason::Battery { charge: percent(*charge) });
        }
        if let (Some(limit), Some((celsius, thermal))) = (self.limits.max_celsius, observed.thermal) {
            let celsius = celsius.round() as i16;
            match thermal {
                ThermalState::Normal => {}
                ThermalState::Derated(part) => {
                    let (cpu, gpu) = (part.of(self.devices.cpu.cap), part.of(self.devices.gpu.cap));
                    self.leave(cpu, gpu, || Reason::Warm { celsius, limit });
                }
                ThermalState::Tripped => self.stop(|| Reason::TooHot { celsius, limit }),
                ThermalState::Cooling(resumes) => self.stop(|| Reason::Cooling { celsius, resumes }),
            }
        }
    }

    fn presence(&mut self, sample: &Sample, observed: &Observations) {
        if let Some(idle) = sample.user_idle.known()
            && *idle < self.limits.idle_after
        {
            let (cpu, gpu) = self.devices.while_user_is_present(self.limits);
            self.leave(cpu, gpu, || Reason::InUse);
        }
        if let (Some(threshold), Ok(load)) = (self.limits.others_cpu, observed.cpu.mean())
            && f64::from(load) > threshold.fraction()
        {
            self.floor(|| Reason::OthersCpu { load: percent(load) });
        }
        if let (Some(threshold), Some(Ok(load))) = (self.limits.others_gpu, observed.gpu_load())
            && f64::from(load) > threshold.fraction()
        {
            self.floor(|| Reason::OthersGpu { load: percent(load) });
        }
    }

    /// A signal that a rule needs and that cannot be read counts as a present user.
    fn unreadable_signals(&mut self, sample: &Sample, observed: &Observations) {
        let (limits, required) = (self.limits, self.required);
        let is_on = |signal| limits.needs(signal) && limits.why_off(signal, sample, required).is_none();
        if let (true, Some(why)) = (is_on(SignalKind::UserIdle), sample.user_idle.why_not()) {
            let (cpu, gpu) = self.devices.while_user_is_present(limits);
            self.leave(cpu, gpu, || Reason::Unknown { signal: SignalKind::UserIdle, why: why.into() });
        }
        let mut unreadable = |why: Option<&str>, signal: SignalKind| {
            if let (true, Some(why)) = (is_on(signal), why) {
                self.floor(|| Reason::Unknown { signal, why: why.into() });
            }
        };
        unreadable(observed.cpu.mean().err(), SignalKind::CpuLoad);
        unreadable(observed.gpu_load().and_then(Result::err), SignalKind::GpuLoad);
        unreadable(observed.temperature_error.as_deref(), SignalKind::Temperature);
        unreadable(sample.power.why_not(), SignalKind::Power);
        unreadable(sample.full_screen.why_not(), SignalKind::FullScreen);
        unreadable(sample.programs.why_not(), SignalKind::Programs);
        // A sensor that stops answering does not end a stop for heat.
        if let (true, None, Some(why)) =
            (observed.thermal_limiter.is_tripped(), observed.thermal, observed.temperature_error.as_deref())
        {
            self.stop(|| Reason::Unknown { signal: SignalKind::Temperature, why: why.into() });
        }
    }

    /// Others' load below its threshold: ours, theirs and some headroom share the device.
    fn share_with_others(&mut self, observed: &Observations) {
        let Devices { cpu, gpu } = self.devices;
        if let (true, Ok(load)) = (self.limits.others_cpu.is_some(), observed.cpu.mean()) {
            self.ceilings.cpu.lower(left_by(load).max(cpu.floor), &|| Reason::RoomCpu { load: percent(load) });
        }
        if let (true, Some(Ok(load))) = (self.limits.others_gpu.is_some(), observed.gpu_load()) {
            self.ceilings.gpu.lower(left_by(load).max(gpu.floor), &|| Reason::RoomGpu { load: percent(load) });
        }
    }
}

/// What others' load leaves, in whole grains.
fn left_by(load: f32) -> Share {
    let load = (load.clamp(0.0, 1.0) * 1000.0).round() as u16;
    let left = 1000_u16.saturating_sub(load).saturating_sub(load.min(MAX_HEADROOM));
    Share::from_per_mille((left + GRAIN / 2) / GRAIN * GRAIN)
}

/// A fraction for people, to the percent.
pub(super) fn percent(fraction: f32) -> Share {
    Share::from_percent((fraction.clamp(0.0, 1.0) * 100.0).round() as u8)
}
