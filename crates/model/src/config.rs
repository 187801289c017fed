//! What a model looks like: one description for all families, whose differences are fields. A model is a list of layers,
//! each a token mixer and a feed-forward network.

mod activation;
mod attention;
mod experts;
pub(crate) mod gguf;
mod hf;
mod json;
mod latent;
mod layer;
mod per_layer;
mod range;
mod recurrent;
mod rope;
mod scales;

pub use activation::Activation;
pub use attention::{AttentionSpec, PositionScale, QkNorm, Values};
pub use experts::{ExpertsSpec, ExpertsStored, Groups, RouterSpec, Score, SharedExpert};
pub use latent::LatentSpec;
pub use layer::{DenseSpec, FeedForward, LayerSpec, Mixer, Norms};
pub use per_layer::PerLayer;
pub use recurrent::{DeltaNetSpec, ShortConvSpec};
pub use rope::{Rope, RopeScaling};
pub use scales::Scales;

use range::{MAX_CONTEXT, MAX_EOS, MAX_LAYERS, MAX_VOCABULARY, MAX_WIDTH, check, size};
use serde::{Deserialize, Serialize};

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say all")]
pub enum Architecture {
    Llama,
    Mistral,
    Ministral3,
    Mixtral,
    Qwen2,
    Qwen3,
    Qwen3Moe,
    Gemma3,
    Gemma4,
    GptOss,
    DeepseekV3,
    Phi3,
    Glm4,
    Glm4Moe,
    Granite,
    #[serde(rename = "smollm3")]
    SmolLm3,
    Olmo2,
    Lfm2,
    Qwen3Next,
    Qwen35,
    Qwen35Moe,
}

impl Architecture {
    /// Every family.
    pub const ALL: [Architecture; 21] = [
        Architecture::Llama,
        Architecture::Mistral,
        Architecture::Ministral3,
        Architecture::Mixtral,
        Architecture::Qwen2,
        Architecture::Qwen3,
        Architecture::Qwen3Moe,
        Architecture::Gemma3,
        Architecture::Gemma4,
        Architecture::GptOss,
        Architecture::DeepseekV3,
        Architecture::Phi3,
        Architecture::Glm4,
        Architecture::Glm4Moe,
        Architecture::Granite,
        Architecture::SmolLm3,
        Architecture::Olmo2,
        Architecture::Lfm2,
        Architecture::Qwen3Next,
        Architecture::Qwen35,
        Architecture::Qwen35Moe,
    ];
}

/// The shape of a model and what belongs to its computation. Sizes are in elements unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "json::Written", into = "json::Written")]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Each layer.
    pub layers: Vec<LayerSpec>,
    /// Token ids.
    pub vocab_size: usize,
    /// The longest sequence in tokens.
    pub context_length: usize,
    /// Added to the mean square in RMS norms.
    pub norm_eps: f64,
    /// Whether norms multiply by 1 + their weights; those within recurrences do not.
    pub norm_offset: bool,
    /// Constant factors.
    pub scales: Scales,
    /// Rows that layers get besides the residual stream.
    pub per_layer: Option<PerLayer>,
    /// Whether the head is the embedding table.
    pub tied_embeddings: bool,
    /// The token that begins a sequence.
    pub bos: Option<u32>,
    /// The tokens that end one, in ascending order.
    pub eos: Vec<u32>,
}

/// A model's description that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The family is not one of those that this program computes.
    #[error("{field}: the architecture \"{value}\" is not supported; supported are {known}")]
    UnknownArchitecture {
        /// Where it was named.
        field: String,
        /// The name.
        value: String,
        /// The names that are known.
        known: String,
    },
    /// A field is not there.
    #[error("{field} is missing, expected {expected}")]
    Missing {
        /// The field.
        field: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A field holds something of another kind, or out of range.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: String,
    },
    /// A field asks for a computation that this program does not have.
    #[error("{field} is {value}, which is not supported: only {supported}")]
    Unsupported {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What is supported.
        supported: &'static str,
    },
}

