//! Which tensors a model has, by the names that Hugging Face uses (canonical here, whatever the file's format), their
//! shapes, and what they are for.

use crate::{Layers, ModelConfig};
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
    pub name: String,
    pub shape: Vec<usize>,
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

/// The tensors of a stage, in the order of their use. A tied head's matrix is listed once, as the embedding, where the
/// stage has both.
pub fn of_stage(config: &ModelConfig, layers: Layers) -> Vec<Expected> {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize], role| tensors.push(Expected { name, shape: shape.to_vec(), role });
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.q_width(), config.kv_width());
    if layers.has_embedding() {
        add(EMBEDDING.into(), &[config.vocab_size, hidden], Role::Embedding);
    }
    for layer in layers.range() {
        let matrices = [
            ("self_attn.q_proj", q, hidden, config.qkv_bias),
            ("self_attn.k_proj", kv, hidden, config.qkv_bias),
            ("self_attn.v_proj", kv, hidden, config.qkv_bias),
            ("self_attn.o_proj", hidden, q, config.o_bias),
            ("mlp.gate_proj", ffn, hidden, config.mlp_bias),
            ("mlp.up_proj", ffn, hidden, config.mlp_bias),
            ("mlp.down_proj", hidden, ffn, config.mlp_bias),
        ];
        for (part, rows, columns, bias) in matrices {
            add(layer_tensor(layer, &format!("{part}.weight")), &[rows, columns], Role::Matrix);
            if bias {
                add(layer_tensor(layer, &format!("{part}.bias")), &[rows], Role::Vector);
            }
        }
        add(layer_tensor(layer, "input_layernorm.weight"), &[hidden], Role::Vector);
        add(layer_tensor(layer, "post_attention_layernorm.weight"), &[hidden], Role::Vector);
        if config.qk_norm {
            add(layer_tensor(layer, "self_attn.q_norm.weight"), &[config.head_dim], Role::Vector);
            add(layer_tensor(layer, "self_attn.k_norm.weight"), &[config.head_dim], Role::Vector);
        }
    }
    if layers.has_head(config.layers) {
        add(FINAL_NORM.into(), &[hidden], Role::Vector);
        if !(config.tied_embeddings && layers.has_embedding()) {
            add(head_tensor(config).into(), &[config.vocab_size, hidden], Role::Head);
        }
    }
    tensors
}

/// The tensors of a whole model by name.
pub fn of_model(config: &ModelConfig) -> HashMap<String, Expected> {
    of_stage(config, Layers::all(config.layers)).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect()
}
