//! Multi-head latent attention, as a layer describes it.

use super::attention::is_false;
use super::range::{MAX_WIDTH, check, positive, size};
use super::{ConfigError, Rope};
use serde::{Deserialize, Serialize};

/// Multi-head latent attention (<https://arxiv.org/abs/2405.04434>, 2.1): what is cached of a token is one short row, from
/// which each head's keys and values follow, and a rotated key that all heads share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentSpec {
    /// Heads.
    pub heads: usize,
    /// Width of the row from which queries follow; `None`: they follow from the residual stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_rank: Option<usize>,
    /// Width of the row from which keys and values follow.
    pub kv_rank: usize,
    /// Width of the part of a head's query and key that is not rotated.
    pub plain_dim: usize,
    /// Width of the part that is rotated.
    pub rotated_dim: usize,
    /// Width of a head's value.
    pub value_dim: usize,
    /// Position embedding of the rotated part.
    pub rope: Rope,
    /// What scores are multiplied by; `None`: 1/√(`plain_dim` + `rotated_dim`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Biases on the products that make the short rows, and on the attention's output.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bias: bool,
    /// Whether what makes a head's keys and values of the short row are two tensors in the model's files: for keys
    /// `// (heads, kv_rank, plain_dim)`, for values `// (heads, value_dim, kv_rank)`. Else they are one, keys above values
    /// for each head.
    #[serde(default, skip_serializing_if = "is_false")]
    pub split: bool,
}

impl LatentSpec {
    /// Width of a head's query.
    pub fn key_dim(&self) -> usize {
        self.plain_dim + self.rotated_dim
    }

    /// Elements that are cached of a token.
    pub fn cached(&self) -> usize {
        self.kv_rank + self.rotated_dim
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        size("heads (num_attention_heads)", self.heads, MAX_WIDTH)?;
        size("q_rank (q_lora_rank)", self.q_rank.unwrap_or(1), MAX_WIDTH)?;
        size("kv_rank (kv_lora_rank)", self.kv_rank, MAX_WIDTH)?;
        size("plain_dim (qk_nope_head_dim)", self.plain_dim, MAX_WIDTH)?;
        size("rotated_dim (qk_rope_head_dim)", self.rotated_dim, MAX_WIDTH)?;
        let even = self.rotated_dim.is_multiple_of(2);
        check("rotated_dim (qk_rope_head_dim)", self.rotated_dim, even, "an even number")?;
        size("value_dim (v_head_dim)", self.value_dim, MAX_WIDTH)?;
        let widest = self.key_dim().max(self.value_dim).max(self.kv_rank);
        size("heads × head_dim", self.heads.saturating_mul(widest), MAX_WIDTH * 8)?;
        if let Some(scale) = self.scale {
            positive("attention.scale", scale)?;
        }
        self.rope.validate(self.rotated_dim)
    }
}
