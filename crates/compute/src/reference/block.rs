//! One transformer layer.

use super::attention::{Attention, Step};
use super::mlp::Mlp;
use super::weights::Loader;
use crate::LoadError;
use candle_core::{Result, Tensor};
use candle_nn::ops::rms_norm;
use gogrid_model::tensors;

/// Attention and feed-forward network, each behind a norm and added to the residual stream.
#[derive(Debug)]
pub(crate) struct Block {
    attention_norm: Tensor,
    attention: Attention,
    mlp_norm: Tensor,
    mlp: Mlp,
    norm_eps: f32,
}

impl Block {
    /// Loads a layer; `index` is its place within the stage.
    pub(crate) fn load(loader: &Loader<'_>, layer: usize, index: usize) -> std::result::Result<Self, LoadError> {
        Ok(Block {
            attention_norm: loader.norm(&tensors::layer_tensor(layer, "input_layernorm.weight"))?,
            attention: Attention::load(loader, layer, index)?,
            mlp_norm: loader.norm(&tensors::layer_tensor(layer, "post_attention_layernorm.weight"))?,
            mlp: Mlp::load(loader, layer)?,
            norm_eps: loader.config().norm_eps as f32,
        })
    }

    /// The residual stream after the attention: `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn attend(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let normed = rms_norm(hidden, &self.attention_norm, self.norm_eps)?;
        hidden + self.attention.forward(&normed, step)?
    }

    /// The feed-forward network's inner rows: `// (rows, hidden) → (rows, ffn)`
    pub(crate) fn up(&self, hidden: &Tensor) -> Result<Tensor> {
        self.mlp.up(&rms_norm(hidden, &self.mlp_norm, self.norm_eps)?)
    }

    /// The residual stream after the layer: `// (rows, hidden) + (rows, ffn) → (rows, hidden)`
    pub(crate) fn down(&self, hidden: &Tensor, gated: &Tensor) -> Result<Tensor> {
        hidden + self.mlp.down(gated)?
    }
}
