//! Attention, as a layer describes it.

use super::range::{MAX_CONTEXT, MAX_WIDTH, check, size};
use super::{ConfigError, Rope};
use serde::{Deserialize, Serialize};

/// Attention of queries over the keys and values of tokens before them (<https://arxiv.org/abs/2305.13245>).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The most tokens that a token sees, itself included; `None`: all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Position embedding of q and k; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope: Option<Rope>,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// A bias on the attention's output.
    pub o_bias: bool,
    /// RMS norms of q and k.
    pub qk_norm: QkNorm,
}

/// RMS norms of queries and keys, before they are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// None.
    None,
    /// Of each head, with weights that all heads share.
    Head,
}

impl AttentionSpec {
    /// Width of q.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of k, and of v.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        size("heads (num_attention_heads)", self.heads, MAX_WIDTH)?;
        size("kv_heads (num_key_value_heads)", self.kv_heads, MAX_WIDTH)?;
        size("head_dim", self.head_dim, MAX_WIDTH)?;
        size("heads × head_dim", self.heads.saturating_mul(self.head_dim), MAX_WIDTH)?;
        let divides = self.heads.is_multiple_of(self.kv_heads);
        let divisor = format!("a divisor of heads, {}", self.heads);
        check("kv_heads (num_key_value_heads)", self.kv_heads, divides, &divisor)?;
        if let Some(tokens) = self.window {
            size("sliding_window", tokens, MAX_CONTEXT)?;
        }
        self.rope.as_ref().map_or(Ok(()), |rope| rope.validate(self.head_dim))
    }
}
