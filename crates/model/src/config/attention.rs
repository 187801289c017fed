//! Attention, as a layer describes it.

use super::range::{MAX_CONTEXT, MAX_WIDTH, check, positive, size};
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
    /// What scores are multiplied by; `None`: 1/√`head_dim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// How queries grow with their position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_scale: Option<PositionScale>,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// A bias on the attention's output.
    pub o_bias: bool,
    /// RMS norms of q and k.
    pub qk_norm: QkNorm,
    /// A score for each head that takes part in the softmax and belongs to no token
    /// (<https://arxiv.org/abs/2309.17453>).
    #[serde(default, skip_serializing_if = "is_false")]
    pub sinks: bool,
    /// Where values come from.
    #[serde(default, skip_serializing_if = "Values::is_own")]
    pub values: Values,
    /// The earlier layer whose keys and values are used; `None`: the layer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<usize>,
    /// Whether q, k and v are one tensor in the model's files, one above the other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fused: bool,
    /// Whether the output goes through a gate, whose rows follow those of q for each head in turn.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gated: bool,
}

/// Queries that grow with their position, step by step: by `1 + beta × ln(1 + ⌊position / every⌋)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionScale {
    /// How fast they grow.
    pub beta: f32,
    /// Tokens of a step.
    pub every: usize,
}

/// Where an attention's values come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// A matrix of their own.
    #[default]
    Own,
    /// A matrix of their own, then an RMS norm of each head that has no weights.
    Normed,
    /// The product that keys are made of, then such a norm.
    NormedKeys,
}

impl Values {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_own(&self) -> bool {
        *self == Values::Own
    }
}

/// RMS norms of queries and keys, before they are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// None.
    None,
    /// Of each head, with weights that all heads share.
    Head,
    /// Of all heads of a token together.
    Whole,
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

    /// How many of the products q, k and v it has.
    pub fn products(&self) -> usize {
        match (self.shares, self.values) {
            (Some(_), _) => 1,
            (None, Values::NormedKeys) => 2,
            (None, Values::Own | Values::Normed) => 3,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        size("heads (num_attention_heads)", self.heads, MAX_WIDTH)?;
        size("kv_heads (num_key_value_heads)", self.kv_heads, MAX_WIDTH)?;
        size("head_dim", self.head_dim, MAX_WIDTH)?;
        size("heads × head_dim", self.heads.saturating_mul(self.head_dim), MAX_WIDTH)?;
        let divides = self.heads.is_multiple_of(self.kv_heads);
        let divisor = format!("a divisor of heads, {}", self.heads);
        check("kv_heads (num_key_value_heads)", self.kv_heads, divides, &divisor)?;
        let interleaved = self.rope.as_ref().is_some_and(|rope| rope.interleaved);
        let alone = !(self.gated && (interleaved || self.fused));
        check("gated with fused or interleaved rows", self.gated, alone, "one of them")?;
        let apart = !(self.fused && interleaved);
        check("fused (q, k and v in one tensor) with interleaved rows", self.fused, apart, "one of them")?;
        if let Some(tokens) = self.window {
            size("sliding_window", tokens, MAX_CONTEXT)?;
        }
        let fits = !self.fused || self.products() == 3;
        check("fused", self.fused, fits, "false, as q, k and v are not all there")?;
        if let Some(scale) = self.scale {
            positive("attention.scale", scale)?;
        }
        if let Some(PositionScale { beta, every }) = self.position_scale {
            positive("position_scale.beta (llama_4_scaling_beta)", beta)?;
            size("position_scale.every", every, MAX_CONTEXT)?;
        }
        self.rope.as_ref().map_or(Ok(()), |rope| rope.validate(self.head_dim))
    }
}

/// Whether a flag is not set: such fields are not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn is_false(flag: &bool) -> bool {
    !*flag
}
