use super::{
    load::OthersLoad,
    thermal::{ThermalLimiter, ThermalState},
};
use crate::{Gpu, Limits, Sample, Signal, SignalKind};
use std::time::Duration;

/// State kept between samples, because one sample alone says too little.
#[derive(Debug)]
pub(super) struct Observations {
    /// Other programs' CPU load.
    pub(super) cpu: OthersLoad,
    gpu: OthersLoad,
    has_gpu: bool,
    pub(super) thermal_limiter: ThermalLimiter,
    /// The hottest readable sensor, in °C, and what it leaves; `None` without a rule or a sensor.
    pub(super) thermal: Option<(f32, ThermalState)>,
    /// Why a temperature could not be read.
    pub(super) temperature_error: Option<String>,
}

impl Observations {
    pub(super) fn new() -> Self {
        Self {
            cpu: OthersLoad::new(),
            gpu: OthersLoad::new(),
            has_gpu: false,
            thermal_limiter: ThermalLimiter::default(),
            thermal: None,
            temperature_error: None,
        }
    }

    /// Other programs' GPU load, or why it is unknown; `None` if no GPU is lent.
    pub(super) fn gpu_load(&self) -> Option<Result<f32, &str>> {
        self.has_gpu.then(|| self.gpu.mean())
    }

    /// Takes a sample, `span` after the last one.
    pub(super) fn observe(&mut self, sample: &Sample, lends_gpu: bool, limits: &Limits, span: Duration) {
        self.cpu.observe(&sample.cpu, span);
        let gpu = sample.gpu.as_ref().filter(|_| lends_gpu);
        self.has_gpu = gpu.is_some();
        match gpu {
            None => {}
            Some(Signal::Known(gpu)) => self.gpu.observe(&gpu.load, span),
            Some(Signal::Unknown(why) | Signal::Absent(why)) => self.gpu.observe(&Signal::Unknown(why.clone()), span),
        }
        self.observe_temperature(sample, limits);
    }

    /// Judges the temperatures under these limits.
    pub(super) fn observe_temperature(&mut self, sample: &Sample, limits: &Limits) {
        let gpu = sample.gpu.as_ref().filter(|_| self.has_gpu).map(|gpu| match gpu {
            Signal::Known(Gpu { celsius, .. }) => celsius.clone(),
            Signal::Unknown(why) => Signal::unknown(why),
            Signal::Absent(why) => Signal::absent(why),
        });
        let mut hottest = f32::NEG_INFINITY;
        // One device without a sensor leaves the other's.
        self.temperature_error = sample.why_absent(SignalKind::Temperature).map(Into::into);
        for celsius in [Some(sample.cpu_celsius.clone()), gpu].into_iter().flatten() {
            match celsius {
                Signal::Known(celsius) if celsius.is_nan() => {
                    self.temperature_error = Some("the temperature is not a number".into());
                }
                Signal::Known(celsius) => hottest = hottest.max(celsius),
                Signal::Unknown(why) => self.temperature_error = Some(why),
                Signal::Absent(_) => {}
            }
        }
        self.thermal = match limits.max_celsius {
            None => {
                self.thermal_limiter.reset();
                None
            }
            Some(_) if hottest == f32::NEG_INFINITY => None,
            Some(limit) => Some((hottest, self.thermal_limiter.observe(hottest, limit))),
        };
    }

    /// Forgets the loads from before a gap.
    pub(super) fn reset_loads(&mut self) {
        self.cpu.reset();
        self.gpu.reset();
    }
}
