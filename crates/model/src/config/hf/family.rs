//! The families that are known, and what their names alone say: what config.json leaves to the code that reads it.

use super::super::{Activation, Architecture, ConfigError, Norms, QkNorm};
use super::fields::Fields;
use serde_json::{Value, json};

/// A family's class and model type in config.json.
const FAMILIES: [(&str, &str, Architecture); 23] = [
    ("LlamaForCausalLM", "llama", Architecture::Llama),
    ("MistralForCausalLM", "mistral", Architecture::Mistral),
    ("Ministral3ForCausalLM", "ministral3", Architecture::Ministral3),
    ("MixtralForCausalLM", "mixtral", Architecture::Mixtral),
    ("Qwen2ForCausalLM", "qwen2", Architecture::Qwen2),
    ("Qwen3ForCausalLM", "qwen3", Architecture::Qwen3),
    ("Qwen3MoeForCausalLM", "qwen3_moe", Architecture::Qwen3Moe),
    ("Qwen3NextForCausalLM", "qwen3_next", Architecture::Qwen3Next),
    ("Qwen3_5ForCausalLM", "qwen3_5_text", Architecture::Qwen35),
    ("Qwen3_5ForConditionalGeneration", "qwen3_5", Architecture::Qwen35),
    ("Qwen3_5MoeForCausalLM", "qwen3_5_moe_text", Architecture::Qwen35Moe),
    ("Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe", Architecture::Qwen35Moe),
    ("Gemma3ForCausalLM", "gemma3_text", Architecture::Gemma3),
    ("Gemma4ForCausalLM", "gemma4_text", Architecture::Gemma4),
    ("GptOssForCausalLM", "gpt_oss", Architecture::GptOss),
    ("Phi3ForCausalLM", "phi3", Architecture::Phi3),
    ("Glm4ForCausalLM", "glm4", Architecture::Glm4),
    ("Glm4MoeForCausalLM", "glm4_moe", Architecture::Glm4Moe),
    ("DeepseekV3ForCausalLM", "deepseek_v3", Architecture::DeepseekV3),
    ("GraniteForCausalLM", "granite", Architecture::Granite),
    ("SmolLM3ForCausalLM", "smollm3", Architecture::SmolLm3),
    ("Olmo2ForCausalLM", "olmo2", Architecture::Olmo2),
    ("Lfm2ForCausalLM", "lfm2", Architecture::Lfm2),
];

/// The class of each family.
pub(in super::super) fn classes() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(class, ..)| *class).filter(|class| class.ends_with("ForCausalLM"))
}

/// Which family a description names, by its class or, as in a multimodal model's text part, by its model type alone.
pub(super) fn architecture(config: &Fields<'_>) -> Result<Architecture, ConfigError> {
    let first = |value: &'_ Value| -> Option<String> { Some(value.as_array()?.first()?.as_str()?.to_owned()) };
    let named = match config.parse("architectures", "a list with the model's class", first)? {
        Some(class) => FAMILIES.iter().find(|(known, ..)| *known == class).ok_or((class, "architectures")),
        None => match config.text("model_type")? {
            Some(kind) => FAMILIES.iter().find(|(_, known, _)| *known == kind).ok_or((kind.to_owned(), "model_type")),
            None => {
                let (field, expected) = (config.field("architectures"), "the model's class");
                return Err(ConfigError::Missing { field, expected });
            }
        },
    };
    let unknown = |(value, field): (String, &str)| {
        let known = FAMILIES.map(|(class, kind, _)| if field == "architectures" { class } else { kind }).join(", ");
        ConfigError::UnknownArchitecture { field: config.field(field), value, known }
    };
    named.map(|(.., architecture)| *architecture).map_err(unknown)
}

