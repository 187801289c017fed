//! Which tensors a model has, by the names that Hugging Face uses (canonical here, whatever the file's format), their
//! shapes, and what they are for.

mod layer;

pub use layer::{Block, LayerTensor, of_layer};

use crate::{Layers, ModelConfig, PerLayer};
use std::collections::HashMap;

/// The embedding table, `(vocabulary, hidden)`; the head too, where they are tied.
pub const EMBEDDING: &str = "model.embed_tokens.weight";
/// The head, `(vocabulary, hidden)`.
pub const HEAD: &str = "lm_head.weight";
/// The norm before the head, `(hidden)`.
pub const FINAL_NORM: &str = "model.norm.weight";

/// The table of the layers' rows, `(vocabulary, layers × width)`.
pub const PER_LAYER_TABLE: &str = "model.embed_tokens_per_layer.weight";
/// What makes the layers' rows of the residual stream, `(layers × width, hidden)`; without `.weight`.
pub const PER_LAYER_MATRIX: &str = "model.per_layer_model_projection";
/// The norm of a layer's row, `(width)`.
pub const PER_LAYER_NORM: &str = "model.per_layer_projection_norm.weight";

/// What a tensor is for; decides how it is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The embedding table.
    Embedding,
    /// Another table of which rows are looked up by token id.
    Table,
    /// The head's matrix.
    Head,
    /// A matrix of a layer.
    Matrix,
    /// A matrix of a layer that is stored transposed, or several of one shape.
    Transposed,
    /// A matrix of a layer that is never quantized while loading: one that chooses experts, or of which parts are used
    /// in several ways.
    Plain,
    /// A norm's weights or biases: never quantized.
    Vector,
    /// Few numbers that are held in f32 whatever the stage computes in: those of a recurrence.
    Float,
}

/// A tensor that a model has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// Rows and columns of a matrix, elements of a vector; first the experts, where it is of all of a layer's.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
}

/// Whether a tensor belongs to a layer, and not to the embedding or the head.
pub fn is_of_layer(name: &str) -> bool {
    name.starts_with("model.layers.")
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
    let hidden = config.hidden_size;
    if layers.has_embedding() {
        add(EMBEDDING.into(), &[config.vocab_size, hidden], Role::Embedding);
        if let Some(PerLayer { width, vocab_size, .. }) = config.per_layer {
            let all = config.layers.len() * width;
            add(PER_LAYER_TABLE.into(), &[vocab_size, all], Role::Table);
            add(format!("{PER_LAYER_MATRIX}.weight"), &[all, hidden], Role::Matrix);
            add(PER_LAYER_NORM.into(), &[width], Role::Vector);
        }
    }
    for layer in layers.range() {
        for LayerTensor { part, shape, role, .. } in of_layer(config, layer) {
            add(layer_tensor(layer, &part), &shape, role);
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
