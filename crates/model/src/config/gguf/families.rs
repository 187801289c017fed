//! The architectures of GGUF files that are known, and what each has besides the keys that all have.

use super::super::ConfigError;
use super::words::{SIGMOID, SOFTMAX, add, experts, grouped, heads, recurrent, same, shared_with_gate, used, windows};
use super::{Held, Metadata};
use serde_json::{Value, json};

/// Names of `general.architecture`, with the class that config.json has for it.
pub(crate) const FAMILIES: [(&str, &str); 21] = [
    ("llama", "LlamaForCausalLM"),
    ("llama", "MistralForCausalLM"),
    ("llama", "MixtralForCausalLM"),
    ("mistral3", "Ministral3ForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
    ("qwen3moe", "Qwen3MoeForCausalLM"),
    ("qwen3next", "Qwen3NextForCausalLM"),
    ("qwen35", "Qwen3_5ForCausalLM"),
    ("qwen35moe", "Qwen3_5MoeForCausalLM"),
    ("gemma3", "Gemma3ForCausalLM"),
    ("gemma4", "Gemma4ForCausalLM"),
    ("gpt-oss", "GptOssForCausalLM"),
    ("phi3", "Phi3ForCausalLM"),
    ("glm4", "Glm4ForCausalLM"),
    ("glm4moe", "Glm4MoeForCausalLM"),
    ("deepseek2", "DeepseekV3ForCausalLM"),
    ("granite", "GraniteForCausalLM"),
    ("smollm3", "SmolLM3ForCausalLM"),
    ("olmo2", "Olmo2ForCausalLM"),
    ("lfm2", "Lfm2ForCausalLM"),
];

/// The layers of the one model of Gemma 3 whose attention is scaled by the width of the residual stream.
const LAYERS_OF_GEMMA3_27B: usize = 62;

/// The family of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    name: &'static str,
    /// Its class in config.json.
    pub(super) class: &'static str,
}

impl Family {
    pub(super) fn of(metadata: &Metadata<'_>) -> Result<Self, ConfigError> {
        let is_above_0 = |key| Ok::<_, ConfigError>(metadata.size(key)?.is_some_and(|size| size > 0));
        let class = match metadata.architecture {
            "llama" if is_above_0("expert_count")? => Some("MixtralForCausalLM"),
            "llama" if is_above_0("attention.sliding_window")? => Some("MistralForCausalLM"),
            _ => None,
        };
        let known =
            |(name, of): &&(&str, &str)| *name == metadata.architecture && class.is_none_or(|class| class == *of);
        let found = FAMILIES.iter().find(known).map(|&(name, class)| Family { name, class });
        found.ok_or_else(|| {
            let mut known: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
            known.dedup();
            let (field, value) = ("general.architecture".to_owned(), metadata.architecture.to_owned());
            ConfigError::UnknownArchitecture { field, value, known: known.join(", ") }
        })
    }

    /// Whether layers with a window have a position embedding of their own.
    pub(super) fn has_two_ropes(self) -> bool {
        matches!(self.name, "gemma3" | "gemma4")
    }

    /// Whether the divisors of frequencies are for layers without a window alone.
    pub(super) fn has_factors_of_full_layers(self) -> bool {
        self.name == "gemma4"
    }

    /// Whether it has multi-head latent attention.
    pub(super) fn is_latent(self) -> bool {
        self.name == "deepseek2"
    }

    /// Whether YaRN's bounds are not cut to whole numbers, as in the model's own code.
    pub(super) fn keeps_fractions(self) -> bool {
        self.name == "gpt-oss"
    }

    /// Whether queries may grow with their position.
    pub(super) fn grows_queries(self) -> bool {
        self.name == "mistral3"
    }

    /// Whether its recurrent layers' heads are in turn of their key heads.
    pub(super) fn has_tiled_heads(self) -> bool {
        matches!(self.name, "qwen35" | "qwen35moe")
    }

