//! One layer: a token mixer and a feed-forward network.

use super::attention::{Attention, Step};
use super::mlp::Mlp;
use super::norm::Norm;
use super::rope::Ropes;
use super::weights::Loader;
use crate::LoadError;
use candle_core::{Result, Tensor};
use gogrid_model::{FeedForward, LayerSpec, Mixer, Norms, tensors};

/// Mixer and feed-forward network, each added to the residual stream.
#[derive(Debug)]
pub(crate) struct Block {
    before_mixer: Norm,
    mixer: MixerBlock,
    before_network: Norm,
    network: Mlp,
}

/// What mixes a layer's tokens.
#[derive(Debug)]
enum MixerBlock {
    Attention(Attention),
}

impl Block {
    /// Loads a layer; `index` is its place within the stage.
    pub(crate) fn load(
        loader: &Loader<'_>,
        ropes: &Ropes,
        layer: usize,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let LayerSpec { mixer, feed_forward, norms: Norms::Before } = &loader.config().layers[layer];
        let norm = |part: &str| loader.norm(&tensors::layer_tensor(layer, part));
        Ok(Block {
            before_mixer: norm("input_layernorm.weight")?,
            mixer: match mixer {
                Mixer::Attention(spec) => MixerBlock::Attention(Attention::load(loader, spec, ropes, layer, index)?),
            },
            before_network: norm("post_attention_layernorm.weight")?,
            network: match feed_forward {
                FeedForward::Dense(spec) => Mlp::load(loader, spec, layer)?,
            },
        })
    }

    /// The residual stream after the mixer: `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn mix(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let normed = self.before_mixer.forward(hidden)?;
        let mixed = match &self.mixer {
            MixerBlock::Attention(attention) => attention.forward(&normed, step)?,
        };
        hidden + mixed
    }

    /// The feed-forward network's inner rows: `// (rows, hidden) → (rows, width)`
    pub(crate) fn up(&self, hidden: &Tensor) -> Result<Tensor> {
        self.network.up(&self.before_network.forward(hidden)?)
    }

    /// The residual stream after the layer: `// (rows, hidden) + (rows, width) → (rows, hidden)`
    pub(crate) fn down(&self, hidden: &Tensor, gated: &Tensor) -> Result<Tensor> {
        hidden + self.network.down(gated)?
    }
}
