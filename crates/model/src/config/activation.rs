//! What the gate of a feed-forward network goes through.

use super::ConfigError;
use super::range::positive;
use serde::{Deserialize, Serialize};

/// How gate and up become an inner row (<https://arxiv.org/abs/2002.05202>).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// gate × σ(gate) × up: SwiGLU.
    Silu,
    /// GELU(gate) × up, with the approximation by tanh: GeGLU.
    GeluTanh,
    /// gate × σ(alpha × gate) × (up + 1), gate at most `limit`, up within ± `limit`: that of gpt-oss.
    ClampedSilu {
        /// The gate's factor within σ.
        alpha: f32,
        /// The bound.
        limit: f32,
    },
}

impl Activation {
    pub(super) fn validate(self) -> Result<(), ConfigError> {
        match self {
            Activation::Silu | Activation::GeluTanh => Ok(()),
            Activation::ClampedSilu { alpha, limit } => {
                positive("activation.alpha", alpha)?;
                positive("activation.limit (swiglu_limit)", limit)
            }
        }
    }
}
