//! Rotary position embedding, as a model describes it.

use super::ConfigError;
use super::range::{MAX_CONTEXT, check, positive, size};
use serde::{Deserialize, Serialize};

/// Rotary position embedding (RoPE, <https://arxiv.org/abs/2104.09864>).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f32,
    /// How the frequencies are stretched for contexts beyond the trained one.
    pub scaling: RopeScaling,
    /// Whether the rows of q and k are stored for the rotation of neighbouring elements (2i, 2i+1), as GGUF files of
    /// the llama family are, instead of (i, i + half of them). They are put in order when a stage is loaded.
    pub interleaved: bool,
}

/// How RoPE frequencies are stretched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor (<https://arxiv.org/abs/2306.15595>).
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1's: low frequencies divided, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_context_length / low_freq_factor` count as low frequencies.
        low_freq_factor: f32,
        /// Wavelengths below `original_context_length / high_freq_factor` count as high frequencies.
        high_freq_factor: f32,
        /// The context length that the model was first trained for, in tokens.
        original_context_length: usize,
    },
    /// One divisor per frequency, as GGUF files carry them (`rope_freqs.weight`).
    Factors {
        /// Half as many divisors as elements of a head.
        factors: Vec<f32>,
    },
}

impl Rope {
    /// Checks the settings for heads of `head_dim` elements.
    pub(super) fn validate(&self, head_dim: usize) -> Result<(), ConfigError> {
        check("head_dim", head_dim, head_dim.is_multiple_of(2), "an even number")?;
        positive("rope.theta (rope_theta)", self.theta)?;
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("rope.factor", *factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_length } => {
                positive("rope.factor", *factor)?;
                positive("rope.low_freq_factor", *low_freq_factor)?;
                let above = high_freq_factor.is_finite() && high_freq_factor > low_freq_factor;
                check("rope.high_freq_factor", high_freq_factor, above, "a number above low_freq_factor")?;
                size("rope.original_context_length", *original_context_length, MAX_CONTEXT)
            }
            RopeScaling::Factors { factors } => {
                let expected = head_dim / 2;
                let found = format!("{} numbers", factors.len());
                check("rope.factors", found, factors.len() == expected, &format!("{expected} numbers"))?;
                factors.iter().try_for_each(|&factor| positive("rope.factors", factor))
            }
        }
    }
}
