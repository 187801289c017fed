//! Rotary position embedding: angles for the positions of one step. They are computed where they are needed instead of
//! tabled for the whole context, which would take megabytes and the first step's time for contexts of 100,000 tokens.

use candle_core::{DType, Device, Result, Tensor};
use gogrid_model::{Layers, ModelConfig, Rope, RopeScaling};
use std::f32::consts::PI;

/// The different position embeddings of a stage's layers.
#[derive(Debug, Default)]
pub(crate) struct Ropes(Vec<(Rope, usize, Frequencies)>);

impl Ropes {
    pub(crate) fn new(config: &ModelConfig, layers: Layers) -> Self {
        let mut ropes = Ropes::default();
        for attention in layers.range().filter_map(|layer| config.layers[layer].attention()) {
            if let Some(rope) = &attention.rope
                && ropes.index(rope, attention.head_dim).is_none()
            {
                let frequencies = Frequencies::new(rope, attention.head_dim);
                ropes.0.push((rope.clone(), attention.head_dim, frequencies));
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

/// The frequencies of one position embedding: `head_dim / 2` radians per position.
#[derive(Debug, Clone)]
struct Frequencies(Vec<f32>);

/// Cosines and sines of a step's positions, each `// (rows, head_dim / 2)`.
#[derive(Debug, Clone)]
pub(crate) struct Angles {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

impl Frequencies {
    /// In f32 like the reference implementation, so that far positions agree.
    fn new(rope: &Rope, head_dim: usize) -> Self {
        let dim = head_dim as f32;
        let theta = f64::from(rope.theta);
        let plain = (0..head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / dim;
            1.0 / theta.powf(f64::from(exponent)) as f32
        });
        Frequencies(match &rope.scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
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
        })
    }

    /// The angles of these positions.
    fn angles(&self, positions: &[usize], device: &Device, dtype: DType) -> Result<Angles> {
        let shape = (positions.len(), self.0.len());
        let (sin, cos): (Vec<f32>, Vec<f32>) = positions
            .iter()
            .flat_map(|&position| self.0.iter().map(move |frequency| (position as f32 * frequency).sin_cos()))
            .unzip();
        let tensor = |values| Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device);
        Ok(Angles { cos: tensor(cos)?, sin: tensor(sin)? })
    }
}
