//! Rotary position embedding: angles for the positions of one step. They are computed where they are needed instead of
//! tabled for the whole context, which would take megabytes and the first step's time for contexts of 100,000 tokens.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope_thd;
use gogrid_model::{Layers, ModelConfig, Rope, RopeScaling};
use std::f32::consts::PI;

/// The different position embeddings of a stage's layers.
#[derive(Debug, Default)]
pub(crate) struct Ropes(Vec<(Rope, usize, Frequencies)>);

impl Ropes {
    pub(crate) fn new(config: &ModelConfig, layers: Layers) -> Self {
        let mut ropes = Ropes::default();
        for (rope, head_dim) in layers.range().filter_map(|layer| config.layers[layer].mixer.rope()) {
            if ropes.index(rope, head_dim).is_none() {
                ropes.0.push((rope.clone(), head_dim, Frequencies::new(rope, rope.rotated_of(head_dim))));
            }
        }
        ropes
    }

    /// The place of a position embedding for heads of this width among those of the stage.
    pub(crate) fn index(&self, rope: &Rope, head_dim: usize) -> Option<usize> {
        self.0.iter().position(|(known, width, _)| known == rope && *width == head_dim)
    }

    /// The angles of these positions, for each position embedding.
    pub(crate) fn angles(&self, positions: &[usize], device: &Device, dtype: DType) -> Result<Vec<Angles>> {
        self.0.iter().map(|(.., frequencies)| frequencies.angles(positions, device, dtype)).collect()
    }
}

/// Radians per position for each two elements that are rotated, and what cosines and sines are multiplied by.
#[cfg(feature = "cuda")]
pub(crate) fn radians(rope: &Rope, head_dim: usize) -> (Vec<f32>, f32) {
    let Frequencies { radians, magnitude } = Frequencies::new(rope, rope.rotated_of(head_dim));
    (radians, magnitude)
}

/// The frequencies of one position embedding.
#[derive(Debug, Clone)]
struct Frequencies {
    /// Radians per position, one for each two elements that are rotated.
    radians: Vec<f32>,
    /// What cosines and sines are multiplied by.
    magnitude: f32,
}

/// Cosines and sines of a step's positions, each `// (rows, rotated / 2)`.
#[derive(Debug, Clone)]
pub(crate) struct Angles {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

impl Angles {
    /// Rotates the first elements of each head; the rest stays. `// (rows, heads, head_dim)`
    pub(crate) fn rotate(&self, rows: &Tensor) -> Result<Tensor> {
        let (rotated, head_dim) = (2 * self.cos.dim(D::Minus1)?, rows.dim(D::Minus1)?);
        let rotate = |rows: &Tensor| rope_thd(&rows.unsqueeze(0)?, &self.cos, &self.sin)?.squeeze(0);
        if rotated == head_dim {
            return rotate(rows);
        }
        let first = rotate(&rows.narrow(D::Minus1, 0, rotated)?.contiguous()?)?;
        Tensor::cat(&[first, rows.narrow(D::Minus1, rotated, head_dim - rotated)?], D::Minus1)
    }
}

impl Frequencies {
    /// In f32 like the reference implementation, so that far positions agree.
    fn new(rope: &Rope, rotated: usize) -> Self {
        let dim = rotated as f32;
        let theta = f64::from(rope.theta);
        let plain = (0..rotated / 2).map(|i| {
            let exponent = (2 * i) as f32 / dim;
            1.0 / theta.powf(f64::from(exponent)) as f32
        });
        let radians = match &rope.scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
            &RopeScaling::Proportional { part } => {
                let turning = (f64::from(part) * rotated as f64 / 2.0) as usize;
                plain.enumerate().map(|(i, frequency)| if i < turning { frequency } else { 0.0 }).collect()
            }
            RopeScaling::Factors { factors } => {
                plain.zip(factors).map(|(frequency, factor)| frequency / factor).collect()
            }
            &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_length } => {
                let context = original_context_length as f32;
                let stretch = |frequency: f32| {
                    let wavelength = 2.0 * PI / frequency;
                    if wavelength > context / low_freq_factor {
                        frequency / factor
                    } else if wavelength < context / high_freq_factor {
                        frequency
                    } else {
                        let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                };
                plain.map(stretch).collect()
            }
            &RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context_length, truncate } => {
                // The place among the frequencies of one that turns so often within the trained context.
                let place = |turns: f32| {
                    let context = original_context_length as f64 / (f64::from(turns) * 2.0 * std::f64::consts::PI);
                    f64::from(dim) * context.ln() / (2.0 * theta.ln())
                };
                let (mut low, mut high) = (place(beta_fast), place(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(f64::from(dim) - 1.0));
                // Equal bounds would be a division by zero.
                let width = if low == high { 0.001 } else { high - low };
                let stretch = |(i, frequency): (usize, f32)| {
                    let divided = (((i as f64 - low) / width) as f32).clamp(0.0, 1.0);
                    frequency / factor * divided + frequency * (1.0 - divided)
                };
                plain.enumerate().map(stretch).collect()
            }
        };
        Frequencies { radians, magnitude: rope.magnitude }
    }

    /// The angles of these positions.
    fn angles(&self, positions: &[usize], device: &Device, dtype: DType) -> Result<Angles> {
        let shape = (positions.len(), self.radians.len());
        let angle = |position: usize, radians: f32| {
            let (sin, cos) = (position as f32 * radians).sin_cos();
            (sin * self.magnitude, cos * self.magnitude)
        };
        let (sin, cos): (Vec<f32>, Vec<f32>) = positions
            .iter()
            .flat_map(|&position| self.radians.iter().map(move |radians| angle(position, *radians)))
            .unzip();
        let tensor = |values| Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device);
        Ok(Angles { cos: tensor(cos)?, sin: tensor(sin)? })
    }
}
