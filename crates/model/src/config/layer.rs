//! What one layer is: a token mixer, then a feed-forward network. Layers of a model may differ.

use super::attention::is_false;
use super::range::{MAX_WIDTH, size};
use super::{
    Activation, AttentionSpec, ConfigError, DeltaNetSpec, ExpertsSpec, LatentSpec, Rope, SharedExpert, ShortConvSpec,
};
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
    /// Whether a number of its own multiplies what it puts out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scaled: bool,
}

/// How a layer's tokens learn of those before them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// Attention over keys and values in a cache.
    Attention(AttentionSpec),
    /// The same over short rows that keys and values follow from.
    LatentAttention(LatentSpec),
    /// A matrix that sums the tokens up.
    DeltaNet(DeltaNetSpec),
    /// A convolution over the last tokens.
    ShortConv(ShortConvSpec),
}

/// A layer's feed-forward network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForward {
    /// Every token goes through all of it.
    Dense(DenseSpec),
    /// Every token goes through a few parts of it.
    Experts(ExpertsSpec),
}

/// A gated feed-forward network: gate and up `// (width, hidden)`, down `// (hidden, width)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseSpec {
    /// Its inner width.
    pub width: usize,
    /// What the gate goes through.
    pub activation: Activation,
    /// Biases on gate, up and down.
    pub bias: bool,
    /// Whether gate and up are one tensor in the model's files, one above the other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fused: bool,
}

/// Where a layer's RMS norms are: before what they belong to, behind it (before it is added to the residual stream).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norms {
    /// Before the mixer and before the feed-forward network.
    Before,
    /// Behind each of them.
    After,
    /// Before and behind each.
    Both,
}

impl Norms {
    /// Whether there are norms before mixer and feed-forward network.
    pub fn before(self) -> bool {
        self != Norms::After
    }

    /// Whether there are norms behind mixer and feed-forward network.
    pub fn after(self) -> bool {
        self != Norms::Before
    }
}

impl LayerSpec {
    /// The layer's attention, if it has one.
    pub fn attention(&self) -> Option<&AttentionSpec> {
        match &self.mixer {
            Mixer::Attention(attention) => Some(attention),
            Mixer::LatentAttention(_) | Mixer::DeltaNet(_) | Mixer::ShortConv(_) => None,
        }
    }

    /// The layer's attention, to change it.
    pub fn attention_mut(&mut self) -> Option<&mut AttentionSpec> {
        match &mut self.mixer {
            Mixer::Attention(attention) => Some(attention),
            Mixer::LatentAttention(_) | Mixer::DeltaNet(_) | Mixer::ShortConv(_) => None,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match &self.mixer {
            Mixer::Attention(attention) => attention.validate()?,
            Mixer::LatentAttention(latent) => latent.validate()?,
            Mixer::DeltaNet(delta_net) => delta_net.validate()?,
            Mixer::ShortConv(conv) => conv.validate()?,
        }
        match &self.feed_forward {
            FeedForward::Dense(dense) => {
                size("intermediate_size", dense.width, MAX_WIDTH)?;
                dense.activation.validate()
            }
            FeedForward::Experts(experts) => experts.validate(),
        }
    }
}

impl Mixer {
    /// Elements of a token's rows within the mixer: what it makes of the residual stream, before the last product.
    pub fn width(&self, hidden_size: usize) -> usize {
        match self {
            Mixer::Attention(attention) => {
                let gate = if attention.gated { attention.q_width() } else { 0 };
                attention.q_width() + gate + 2 * attention.kv_width()
            }
            Mixer::DeltaNet(delta_net) => delta_net.channels() + delta_net.value_width(),
            Mixer::ShortConv(_) => 3 * hidden_size,
            // Queries, the same over short rows, and the sums of these.
            Mixer::LatentAttention(latent) => latent.heads * (latent.key_dim() + latent.cached() + latent.kv_rank),
        }
    }

    /// Heads whose scores are computed.
    pub fn heads(&self) -> usize {
        match self {
            Mixer::Attention(attention) => attention.heads,
            Mixer::LatentAttention(latent) => latent.heads,
            Mixer::DeltaNet(_) | Mixer::ShortConv(_) => 0,
        }
    }

    /// The position embedding, and the width of the heads that it rotates.
    pub fn rope(&self) -> Option<(&Rope, usize)> {
        match self {
            Mixer::Attention(attention) => Some((attention.rope.as_ref()?, attention.head_dim)),
            Mixer::LatentAttention(latent) => Some((&latent.rope, latent.rotated_dim)),
            Mixer::DeltaNet(_) | Mixer::ShortConv(_) => None,
        }
    }

    /// Multiplications for each token that a token sees: its scores and its share in the weighted sum.
    pub(crate) fn per_seen(&self) -> usize {
        match self {
            Mixer::Attention(attention) => 2 * attention.q_width(),
            Mixer::LatentAttention(latent) => latent.heads * (latent.cached() + latent.kv_rank),
            Mixer::DeltaNet(_) | Mixer::ShortConv(_) => 0,
        }
    }
}

impl FeedForward {
    /// Elements of a token's inner rows, of all parts that it goes through.
    pub fn width(&self) -> usize {
        match self {
            FeedForward::Dense(dense) => dense.width,
            FeedForward::Experts(experts) => {
                let shared = experts.shared.map_or(0, |shared| shared.width);
                experts.router.used.saturating_mul(experts.width).saturating_add(shared)
            }
        }
    }

    /// Rows of the residual stream's width that a token has in it: one for each of its experts.
    pub fn rows(&self) -> usize {
        match self {
            FeedForward::Dense(_) => 1,
            FeedForward::Experts(experts) => experts.router.used + usize::from(experts.shared.is_some()),
        }
    }
}

impl SharedExpert {
    /// The network as a description of its own.
    pub fn network(&self, activation: Activation) -> DenseSpec {
        DenseSpec { width: self.width, activation, bias: false, fused: false }
    }
}