impl Architecture {
    /// The description, with what this family's reader in transformers takes for fields that are not there.
    pub(super) fn with_defaults(self, config: &Value) -> Value {
        let defaults = match self {
            Architecture::Gemma3 => json!({
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "query_pre_attn_scalar": 256,
                "vocab_size": 262_208, "max_position_embeddings": 131_072, "sliding_window": 4096,
                "rope_theta": 1e6, "rope_local_base_freq": 1e4, "tie_word_embeddings": true,
            }),
            Architecture::Gemma4 => json!({
                "head_dim": 256, "global_head_dim": 512, "vocab_size": 262_144, "max_position_embeddings": 131_072,
                "sliding_window": 512, "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262_144,
                "tie_word_embeddings": true,
                "rope_parameters": {
                    "sliding_attention": { "rope_type": "default", "rope_theta": 10_000.0 },
                    "full_attention": {
                        "rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0,
                    },
                },
            }),
            Architecture::Ministral3 => json!({ "head_dim": 128, "rms_norm_eps": 1e-5 }),
            Architecture::Mixtral => json!({ "rope_theta": 1e6, "rms_norm_eps": 1e-5 }),
            Architecture::GptOss => json!({
                "head_dim": 64, "sliding_window": 128, "attention_bias": true, "rope_theta": 150_000.0,
                "rms_norm_eps": 1e-5,
            }),
            Architecture::Phi3 => json!({ "rms_norm_eps": 1e-5 }),
            Architecture::Glm4 => json!({
                "head_dim": 128, "attention_bias": true, "partial_rotary_factor": 0.5, "rms_norm_eps": 1.5625e-7,
            }),
            Architecture::Glm4Moe => json!({
                "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-5, "norm_topk_prob": true, "first_k_dense_replace": 1,
            }),
            Architecture::DeepseekV3 => json!({
                "norm_topk_prob": true, "routed_scaling_factor": 2.5, "n_group": 8, "topk_group": 4,
                "first_k_dense_replace": 3, "rope_interleave": true,
            }),
            Architecture::Olmo2 => json!({ "rms_norm_eps": 1e-5 }),
            Architecture::Lfm2 => json!({ "rms_norm_eps": 1e-5, "rope_theta": 1e6, "tie_word_embeddings": true }),
            Architecture::Qwen3Next | Architecture::Qwen35 | Architecture::Qwen35Moe => json!({
                "head_dim": 256, "partial_rotary_factor": 0.25, "norm_topk_prob": true,
            }),
            Architecture::SmolLm3 => json!({
                "rope_theta": 2e6, "no_rope_layer_interval": 4, "tie_word_embeddings": true,
            }),
            _ => json!({}),
        };
        let mut config = config.clone();
        if let (Some(config), Value::Object(defaults)) = (config.as_object_mut(), defaults) {
            for (field, default) in defaults {
                let value = config.entry(field).or_insert(Value::Null);
                if value.is_null() {
                    *value = default;
                }
            }
        }
        config
    }

    /// Where its layers' norms are.
    pub(super) fn norms(self) -> Norms {
        match self {
            Architecture::Olmo2 => Norms::After,
            Architecture::Gemma3 | Architecture::Gemma4 | Architecture::Glm4 => Norms::Both,
            _ => Norms::Before,
        }
    }

    /// What its gates go through, by the name in config.json.
    pub(super) fn activation(self, config: &Fields<'_>) -> Result<Activation, ConfigError> {
        let (name, known, activation) = match self {
            Architecture::Gemma3 | Architecture::Gemma4 => {
                ("hidden_activation", "gelu_pytorch_tanh", Activation::GeluTanh)
            }
            Architecture::GptOss => {
                let limit = config.number("swiglu_limit")?.unwrap_or(7.0) as f32;
                ("hidden_act", "silu", Activation::ClampedSilu { alpha: 1.702, limit })
            }
            _ => ("hidden_act", "silu", Activation::Silu),
        };
        match config.text(name)? {
            Some(found) if found != known => Err(ConfigError::Unsupported {
                field: config.field(name),
                value: format!("\"{found}\""),
                supported: if known == "silu" { "\"silu\"" } else { "\"gelu_pytorch_tanh\"" },
            }),
            _ => Ok(activation),
        }
    }

    /// Whether it is of the line of Qwen3-Next: Gated DeltaNet, gated attention, and norms that multiply by 1 + weights.
    pub(super) fn is_qwen_next(self) -> bool {
        matches!(self, Architecture::Qwen3Next | Architecture::Qwen35 | Architecture::Qwen35Moe)
    }

    /// Norms of q and k.
    pub(super) fn qk_norm(self, config: &Fields<'_>) -> Result<QkNorm, ConfigError> {
        Ok(match self {
            Architecture::Qwen3 | Architecture::Qwen3Moe | Architecture::Gemma3 | Architecture::Gemma4 => QkNorm::Head,
            Architecture::Qwen3Next | Architecture::Qwen35 | Architecture::Qwen35Moe | Architecture::Lfm2 => {
                QkNorm::Head
            }
            Architecture::Glm4Moe if config.flag("use_qk_norm")? => QkNorm::Head,
            Architecture::Olmo2 => QkNorm::Whole,
            _ => QkNorm::None,
        })
    }

    /// Biases on q, k and v, and on the attention's output.
    pub(super) fn attention_biases(self, config: &Fields<'_>) -> Result<(bool, bool), ConfigError> {
        Ok(match self {
            Architecture::Mistral | Architecture::Ministral3 | Architecture::Mixtral | Architecture::Phi3 => {
                (false, false)
            }
            Architecture::Qwen2 => (true, false),
            Architecture::Glm4 | Architecture::Glm4Moe => (config.flag("attention_bias")?, false),
            _ => {
                let bias = config.flag("attention_bias")?;
                (bias, bias)
            }
        })
    }
}