    /// Whether rows of q and k are stored for the rotation of neighbouring elements.
    pub(super) fn is_interleaved(self, metadata: &Metadata<'_>) -> bool {
        match self.name {
            "llama" | "mistral3" | "granite" | "smollm3" | "deepseek2" => true,
            // Models that also see are stored for the other rotation.
            "glm4" => !metadata.has("rope.dimension_sections"),
            _ => false,
        }
    }

    /// Adds what the family has to the description.
    pub(super) fn describe(
        self,
        words: &mut Value,
        metadata: &Metadata<'_>,
        held: &Held,
        layers: usize,
    ) -> Result<(), ConfigError> {
        let number = |key| metadata.number(key);
        if self.is_latent() {
            return self.latent(words, metadata);
        }
        match self.name {
            "gemma4" => self.gemma4(words, metadata, held, layers)?,
            "lfm2" => {
                let kv_heads = metadata.sizes("attention.head_count_kv", layers)?.unwrap_or_default();
                let kind = |heads: &usize| if *heads == 0 { "conv" } else { "full_attention" };
                heads(words, metadata, Some(kv_heads.iter().copied().max().unwrap_or(0)))?;
                add(
                    words,
                    json!({
                        "layer_types": kv_heads.iter().map(kind).collect::<Vec<_>>(),
                        "conv_L_cache": metadata.needed("shortconv.l_cache")?,
                        "block_auto_adjust_ff_dim": false,
                    }),
                );
            }
            _ => heads(words, metadata, None)?,
        }
        if self.name != "gemma4" {
            let width = metadata.size("feed_forward_length")?.filter(|width| *width > 0);
            add(words, json!({ "intermediate_size": width }));
        }
        match self.class {
            "MistralForCausalLM" | "MixtralForCausalLM" | "Phi3ForCausalLM" => {
                let window = metadata.size("attention.sliding_window")?.filter(|window| *window > 0);
                add(words, json!({ "sliding_window": window }));
            }
            _ => {}
        }
        match self.class {
            "MixtralForCausalLM" => {
                let (count, width) = experts(metadata, SOFTMAX)?;
                let width = width.or(metadata.size("feed_forward_length")?);
                add(words, json!({ "num_local_experts": count, "intermediate_size": width }));
                used(words, metadata)?;
            }
            "Qwen3MoeForCausalLM" => {
                let (count, width) = experts(metadata, SOFTMAX)?;
                let width = width.or(metadata.size("feed_forward_length")?);
                add(words, json!({ "num_experts": count, "moe_intermediate_size": width, "norm_topk_prob": true }));
                used(words, metadata)?;
            }
            "Qwen3NextForCausalLM" | "Qwen3_5ForCausalLM" | "Qwen3_5MoeForCausalLM" => {
                recurrent(words, metadata, layers)?;
                if self.class != "Qwen3_5ForCausalLM" {
                    shared_with_gate(words, metadata, held)?;
                }
            }
            "Gemma3ForCausalLM" => {
                windows(words, metadata, layers, 6)?;
                let of_stream = layers == LAYERS_OF_GEMMA3_27B;
                let (hidden, heads) = (metadata.needed("embedding_length")?, metadata.needed("attention.head_count")?);
                let scalar = if of_stream { Some(hidden / heads.max(1)) } else { None };
                add(
                    words,
                    json!({
                        "query_pre_attn_scalar": scalar.map_or(words["head_dim"].clone(), Value::from),
                        "final_logit_softcapping": number("final_logit_softcapping")?,
                    }),
                );
            }
            "GptOssForCausalLM" => {
                windows(words, metadata, layers, 2)?;
                let (count, width) = experts(metadata, SOFTMAX)?;
                add(words, json!({ "num_local_experts": count, "intermediate_size": width }));
                used(words, metadata)?;
            }
            "Glm4MoeForCausalLM" => grouped(words, metadata, SIGMOID)?,
            "GraniteForCausalLM" => add(
                words,
                json!({
                    "attention_multiplier": number("attention.scale")?,
                    "embedding_multiplier": number("embedding_scale")?,
                    "residual_multiplier": number("residual_scale")?,
                    "logits_scaling": number("logit_scale")?,
                }),
            ),
            _ => {}
        }
        Ok(())
    }

