//! Constant factors of a model.

use super::ConfigError;
use super::range::{check, positive};
use serde::{Deserialize, Serialize};

/// Constant factors; 1 where a model has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scales {
    /// What rows of the embedding table are multiplied by.
    pub embedding: f32,
    /// What a mixer's and a network's result is multiplied by before it is added to the residual stream.
    pub residual: f32,
    /// What logits are divided by.
    pub logit_divisor: f32,
    /// Within which logits are bent by tanh; `None`: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_cap: Option<f32>,
}

impl Default for Scales {
    fn default() -> Self {
        Scales { embedding: 1.0, residual: 1.0, logit_divisor: 1.0, logit_cap: None }
    }
}

impl Scales {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let factor =
            |field: &str, value: f32| check(field, value, value.is_finite() && value != 0.0, "a number other than 0");
        factor("scales.embedding (embedding_multiplier)", self.embedding)?;
        factor("scales.residual (residual_multiplier)", self.residual)?;
        positive("scales.logit_divisor (logits_scaling)", self.logit_divisor)?;
        self.logit_cap.map_or(Ok(()), |cap| positive("scales.logit_cap (final_logit_softcapping)", cap))
    }
}
