use crate::GpuIndex;
use gogrid_limits::{Gpu, Signal};
use std::time::Instant;

const NOT_READABLE: &str = "macOS shows the load of a GPU only to programs that run as root";

/// The GPU of a Mac, which shows no load.
pub(crate) struct GpuMeter;

impl GpuMeter {
    pub(crate) fn new(_index: GpuIndex) -> Self {
        Self
    }

    pub(crate) fn read(&mut self, _now: Instant, _own_busy: Option<f32>) -> Signal<Gpu> {
        Signal::absent(NOT_READABLE)
    }

    pub(crate) fn source(&mut self, _now: Instant) -> Result<String, String> {
        Err(NOT_READABLE.into())
    }

    pub(crate) fn release(&mut self) {}
}
