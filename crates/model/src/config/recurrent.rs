//! Recurrent mixers, as a layer describes them.

use super::ConfigError;
use super::attention::is_false;
use super::range::{MAX_WIDTH, check, size};
use serde::{Deserialize, Serialize};

/// Kernels of short convolutions, in tokens: one of a single token would keep nothing of those before.
const KERNELS: std::ops::RangeInclusive<usize> = 2..=64;

/// Gated DeltaNet (<https://arxiv.org/abs/2412.06464>) behind a short convolution of queries, keys and values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaNetSpec {
    /// Heads of queries and keys; each serves `heads / key_heads` heads.
    pub key_heads: usize,
    /// Width of a query and of a key.
    pub key_dim: usize,
    /// Heads, each with values of its own.
    pub heads: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Tokens that the convolution sees, the token itself included.
    pub kernel: usize,
    /// Whether the rows of q, k, v and the output's gate z are one matrix, `[q, k, v, z]` for each key head in turn.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fused_qkvz: bool,
    /// Whether the rows of strength (b) and decay (a) are one matrix, `[b, a]` for each key head in turn.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fused_ba: bool,
    /// Whether head `h` belongs to key head `h % key_heads`, as in GGUF files; else those of one are neighbours.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tiled_heads: bool,
    /// Whether `A_log` holds the decay's factor itself, −exp(`A_log`), as in GGUF files.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plain_decay: bool,
}

/// A short convolution between two gates, as in LFM2 (<https://arxiv.org/abs/2511.23404>).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShortConvSpec {
    /// Tokens that the convolution sees, the token itself included.
    pub kernel: usize,
    /// Biases on its matrices and on the convolution.
    pub bias: bool,
}

fn check_kernel(field: &str, kernel: usize) -> Result<(), ConfigError> {
    check(field, kernel, KERNELS.contains(&kernel), &format!("{} to {}", KERNELS.start(), KERNELS.end()))
}

impl DeltaNetSpec {
    /// Width of all queries, and of all keys.
    pub fn key_width(&self) -> usize {
        self.key_heads * self.key_dim
    }

    /// Width of all values, and of the output's gate.
    pub fn value_width(&self) -> usize {
        self.heads * self.value_dim
    }

    /// Channels of the convolution: queries, keys and values.
    pub fn channels(&self) -> usize {
        2 * self.key_width() + self.value_width()
    }

    /// Elements of the matrices that sum the tokens up.
    pub fn matrix(&self) -> usize {
        self.heads * self.key_dim * self.value_dim
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        size("key_heads (linear_num_key_heads)", self.key_heads, MAX_WIDTH)?;
        size("key_dim (linear_key_head_dim)", self.key_dim, MAX_WIDTH)?;
        size("heads (linear_num_value_heads)", self.heads, MAX_WIDTH)?;
        size("value_dim (linear_value_head_dim)", self.value_dim, MAX_WIDTH)?;
        size("key_heads × key_dim", self.key_heads.saturating_mul(self.key_dim), MAX_WIDTH)?;
        size("heads × value_dim", self.heads.saturating_mul(self.value_dim), MAX_WIDTH)?;
        check_kernel("kernel (linear_conv_kernel_dim)", self.kernel)?;
        let expected = format!("a multiple of key heads, {}", self.key_heads);
        let divides = self.heads.is_multiple_of(self.key_heads);
        check("heads (linear_num_value_heads)", self.heads, divides, &expected)
    }
}

impl ShortConvSpec {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_kernel("kernel (conv_L_cache)", self.kernel)
    }
}
