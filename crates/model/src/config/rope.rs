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
    /// Elements of a head that are rotated, the first ones; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<usize>,
    /// What cosines and sines are multiplied by.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub magnitude: f32,
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
    /// YaRN (<https://arxiv.org/abs/2309.00071>): frequencies that turn often within the trained context are kept, those
    /// that turn seldom divided, those between interpolated.
    Yarn {
        /// The divisor of low frequencies.
        factor: f32,
        /// Frequencies that turn more often than this within the trained context are kept.
        beta_fast: f32,
        /// Frequencies that turn less often than this are divided.
        beta_slow: f32,
        /// The context length that the model was first trained for, in tokens.
        original_context_length: usize,
        /// Whether the bounds between them are whole numbers of frequencies.
        truncate: bool,
    },
    /// The first frequencies of a whole head; the others do not turn.
    Proportional {
        /// The part of them that turns.
        part: f32,
    },
    /// One divisor per frequency, as GGUF files carry them (`rope_freqs.weight`).
    Factors {
        /// Half as many divisors as elements are rotated.
        factors: Vec<f32>,
    },
}

impl Rope {
    /// Elements of a head of `head_dim` elements that are rotated.
    pub fn rotated_of(&self, head_dim: usize) -> usize {
        self.rotated.unwrap_or(head_dim)
    }

    /// Checks the settings for heads of `head_dim` elements.
    pub(super) fn validate(&self, head_dim: usize) -> Result<(), ConfigError> {
        let rotated = self.rotated_of(head_dim);
        let field = if self.rotated.is_some() { "rope.rotated (partial_rotary_factor)" } else { "head_dim" };
        size(field, rotated, head_dim)?;
        check(field, rotated, rotated.is_multiple_of(2), "an even number")?;
        positive("rope.magnitude (attention_factor)", self.magnitude)?;
        positive("rope.theta (rope_theta)", self.theta)?;
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("rope.factor", *factor),
            RopeScaling::Proportional { part } => {
                check("rope.part (partial_rotary_factor)", part, *part > 0.0 && *part <= 1.0, "above 0, up to 1")
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_length } => {
                positive("rope.factor", *factor)?;
                positive("rope.low_freq_factor", *low_freq_factor)?;
                let above = high_freq_factor.is_finite() && high_freq_factor > low_freq_factor;
                check("rope.high_freq_factor", high_freq_factor, above, "a number above low_freq_factor")?;
                size("rope.original_context_length", *original_context_length, MAX_CONTEXT)
            }
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context_length, .. } => {
                positive("rope.factor", *factor)?;
                positive("rope.beta_slow", *beta_slow)?;
                let above = beta_fast.is_finite() && beta_fast > beta_slow;
                check("rope.beta_fast", beta_fast, above, "a number above beta_slow")?;
                check("rope.theta (rope_theta)", self.theta, self.theta > 1.0, "a number above 1")?;
                size("rope.original_context_length", *original_context_length, MAX_CONTEXT)
            }
            RopeScaling::Factors { factors } => {
                let expected = rotated / 2;
                let found = format!("{} numbers", factors.len());
                check("rope.factors", found, factors.len() == expected, &format!("{expected} numbers"))?;
                factors.iter().try_for_each(|&factor| positive("rope.factors", factor))
            }
        }
    }
}

fn one() -> f32 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(number: &f32) -> bool {
    *number == 1.0
}
