//! The tensors of one layer, block by block.

use super::Role;
use crate::{AttentionSpec, DenseSpec, FeedForward, LayerSpec, Mixer, ModelConfig, Norms, QkNorm};

/// A tensor of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTensor {
    /// Its name within the layer.
    pub part: String,
    /// Rows and columns of a matrix, elements of a vector.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// The part of the layer's work that it belongs to.
    pub block: Block,
}

/// A part of a layer's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The mixer, with its norm.
    Mixer,
    /// The first half of the feed-forward network, with its norm.
    Up,
    /// The second half.
    Down,
}

/// The tensors of a layer, in the order in which manifests list them: matrices with their biases, then norms.
///
/// # Panics
/// When the model has no such layer.
pub fn of_layer(config: &ModelConfig, layer: usize) -> Vec<LayerTensor> {
    let LayerSpec { mixer, feed_forward, norms } = &config.layers[layer];
    let mut list = List { tensors: Vec::new(), hidden: config.hidden_size };
    match mixer {
        Mixer::Attention(attention) => list.attention(attention),
    }
    match feed_forward {
        FeedForward::Dense(dense) => list.dense(dense),
    }
    list.norms(*norms);
    match mixer {
        Mixer::Attention(attention) => list.qk_norms(attention),
    }
    list.tensors
}

/// A list under way.
struct List {
    tensors: Vec<LayerTensor>,
    /// Width of the residual stream.
    hidden: usize,
}

impl List {
    /// A matrix `// (rows, columns)` and its bias.
    fn matrix(&mut self, block: Block, part: &str, [rows, columns]: [usize; 2], bias: bool) {
        let (shape, role) = (vec![rows, columns], Role::Matrix);
        self.tensors.push(LayerTensor { part: format!("{part}.weight"), shape, role, block });
        if bias {
            self.vector(block, format!("{part}.bias"), rows);
        }
    }

    fn vector(&mut self, block: Block, part: impl Into<String>, size: usize) {
        self.tensors.push(LayerTensor { part: part.into(), shape: vec![size], role: Role::Vector, block });
    }

    fn attention(&mut self, spec: &AttentionSpec) {
        let (hidden, q, kv) = (self.hidden, spec.q_width(), spec.kv_width());
        for (part, rows) in [("q", q), ("k", kv), ("v", kv)] {
            self.matrix(Block::Mixer, &format!("self_attn.{part}_proj"), [rows, hidden], spec.qkv_bias);
        }
        self.matrix(Block::Mixer, "self_attn.o_proj", [hidden, q], spec.o_bias);
    }

    fn qk_norms(&mut self, spec: &AttentionSpec) {
        match spec.qk_norm {
            QkNorm::None => {}
            QkNorm::Head => {
                for part in ["self_attn.q_norm.weight", "self_attn.k_norm.weight"] {
                    self.vector(Block::Mixer, part, spec.head_dim);
                }
            }
        }
    }

    fn dense(&mut self, spec: &DenseSpec) {
        let (hidden, width) = (self.hidden, spec.width);
        self.matrix(Block::Up, "mlp.gate_proj", [width, hidden], spec.bias);
        self.matrix(Block::Up, "mlp.up_proj", [width, hidden], spec.bias);
        self.matrix(Block::Down, "mlp.down_proj", [hidden, width], spec.bias);
    }

    fn norms(&mut self, norms: Norms) {
        match norms {
            Norms::Before => {
                self.vector(Block::Mixer, "input_layernorm.weight", self.hidden);
                self.vector(Block::Up, "post_attention_layernorm.weight", self.hidden);
            }
        }
    }
}