    fn latent(self, words: &mut Value, metadata: &Metadata<'_>) -> Result<(), ConfigError> {
        // Files of before latent attention was cached as such have the widths of whole heads under the usual keys.
        let split = metadata.has("attention.key_length_mla");
        let (key, value) = match split {
            true => ("attention.key_length_mla", "attention.value_length_mla"),
            false => ("attention.key_length", "attention.value_length"),
        };
        let (key_dim, rotated) = (metadata.needed(key)?, metadata.needed("rope.dimension_count")?);
        for key in ["attention.key_length", "attention.value_length", "attention.head_count_kv"] {
            metadata.size(key)?;
        }
        add(
            words,
            json!({
                "kv_lora_rank": metadata.needed("attention.kv_lora_rank")?,
                "q_lora_rank": metadata.size("attention.q_lora_rank")?.filter(|rank| *rank > 0),
                "qk_rope_head_dim": rotated,
                "qk_nope_head_dim": key_dim.checked_sub(rotated).ok_or_else(|| {
                    ConfigError::invalid(metadata.name(key), key_dim, format!("above rope.dimension_count, {rotated}"))
                })?,
                "v_head_dim": metadata.needed(value)?,
                "intermediate_size": metadata.size("feed_forward_length")?,
            }),
        );
        let scored = metadata.size("expert_gating_func")?.filter(|scored| *scored != 0).unwrap_or(SOFTMAX);
        if scored == SOFTMAX && metadata.size("expert_group_count")?.is_some_and(|groups| groups > 1) {
            let expected = "1: groups are chosen by sigmoid scores alone";
            return Err(ConfigError::invalid(metadata.name("expert_group_count"), "more", expected));
        }
        grouped(words, metadata, if scored == SIGMOID { SIGMOID } else { SOFTMAX })
    }

    fn gemma4(self, words: &mut Value, metadata: &Metadata<'_>, held: &Held, layers: usize) -> Result<(), ConfigError> {
        windows(words, metadata, layers, 6)?;
        let is_full = |layer: usize| words["layer_types"][layer] == "full_attention";
        let kv_heads = metadata
            .sizes("attention.head_count_kv", layers)?
            .ok_or_else(|| ConfigError::missing(metadata.name("attention.head_count_kv")))?;
        let full_dim = metadata.needed("attention.key_length")?;
        let windowed_dim = metadata.size("attention.key_length_swa")?.unwrap_or(full_dim);
        for (key, expected) in [("attention.value_length", full_dim), ("attention.value_length_swa", windowed_dim)] {
            same(metadata, key, expected)?;
        }
        let own = |layer: usize| {
            let head_dim = if is_full(layer) { full_dim } else { windowed_dim };
            (layer.to_string(), json!({ "head_dim": head_dim, "num_key_value_heads": kv_heads[layer] }))
        };
        let own: serde_json::Map<_, _> = (0..layers).map(own).collect();
        let width = metadata.size("embedding_length_per_layer_input")?.unwrap_or(0);
        let widths = metadata.sizes("feed_forward_length", layers)?.unwrap_or_default();
        add(
            words,
            json!({
                "head_dim": windowed_dim,
                "num_key_value_heads": kv_heads.first(),
                "per_layer_config": own,
                "num_kv_shared_layers": metadata.size("attention.shared_kv_layers")?.unwrap_or(0),
                "hidden_size_per_layer_input": width,
                "vocab_size_per_layer_input": if width > 0 { held.rows(crate::tensors::PER_LAYER_TABLE)? } else { 1 },
                "final_logit_softcapping": metadata.number("final_logit_softcapping")?,
                "intermediate_size": widths.first(),
            }),
        );
        if metadata.size("expert_count")?.is_some_and(|count| count > 0) {
            let (count, width) = experts(metadata, SOFTMAX)?;
            add(
                words,
                json!({
                    "enable_moe_block": true,
                    "num_experts": count,
                    "moe_intermediate_size": width,
                    "top_k_experts": metadata.needed("expert_used_count")?,
                }),
            );
        }
        Ok(())
    }
}
