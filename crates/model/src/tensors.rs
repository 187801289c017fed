//! Which tensors a model has, by the names that Hugging Face uses (canonical here, whatever the file's format), their
//! shapes, and what they are for.

use crate::{FeedForward, Layers, ModelConfig};
use std::collections::HashMap;

/// The embedding table, `(vocabulary, hidden)`; the head too, where they are tied.
pub const EMBEDDING: &str = "model.embed_tokens.weight";
/// The head, `(vocabulary, hidden)`.
pub const HEAD: &str = "lm_head.weight";
/// The norm before the head, `(hidden)`.
pub const FINAL_NORM: &str = "model.norm.weight";

/// What a tensor is for; decides how it is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The embedding table.
    Embedding,
    /// The head's matrix.
    Head,
    /// A matrix of a layer.
    Matrix,
    /// A norm's weights or a bias: one row.
    Vector,
}

/// A tensor that a model has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// Rows and columns of a matrix, elements of a vector.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
}

/// The name of a layer's tensor.
pub fn layer_tensor(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}

/// The name of the tensor that is the head's matrix.
pub fn head_tensor(config: &ModelConfig) -> &'static str {
    if config.tied_embeddings { EMBEDDING } else { HEAD }
}

/// A matrix of a layer, with the bias that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// Its name within the layer.
    pub part: &'static str,
    /// Elements that come out.
    pub rows: usize,
    /// Elements that go in.
    pub columns: usize,
    /// Whether a bias of `rows` elements is added.
    pub bias: bool,
}

/// The matrices of a layer, in the order of their use.
///
/// # Panics
/// When the model has no such layer.
pub fn matrices(config: &ModelConfig, layer: usize) -> [Matrix; 7] {
    let (hidden, q, kv) = (config.hidden_size, config.q_width(), config.kv_width());
    let FeedForward::Dense { width } = config.layers[layer].feed_forward;
    let matrix = |part, rows, columns, bias| Matrix { part, rows, columns, bias };
    [
        matrix("self_attn.q_proj", q, hidden, config.qkv_bias),
        matrix("self_attn.k_proj", kv, hidden, config.qkv_bias),
        matrix("self_attn.v_proj", kv, hidden, config.qkv_bias),
        matrix("self_attn.o_proj", hidden, q, config.o_bias),
        matrix("mlp.gate_proj", width, hidden, config.mlp_bias),
        matrix("mlp.up_proj", width, hidden, config.mlp_bias),
        matrix("mlp.down_proj", hidden, width, config.mlp_bias),
    ]
}

/// The norms of every layer, by their names within it and their elements.
pub fn norms(config: &ModelConfig) -> Vec<(&'static str, usize)> {
    let hidden = config.hidden_size;
    let mut norms = vec![("input_layernorm.weight", hidden), ("post_attention_layernorm.weight", hidden)];
    if config.qk_norm {
        norms.extend(["self_attn.q_norm.weight", "self_attn.k_norm.weight"].map(|part| (part, config.head_dim)));
    }
    norms
}

/// The tensors of a stage, in the order of their use. A tied head's matrix is listed once, as the embedding, where the
/// stage has both.
pub fn of_stage(config: &ModelConfig, layers: Layers) -> Vec<Expected> {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize], role| tensors.push(Expected { name, shape: shape.to_vec(), role });
    let hidden = config.hidden_size;
    if layers.has_embedding() {
        add(EMBEDDING.into(), &[config.vocab_size, hidden], Role::Embedding);
    }
    for layer in layers.range() {
        for Matrix { part, rows, columns, bias } in matrices(config, layer) {
            add(layer_tensor(layer, &format!("{part}.weight")), &[rows, columns], Role::Matrix);
            if bias {
                add(layer_tensor(layer, &format!("{part}.bias")), &[rows], Role::Vector);
            }
        }
        for (part, size) in norms(config) {
            add(layer_tensor(layer, part), &[size], Role::Vector);
        }
    }
    if layers.has_head(config.layers.len()) {
        add(FINAL_NORM.into(), &[hidden], Role::Vector);
        if !(config.tied_embeddings && layers.has_embedding()) {
            add(head_tensor(config).into(), &[config.vocab_size, hidden], Role::Head);
        }
    }
    tensors
}

/// The tensors of a whole model by name.
pub fn of_model(config: &ModelConfig) -> HashMap<String, Expected> {
    of_stage(config, Layers::all(config.layers.len())).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect()
}
