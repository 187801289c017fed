//! What one layer is: a token mixer, then a feed-forward network. Layers of a model may differ.

use super::range::{MAX_WIDTH, size};
use super::{AttentionSpec, ConfigError};
use serde::{Deserialize, Serialize};

/// One layer of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSpec {
    /// How its tokens learn of those before them.
    pub mixer: Mixer,
    /// Its feed-forward network.
    pub feed_forward: FeedForward,
    /// Where its RMS norms are.
    pub norms: Norms,
}

/// How a layer's tokens learn of those before them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// Attention over keys and values in a cache.
    Attention(AttentionSpec),
}

/// A layer's feed-forward network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForward {
    /// Every token goes through all of it.
    Dense(DenseSpec),
}

/// A gated feed-forward network: gate and up `// (width, hidden)`, down `// (hidden, width)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseSpec {
    /// Its inner width.
    pub width: usize,
    /// Biases on gate, up and down.
    pub bias: bool,
}

/// Where a layer's RMS norms are: before what they belong to, behind it (before it is added to the residual stream).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norms {
    /// Before the mixer and before the feed-forward network.
    Before,
}

impl LayerSpec {
    /// The layer's attention, if it has one.
    pub fn attention(&self) -> Option<&AttentionSpec> {
        match &self.mixer {
            Mixer::Attention(attention) => Some(attention),
        }
    }

    /// The layer's attention, to change it.
    pub fn attention_mut(&mut self) -> Option<&mut AttentionSpec> {
        match &mut self.mixer {
            Mixer::Attention(attention) => Some(attention),
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match &self.mixer {
            Mixer::Attention(attention) => attention.validate()?,
        }
        match &self.feed_forward {
            FeedForward::Dense(dense) => size("intermediate_size", dense.width, MAX_WIDTH),
        }
    }
}

impl Mixer {
    /// Elements of a token's rows within the mixer: what it makes of the residual stream, before the last product.
    pub fn width(&self) -> usize {
        match self {
            Mixer::Attention(attention) => attention.q_width() + 2 * attention.kv_width(),
        }
    }
}

impl FeedForward {
    /// Elements of a token's inner row.
    pub fn width(&self) -> usize {
        match self {
            FeedForward::Dense(dense) => dense.width,
        }
    }
}
