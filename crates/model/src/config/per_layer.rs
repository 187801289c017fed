//! Rows that a model gives each layer besides the residual stream, and keys and values that layers share. Both travel with
//! the activations.

use super::range::{MAX_VOCABULARY, MAX_WIDTH, check, size};
use super::{Activation, AttentionSpec, ConfigError, LayerSpec, ModelConfig};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Per-layer embeddings (<https://ai.google.dev/gemma/docs/gemma-3n>): behind its feed-forward network each layer is gated
/// by a short row of its own, made of the token and its embedding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerLayer {
    /// Width of a layer's row.
    pub width: usize,
    /// Token ids of the table.
    pub vocab_size: usize,
    /// What the gate goes through.
    pub activation: Activation,
}

impl PerLayer {
    pub(super) fn validate(&self, layers: usize) -> Result<(), ConfigError> {
        size("per_layer.width (hidden_size_per_layer_input)", self.width, MAX_WIDTH)?;
        size("per_layer.width × layers", self.width.saturating_mul(layers), MAX_WIDTH)?;
        size("per_layer.vocab_size (vocab_size_per_layer_input)", self.vocab_size, MAX_VOCABULARY)?;
        self.activation.validate()
    }
}

impl ModelConfig {
    /// Layers share the keys and values of an earlier layer that has its own and looks at them in the same way.
    pub(super) fn validate_shares(&self) -> Result<(), ConfigError> {
        for (layer, own) in self.layers.iter().enumerate().filter_map(|(at, spec)| Some((at, spec.attention()?))) {
            let Some(with) = own.shares else { continue };
            let source = self.layers.get(with).filter(|_| with < layer).and_then(LayerSpec::attention);
            let fits = source.is_some_and(|source| {
                let shape = |spec: &AttentionSpec| (spec.kv_heads, spec.head_dim, spec.window);
                source.shares.is_none() && shape(source) == shape(own)
            });
            check("shares", with, fits, "an earlier layer with the same heads and window")?;
        }
        Ok(())
    }

    /// The layers before these whose keys and values they use, in ascending order. A stage keeps them, too; their rows
    /// arrive with the activations.
    ///
    /// # Panics
    /// When the model has no such layers.
    pub fn shared_before(&self, layers: Range<usize>) -> Vec<usize> {
        let used = self.layers[layers.clone()].iter().filter_map(|layer| layer.attention()?.shares);
        let mut sources: Vec<usize> = used.filter(|source| *source < layers.start).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Elements of the row of a token that enters this layer from another machine: the residual stream, the rows of the
    /// layers from here on, and the keys and values of earlier layers that they use.
    ///
    /// # Panics
    /// When the model has no such layer.
    pub fn row_width(&self, layer: usize) -> usize {
        let layers = self.layers.len();
        let rows = self.per_layer.map_or(0, |per_layer| per_layer.width * (layers - layer));
        let shared = self.shared_before(layer..layers).into_iter();
        let shared = shared.filter_map(|source| self.layers[source].attention()).map(|spec| 2 * spec.kv_width());
        self.hidden_size + rows + shared.sum::<usize>()
    }

    /// Elements of the widest row that travels from one machine to the next.
    pub fn widest_row(&self) -> usize {
        (1..=self.layers.len()).map(|layer| self.row_width(layer)).max().unwrap_or(self.hidden_size)
    }
}
