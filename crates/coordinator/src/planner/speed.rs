//! How long a machine computes: as measured, or as its device's kind lets expect.

use gogrid_model::{DeviceKind, ModelConfig};

/// Seconds that a machine takes at its allowance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Of one layer for one token that is decoded.
    pub(crate) layer: f64,
    /// Of the head for one token that is decoded.
    pub(crate) head: f64,
    /// Of one layer for one token of a prompt, within a full step.
    pub(crate) prompt_layer: f64,
}

/// What was measured of a machine at its allowance, in seconds as in [`Speed`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) layer: f64,
    /// Where it has the head.
    pub(crate) head: Option<f64>,
    /// Once it computed prompts.
    pub(crate) prompt_layer: Option<f64>,
}

/// What is expected of a device before anything is measured.
struct Expected {
    /// Seconds for starting a layer's kernels.
    launch: f64,
    /// Bytes of weights per second that pass through it for one token.
    bandwidth: f64,
    /// Floating-point operations per second in a full step of a prompt.
    compute: f64,
}

impl Expected {
    /// All three are from docs/PERFORMANCE.md and the data sheets of what stands on desks. They decide only among kinds
    /// of devices, and how much a hop weighs; machines of one kind are equal until they are measured.
    fn of(kind: DeviceKind) -> Self {
        match kind {
            // Two cores decode the 1.1B shape in q8_0 (1.1 GB) in 56 ms, and take in 137 tokens of 2.2 GFLOP a second.
            DeviceKind::Cpu => Self { launch: 0.0, bandwidth: 20e9, compute: 0.3e12 },
            // 22 layers take 4.9 ms, which is the host launching kernels; a desktop's GPU reads some 300 GB/s and does
            // a quarter of the 38 TFLOP/s that were measured on an H100.
            DeviceKind::Cuda => Self { launch: 0.2e-3, bandwidth: 300e9, compute: 10e12 },
            // Launches were not measured there; a notebook's memory gives 100 GB/s.
            DeviceKind::Metal => Self { launch: 0.2e-3, bandwidth: 100e9, compute: 2e12 },
        }
    }
}

impl Speed {
    /// What a machine takes of whose kind others were measured: as much more or less than expected as they do, at the
    /// mean. Else whoever was never tried would look better, or worse, than all who were.
    pub(super) fn among<'a>(self, others: impl Iterator<Item = &'a Measured>) -> Self {
        let (sum, count) = others.fold((0.0, 0.0), |(sum, count), other| (sum + other.layer / self.layer, count + 1.0));
        let factor = if count > 0.0 { sum / count } else { 1.0 };
        let Self { layer, head, prompt_layer } = self;
        Self { layer: layer * factor, head: head * factor, prompt_layer: prompt_layer * factor }
    }

    /// As measured; what was not is expected to be as much faster or slower than usual as a layer is.
    pub(super) fn measured(self, measured: &Measured) -> Self {
        let Measured { layer, head, prompt_layer } = *measured;
        let factor = layer / self.layer;
        Self {
            layer,
            head: head.unwrap_or(self.head * factor),
            prompt_layer: prompt_layer.unwrap_or(self.prompt_layer * factor),
        }
    }

    /// Of a model whose layers, at the mean, and head take so many bytes each.
    pub(super) fn expected(kind: DeviceKind, config: &ModelConfig, layer_bytes: f64, head_bytes: f64) -> Self {
        let device = Expected::of(kind);
        let flops: f64 = config.layer_costs().map(|cost| cost.flops(0.0)).sum();
        Self {
            layer: device.launch + layer_bytes / device.bandwidth,
            head: head_bytes / device.bandwidth,
            prompt_layer: flops / config.layers.len() as f64 / device.compute,
        }
    }
}
