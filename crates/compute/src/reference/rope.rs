//! Rotary position embedding: angles for the positions of one step. They are computed where they are needed instead of
//! tabled for the whole context, which would take megabytes and the first step's time for contexts of 100,000 tokens.

use candle_core::{DType, Device, Result, Tensor};
use gogrid_model::{ModelConfig, RopeScaling};
use std::f32::consts::PI;

/// The frequencies of a model: `head_dim / 2` radians per position.
#[derive(Debug, Clone)]
pub(crate) struct Frequencies(Vec<f32>);

/// Cosines and sines of a step's positions, each `// (rows, head_dim / 2)`.
#[derive(Debug, Clone)]
pub(crate) struct Angles {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

impl Frequencies {
    /// In f32 like the reference implementation, so that far positions agree.
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let dim = config.head_dim as f32;
        let theta = f64::from(config.rope.theta);
        let plain = (0..config.head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / dim;
            1.0 / theta.powf(f64::from(exponent)) as f32
        });
        Frequencies(match &config.rope.scaling {
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
    pub(crate) fn angles(&self, positions: &[usize], device: &Device, dtype: DType) -> Result<Angles> {
        let shape = (positions.len(), self.0.len());
        let (sin, cos): (Vec<f32>, Vec<f32>) = positions
            .iter()
            .flat_map(|&position| self.0.iter().map(move |frequency| (position as f32 * frequency).sin_cos()))
            .unzip();
        let tensor = |values| Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device);
        Ok(Angles { cos: tensor(cos)?, sin: tensor(sin)? })
    }
}