/// The families that are known, in the order of the docs: the class in config.json, and names of the architecture in GGUF.
pub fn families() -> Vec<(&'static str, Vec<&'static str>)> {
    let gguf = |class: &str| {
        let mut names: Vec<_> = gguf::FAMILIES.iter().filter(|(_, of)| *of == class).map(|(name, _)| *name).collect();
        names.dedup();
        names
    };
    hf::classes().map(|class| (class, gguf(class))).collect()
}

impl ConfigError {
    pub(crate) fn missing(field: impl Into<String>) -> Self {
        ConfigError::Missing { field: field.into(), expected: "a value" }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers pass numbers and strings alike")]
    pub(crate) fn invalid(field: impl Into<String>, value: impl ToString, expected: impl Into<String>) -> Self {
        ConfigError::Invalid { field: field.into(), value: value.to_string(), expected: expected.into() }
    }
}

impl ModelConfig {
    /// Reads a Hugging Face config.json, and generation_config.json where there is one (end-of-sequence tokens). Both
    /// spellings of the RoPE settings are understood: `rope_theta` with `rope_scaling`, and `rope_parameters`.
    ///
    /// # Errors
    /// Names the field and what was expected: an unknown architecture, activation, RoPE type, a wrong size.
    pub fn from_hf(config: &serde_json::Value, generation: Option<&serde_json::Value>) -> Result<Self, ConfigError> {
        let config = hf::read(config, generation, "config.json")?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every field against its range and against the others. A description that passes has no size that
    /// overflows when multiplied.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        size("hidden_size", self.hidden_size, MAX_WIDTH)?;
        size("layers (num_hidden_layers)", self.layers.len(), MAX_LAYERS)?;
        self.layers.iter().try_for_each(LayerSpec::validate)?;
        self.per_layer.map_or(Ok(()), |per_layer| per_layer.validate(self.layers.len()))?;
        self.validate_shares()?;
        size("vocab_size", self.vocab_size, MAX_VOCABULARY)?;
        size("context_length (max_position_embeddings)", self.context_length, MAX_CONTEXT)?;
        let eps = self.norm_eps;
        check("norm_eps (rms_norm_eps)", eps, (0.0..1.0).contains(&eps), "from 0 to below 1")?;
        self.scales.validate()?;
        let few = self.eos.len() <= MAX_EOS;
        check("eos", format!("{} tokens", self.eos.len()), few, &format!("at most {MAX_EOS} tokens"))?;
        for (field, token) in self.eos.iter().map(|eos| ("eos", eos)).chain(self.bos.iter().map(|bos| ("bos", bos))) {
            let inside = (*token as usize) < self.vocab_size;
            check(field, token, inside, &format!("a token id below {}", self.vocab_size))?;
        }
        Ok(())
    }

    /// Width of the widest mixer's rows.
    pub fn widest_mixer(&self) -> usize {
        self.layers.iter().map(|layer| layer.mixer.width(self.hidden_size)).max().unwrap_or(0)
    }

    /// Heads of the attention that has most.
    pub fn most_heads(&self) -> usize {
        self.layers.iter().map(|layer| layer.mixer.heads()).max().unwrap_or(0)
    }

    /// Inner width of the widest feed-forward network.
    pub fn widest_feed_forward(&self) -> usize {
        self.layers.iter().map(|layer| layer.feed_forward.width()).max().unwrap_or(0)
    }
}

/// Refuses a number of layers that no model has, before they are listed.
pub(crate) fn check_layers(count: usize) -> Result<(), ConfigError> {
    size("layers (num_hidden_layers)", count, MAX_LAYERS)
}

/// As many layers like this one; the first `full` of them see everything, the others the window of its attention.
pub(crate) fn uniform_layers(count: usize, like: &LayerSpec, full: usize) -> Result<Vec<LayerSpec>, ConfigError> {
    check_layers(count)?;
    let mut layers = vec![like.clone(); count];
    layers.iter_mut().take(full).filter_map(LayerSpec::attention_mut).for_each(|attention| attention.window = None);
    Ok(layers)
}
