//! How long a machine computes: as measured there, or as expected of its kind of device.

use gogrid_model::{DeviceKind, ModelConfig};

/// A machine's compute times at its allowance, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Of one layer, for one decoded token.
    pub(crate) layer: f64,
    /// Of the head, for one decoded token.
    pub(crate) head: f64,
    /// Of one layer, for one prompt token within a full step.
    pub(crate) prompt_layer: f64,
}

/// What was measured on a machine at its allowance; seconds as in [`Speed`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) layer: f64,
    /// `None` before it held the head.
    pub(crate) head: Option<f64>,
    /// `None` before it computed a prompt.
    pub(crate) prompt_layer: Option<f64>,
}

/// What is expected of a device before anything is measured.
struct Expected {
    /// Seconds to start one layer's kernels.
    launch: f64,
    /// Bytes of weights per second that it reads to decode.
    bandwidth: f64,
    /// Floating-point operations per second in a full step of a prompt.
    compute: f64,
}

impl Expected {
    /// From docs/PERFORMANCE.md and the data sheets of desktop hardware. The figures decide only between kinds of
    /// devices, and how much a hop weighs; machines of one kind are equal until they are measured.
    fn of(kind: DeviceKind) -> Self {
        match kind {
            // Two cores decode a 1.1B model in q8_0 (1.1 GB) in 56 ms, and prefill 137 tokens of 2.2 GFLOP a second.
            DeviceKind::Cpu => Self { launch: 0.0, bandwidth: 20e9, compute: 0.3e12 },
            // 22 layers take 4.9 ms, the host's time for launching kernels. A desktop GPU reads about 300 GB/s and does
            // a quarter of the 38 TFLOP/s that were measured on an H100.
            DeviceKind::Cuda => Self { launch: 0.2e-3, bandwidth: 300e9, compute: 10e12 },
            // Launches were not measured here; a notebook's memory reads 100 GB/s.
            DeviceKind::Metal => Self { launch: 0.2e-3, bandwidth: 100e9, compute: 2e12 },
        }
    }
}

impl Speed {
    /// Corrected by what was measured on other machines of the kind: by the mean ratio of measured to expected.
    /// Otherwise a machine that was never tried would look better, or worse, than every measured one.
    pub(super) fn calibrated<'a>(self, others: impl Iterator<Item = &'a Measured>) -> Self {
        let (sum, count) = others.fold((0.0, 0.0), |(sum, count), other| (sum + other.layer / self.layer, count + 1.0));
        let ratio = if count > 0.0 { sum / count } else { 1.0 };
        let Self { layer, head, prompt_layer } = self;
        Self { layer: layer * ratio, head: head * ratio, prompt_layer: prompt_layer * ratio }
    }

    /// As measured. What was not measured is scaled by a layer's ratio of measured to expected.
    pub(super) fn measured(self, measured: &Measured) -> Self {
        let Measured { layer, head, prompt_layer } = *measured;
        let ratio = layer / self.layer;
        Self {
            layer,
            head: head.unwrap_or(self.head * ratio),
            prompt_layer: prompt_layer.unwrap_or(self.prompt_layer * ratio),
        }
    }

    /// The expected speed of a kind of device for a model with this mean size of a layer and this size of the head, in bytes.
    pub(super) fn expected(kind: DeviceKind, config: &ModelConfig, layer_bytes: f64, head_bytes: f64) -> Self {
        let device = Expected::of(kind);
        let flops: f64 = config.layer_costs().map(|cost| cost.flops(0.0)).sum();
        // A token goes through a few experts of many.
        let read: f64 = config.layer_costs().map(|cost| cost.read(1.0)).sum();
        let held: f64 = config.layer_costs().map(|cost| cost.matrices() as f64).sum();
        let layer_bytes = layer_bytes * (read / held.max(1.0));
        Self {
            layer: device.launch + layer_bytes / device.bandwidth,
            head: head_bytes / device.bandwidth,
            prompt_layer: flops / config.layers.len() as f64 / device.compute,
        }
    }
}
