//! The metadata of GGUF files, as llama.cpp's converter writes it and its loaders read it
//! (<https://github.com/ggml-org/llama.cpp>: `conversion`, `src/models`).
//!
//! The metadata is put into the words of config.json, so that a family's rules are in one place ([`super::hf`]). What the
//! converter changes in the tensors is put right afterwards, by what the file holds ([`stored`]).

mod families;
mod metadata;
mod rope;
mod stored;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use families::FAMILIES;
pub(crate) use metadata::Metadata;

use super::{ConfigError, ModelConfig, check_layers, hf};
use crate::gguf::Value;
use families::Family;
use serde_json::json;
use std::collections::HashMap;

/// What of a file's tensors tells how the model is computed.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The shapes by our names.
    pub(crate) shapes: HashMap<String, Vec<usize>>,
    /// Divisors of the frequencies: for all contexts, for long and for short ones.
    pub(crate) factors: Factors,
}

/// Divisors of the position embedding's frequencies.
#[derive(Debug, Default)]
pub(crate) struct Factors {
    pub(crate) all: Option<Vec<f32>>,
    pub(crate) long: Option<Vec<f32>>,
    pub(crate) short: Option<Vec<f32>>,
}

impl Held {
    fn has(&self, layer: usize, part: &str) -> bool {
        self.shapes.contains_key(&crate::tensors::layer_tensor(layer, part))
    }

    fn rows(&self, name: &str) -> Result<usize, ConfigError> {
        self.shapes.get(name).and_then(|shape| shape.first().copied()).ok_or_else(|| ConfigError::missing(name))
    }
}

/// Layers of the model, and those behind them that predict several tokens at once.
pub(crate) fn layer_counts(metadata: &Metadata<'_>) -> Result<(usize, usize), ConfigError> {
    const PREDICTING: &str = "nextn_predict_layers";
    let (blocks, predicting) = (metadata.needed("block_count")?, metadata.size(PREDICTING)?.unwrap_or(0));
    let layers = blocks.checked_sub(predicting).ok_or_else(|| {
        ConfigError::invalid(metadata.name(PREDICTING), predicting, format!("at most block_count, {blocks}"))
    })?;
    check_layers(layers)?;
    Ok((layers, predicting))
}

/// Reads the description of a model.
///
/// # Errors
/// Names the key and what was expected.
pub(crate) fn read(metadata: &Metadata<'_>, held: &Held) -> Result<ModelConfig, ConfigError> {
    let family = Family::of(metadata)?;
    let (layers, _) = layer_counts(metadata)?;
    let described = described(metadata, held, &family, layers)?;
    let mut config = hf::read(&described, None, "metadata")?;
    stored::adapt(&mut config, metadata, held, &family)?;
    (config.bos, config.eos) = ends(metadata);
    metadata.refuse_unasked()?;
    config.validate()?;
    Ok(config)
}

/// The description in the words of config.json.
fn described(
    metadata: &Metadata<'_>,
    held: &Held,
    family: &Family,
    layers: usize,
) -> Result<serde_json::Value, ConfigError> {
    let (hidden, heads) = (metadata.needed("embedding_length")?, metadata.needed("attention.head_count")?);
    let mut words = json!({
        "architectures": [family.class],
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": metadata.needed("context_length")?,
        "vocab_size": held.rows(crate::tensors::EMBEDDING)?,
        "tie_word_embeddings": !held.shapes.contains_key(crate::tensors::HEAD),
        "rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
        "rope_parameters": rope::parameters(metadata, held, family)?,
        // How many elements of a head turn is a key of its own.
        "partial_rotary_factor": 1.0,
    });
    family.describe(&mut words, metadata, held, layers)?;
    Ok(words)
}

/// The token that begins a sequence, and those that end one.
fn ends(metadata: &Metadata<'_>) -> (Option<u32>, Vec<u32>) {
    let token = |key: &str| match metadata.values.get(key) {
        Some(Value::U32(token)) => Some(*token),
        _ => None,
    };
    let mut eos: Vec<u32> =
        ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"].into_iter().filter_map(token).collect();
    eos.sort_unstable();
    eos.dedup();
    (token("tokenizer.ggml.bos_token_id"), eos)
}
