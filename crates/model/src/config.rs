//! What a transformer looks like: one description for Llama, Mistral, Qwen2 and Qwen3, whose differences are fields.

mod hf;
mod json;
mod layer;

pub use layer::{FeedForward, LayerAttention, LayerSpec};

use serde::{Deserialize, Serialize};

/// The most layers of a model: far above any dense model (the largest have about 130), and few enough to list.
const MAX_LAYERS: usize = 4096;
/// The most elements of one dimension (hidden size, feed-forward size, heads × head size): products of two of
/// these fit 64 bits.
const MAX_WIDTH: usize = 1 << 20;
/// The most token ids of a vocabulary.
const MAX_VOCABULARY: usize = 1 << 24;
/// The longest context in tokens.
const MAX_CONTEXT: usize = 1 << 30;
/// The most end-of-sequence tokens.
const MAX_EOS: usize = 64;

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say all")]
pub enum Architecture {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
}

/// Rotary position embedding (RoPE, <https://arxiv.org/abs/2104.09864>).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f32,
    /// How the frequencies are stretched for contexts beyond the trained one.
    pub scaling: RopeScaling,
    /// Whether the rows of q and k are stored for the rotation of neighbouring elements (2i, 2i+1), as GGUF files of
    /// the llama family are, instead of (i, i + head_dim/2). They are put in order when a stage is loaded.
    pub interleaved: bool,
}

/// How RoPE frequencies are stretched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor (<https://arxiv.org/abs/2306.15595>).
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1's: low frequencies divided, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_context_length / low_freq_factor` count as low frequencies.
        low_freq_factor: f32,
        /// Wavelengths below `original_context_length / high_freq_factor` count as high frequencies.
        high_freq_factor: f32,
        /// The context length that the model was first trained for, in tokens.
        original_context_length: usize,
    },
    /// One divisor per frequency, as GGUF files carry them (`rope_freqs.weight`).
    Factors {
        /// `head_dim / 2` divisors.
        factors: Vec<f32>,
    },
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
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Token ids.
    pub vocab_size: usize,
    /// The longest sequence in tokens.
    pub context_length: usize,
    /// Added to the mean square in RMS norms.
    pub norm_eps: f64,
    /// Position embedding.
    pub rope: Rope,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// A bias on the attention's output.
    pub o_bias: bool,
    /// Biases on gate, up and down.
    pub mlp_bias: bool,
    /// RMS norms on each head's q and k.
    pub qk_norm: bool,
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
        field: &'static str,
        /// The name.
        value: String,
        /// The names that are known.
        known: &'static str,
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
        let config = hf::read(config, generation)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every field against its range and against the others. A description that passes has no size that
    /// overflows when multiplied.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |field: &str, value: usize, most: usize| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(ConfigError::invalid(field, value, format!("1 to {most}"))),
        };
        let check = |field: &str, value: String, ok: bool, expected: &str| match ok {
            true => Ok(()),
            false => Err(ConfigError::invalid(field, value, expected)),
        };
        let positive = |field: &str, value: f32| {
            check(field, value.to_string(), value.is_finite() && value > 0.0, "a number above 0")
        };
        size("hidden_size", self.hidden_size, MAX_WIDTH)?;
        size("layers (num_hidden_layers)", self.layers.len(), MAX_LAYERS)?;
        for layer in &self.layers {
            size("intermediate_size", layer.feed_forward.width(), MAX_WIDTH)?;
            if let LayerAttention::Window(tokens) = layer.attention {
                size("sliding_window", tokens, MAX_CONTEXT)?;
            }
        }
        size("heads (num_attention_heads)", self.heads, MAX_WIDTH)?;
        size("kv_heads (num_key_value_heads)", self.kv_heads, MAX_WIDTH)?;
        size("head_dim", self.head_dim, MAX_WIDTH)?;
        size("heads × head_dim", self.heads.saturating_mul(self.head_dim), MAX_WIDTH)?;
        size("vocab_size", self.vocab_size, MAX_VOCABULARY)?;
        size("context_length (max_position_embeddings)", self.context_length, MAX_CONTEXT)?;
        let even = self.head_dim.is_multiple_of(2);
        check("head_dim", self.head_dim.to_string(), even, "an even number")?;
        let divides = self.heads.is_multiple_of(self.kv_heads);
        check(
            "kv_heads (num_key_value_heads)",
            self.kv_heads.to_string(),
            divides,
            &format!("a divisor of heads, {}", self.heads),
        )?;
        let eps = self.norm_eps;
        check("norm_eps (rms_norm_eps)", eps.to_string(), (0.0..1.0).contains(&eps), "from 0 to below 1")?;
        positive("rope.theta (rope_theta)", self.rope.theta)?;
        match &self.rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => positive("rope.factor", *factor)?,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_length } => {
                positive("rope.factor", *factor)?;
                positive("rope.low_freq_factor", *low_freq_factor)?;
                let above = high_freq_factor.is_finite() && high_freq_factor > low_freq_factor;
                let value = high_freq_factor.to_string();
                check("rope.high_freq_factor", value, above, "a number above low_freq_factor")?;
                size("rope.original_context_length", *original_context_length, MAX_CONTEXT)?;
            }
            RopeScaling::Factors { factors } => {
                let expected = self.head_dim / 2;
                let found = format!("{} numbers", factors.len());
                check("rope.factors", found, factors.len() == expected, &format!("{expected} numbers"))?;
                factors.iter().try_for_each(|&factor| positive("rope.factors", factor))?;
            }
        }
        let few = self.eos.len() <= MAX_EOS;
        check("eos", format!("{} tokens", self.eos.len()), few, &format!("at most {MAX_EOS} tokens"))?;
        for (field, token) in self.eos.iter().map(|eos| ("eos", eos)).chain(self.bos.iter().map(|bos| ("bos", bos))) {
            let inside = (*token as usize) < self.vocab_size;
            check(field, token.to_string(), inside, &format!("a token id below {}", self.vocab_size))?;
        }
        Ok(())
    }

    /// Width of q.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of k, and of v.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Inner width of the widest feed-forward network.
    pub fn widest_feed_forward(&self) -> usize {
        self.layers.iter().map(|layer| layer.feed_forward.width()).max().unwrap_or(0)
    }
}

/// Layers of one width, the first `full` of which see everything and the others `window` tokens. Refuses a number of
/// layers that no model has, before they are listed.
pub(crate) fn uniform_layers(
    count: usize,
    width: usize,
    window: Option<usize>,
    full: usize,
) -> Result<Vec<LayerSpec>, ConfigError> {
    if count > MAX_LAYERS {
        return Err(ConfigError::invalid("layers (num_hidden_layers)", count, format!("1 to {MAX_LAYERS}")));
    }
    let attention = |layer: usize| match window {
        Some(tokens) if layer >= full => LayerAttention::Window(tokens),
        _ => LayerAttention::Full,
    };
    let feed_forward = FeedForward::Dense { width };
    Ok((0..count).map(|layer| LayerSpec { attention: attention(layer), feed_forward }).collect())
}
