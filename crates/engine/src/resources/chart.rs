//! From a sample to a point of the charts, and to the work of the day.

use super::view::Rate;
use crate::record::{self, WorkDelta};
use gogrid_limits::{Allowance, Gpu, Limits, Load, Machine, Memory, Sample};
use gogrid_panel_api::Point;
use std::time::Duration;

/// A sample with what it is compared with.
pub(super) struct Observed<'a> {
    pub(super) sample: &'a Sample,
    pub(super) limits: &'a Limits,
    /// What holds now: the limits or less.
    pub(super) allowance: &'a Allowance,
    pub(super) machine: &'a Machine,
    pub(super) rates: Rate,
    /// Bytes of the device's memory that the ledger has given out.
    pub(super) ledger: u64,
    /// Whether a GPU is lent.
    pub(super) is_gpu: bool,
}

impl Observed<'_> {
    /// The point of now.
    pub(super) fn point(&self) -> Point {
        let Self { sample, limits, allowance, machine, rates, ledger, is_gpu } = *self;
        let memory_limit = match machine.gpu_memory {
            Some(total) if is_gpu => limits.gpu_memory.resolve(total),
            _ => limits.memory.resolve(machine.memory),
        };
        Point {
            at_ms: record::now_ms(),
            cpu: sample.cpu.known().map(|load| load.own),
            cpu_others: sample.cpu.known().map(Load::others),
            cpu_limit: limits.cpu.fraction() as f32,
            gpu: is_gpu.then_some(rates.gpu),
            gpu_others: self.gpu_load().map(Load::others),
            gpu_limit: is_gpu.then(|| limits.gpu.fraction() as f32),
            memory: Some(ledger),
            memory_others: self.memory_of_others(),
            memory_limit: (memory_limit < u64::MAX).then_some(memory_limit),
            tokens_per_second: rates.tokens,
            cpu_allowed: Some(allowance.cpu.fraction() as f32),
            gpu_allowed: is_gpu.then(|| allowance.gpu.fraction() as f32),
            memory_allowed: Some(if is_gpu { allowance.gpu_memory } else { allowance.memory }),
        }
    }

    /// The work since the last sample.
    pub(super) fn work(&self, elapsed: Duration, tokens: u64, busy: bool) -> WorkDelta {
        WorkDelta {
            elapsed,
            tokens,
            busy,
            cpu: self.sample.cpu.known().map_or(0.0, |load| load.own),
            cpu_total: self.sample.cpu.known().map(|load| load.total),
            cpu_watts: self.sample.cpu_watts.known().copied(),
            cores: self.machine.cores,
            gpu_watts: self.gpu().and_then(|gpu| gpu.watts.known().copied()),
            gpu: self.gpu_load().map_or(0.0, |load| load.own),
            gpu_total: self.gpu_load().map(|load| load.total),
        }
    }

    /// Memory of the device that other programs use, in bytes.
    fn memory_of_others(&self) -> Option<u64> {
        let used = |memory: &Memory| memory.total.saturating_sub(memory.available).saturating_sub(memory.own);
        match self.gpu() {
            Some(gpu) => Some(gpu.memory_used.saturating_sub(gpu.memory_own.known().copied().unwrap_or(self.ledger))),
            None if self.is_gpu => None,
            None => self.sample.memory.known().map(used),
        }
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.sample.gpu.as_ref().and_then(|gpu| gpu.known())
    }

    fn gpu_load(&self) -> Option<&Load> {
        self.gpu().and_then(|gpu| gpu.load.known())
    }
}
