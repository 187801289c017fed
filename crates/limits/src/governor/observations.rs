use super::{
    load::OthersLoad,
    thermal::{Heat, Warmth},
};
use crate::{Gpu, Limits, Sample, Signal};
use std::time::Duration;

/// What is remembered of the samples, because one alone says too little.
#[derive(Debug)]
pub(super) struct Senses {
    /// Other programs' CPU load.
    pub(super) cpu: OthersLoad,
    gpu: OthersLoad,
    has_gpu: bool,
    pub(super) heat: Heat,
    /// The hottest sensor that could be read, in °C, and what it means; `None` without a rule or a sensor.
    pub(super) warmth: Option<(f32, Warmth)>,
    /// Why a temperature could not be read.
    pub(super) no_temperature: Option<String>,
}

impl Senses {
    pub(super) fn new() -> Self {
        Self {
            cpu: OthersLoad::new(),
            gpu: OthersLoad::new(),
            has_gpu: false,
            heat: Heat::default(),
            warmth: None,
            no_temperature: None,
        }
    }

    /// Other programs' GPU load, or why it is not known; `None` where no GPU is lent.
    pub(super) fn gpu_load(&self) -> Option<Result<f32, &str>> {
        self.has_gpu.then(|| self.gpu.mean())
    }

    /// Takes a sample, `span` after the last one.
    pub(super) fn look(&mut self, sample: &Sample, lends_gpu: bool, limits: &Limits, span: Duration) {
        self.cpu.look(&sample.cpu, span);
        let gpu = sample.gpu.as_ref().filter(|_| lends_gpu);
        self.has_gpu = gpu.is_some();
        match gpu {
            None => {}
            Some(Signal::Known(gpu)) => self.gpu.look(&gpu.load, span),
            Some(Signal::Unknown(why)) => self.gpu.look(&Signal::Unknown(why.clone()), span),
        }
        self.feel(sample, limits);
    }

    /// Judges the temperatures under these limits.
    pub(super) fn feel(&mut self, sample: &Sample, limits: &Limits) {
        let gpu = sample.gpu.as_ref().filter(|_| self.has_gpu).map(|gpu| match gpu {
            Signal::Known(Gpu { celsius: Signal::Known(celsius), .. }) => Ok(*celsius),
            Signal::Known(Gpu { celsius: Signal::Unknown(why), .. }) | Signal::Unknown(why) => Err(why),
        });
        let cpu = match &sample.cpu_celsius {
            Signal::Known(celsius) => Ok(*celsius),
            Signal::Unknown(why) => Err(why),
        };
        let mut hottest = f32::NEG_INFINITY;
        self.no_temperature = None;
        for celsius in [Some(cpu), gpu].into_iter().flatten() {
            match celsius {
                Ok(celsius) if celsius.is_nan() => self.no_temperature = Some("the temperature is not a number".into()),
                Ok(celsius) => hottest = hottest.max(celsius),
                Err(why) => self.no_temperature = Some(why.clone()),
            }
        }
        self.warmth = match limits.max_celsius {
            None => {
                self.heat.forget();
                None
            }
            Some(_) if hottest == f32::NEG_INFINITY => None,
            Some(limit) => Some((hottest, self.heat.look(hottest, limit))),
        };
    }

    /// What was seen before a long sleep says nothing about now.
    pub(super) fn forget_loads(&mut self) {
        self.cpu.forget();
        self.gpu.forget();
    }
}
