//! Qwen3-Next and Qwen3.5: gated DeltaNet in most layers, gated attention in the others.

use super::fields::Fields;
use crate::config::{ConfigError, DeltaNetSpec, Mixer};
use serde_json::Value;

/// Where the layers are not listed, one in this many is attention.
const INTERVAL: usize = 4;

/// The mixer of each layer that is recurrent. `fused`: as in Qwen3-Next, projections are one matrix for q, k, v and z, and
/// one for strength and decay.
pub(super) fn recurrent(config: &Fields<'_>, count: usize, fused: bool) -> Result<Vec<Option<Mixer>>, ConfigError> {
    if config.parse("attn_output_gate", "true or false", Value::as_bool)? == Some(false) {
        let (field, value) = (config.field("attn_output_gate"), "false".to_owned());
        return Err(ConfigError::Unsupported { field, value, supported: "true" });
    }
    let size = |name: &'static str, default: usize| Ok(config.size(name)?.unwrap_or(default));
    let delta_net = Mixer::DeltaNet(DeltaNetSpec {
        key_heads: size("linear_num_key_heads", 16)?,
        key_dim: size("linear_key_head_dim", 128)?,
        heads: size("linear_num_value_heads", 32)?,
        value_dim: size("linear_value_head_dim", 128)?,
        kernel: size("linear_conv_kernel_dim", 4)?,
        fused_qkvz: fused,
        fused_ba: fused,
        tiled_heads: false,
        plain_decay: false,
    });
    let supported = "\"full_attention\" and \"linear_attention\", one for each layer";
    let attends = match super::attends(config, "linear_attention", supported, count)? {
        Some(attends) => attends,
        None => {
            let interval = size("full_attention_interval", INTERVAL)?.max(1);
            (1..=count).map(|layer| layer.is_multiple_of(interval)).collect()
        }
    };
    Ok(attends.into_iter().map(|attends| (!attends).then(|| delta_net.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use crate::config::{ConfigError, Mixer, ModelConfig};
    use serde_json::{Value, json};

    fn config(change: &Value) -> Result<ModelConfig, ConfigError> {
        let mut text = json!({
            "hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 96, "model_type": "qwen3_5_text", "vocab_size": 100, "max_position_embeddings": 128, "linear_num_key_heads": 2,
            "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 6,
        });
        for (key, value) in change.as_object().unwrap() {
            text[key] = value.clone();
        }
        let whole = json!({
            "architectures": ["Qwen3_5ForConditionalGeneration"], "tie_word_embeddings": true, "text_config": text,
        });
        read(&whole, None, "config.json")
    }

    #[test]
    fn the_text_of_a_model_of_text_and_pictures_is_read() {
        let config = config(&json!({})).unwrap();
        config.validate().unwrap();
        assert!(config.tied_embeddings && config.norm_offset);
        let attends: Vec<bool> = config.layers.iter().map(|layer| layer.attention().is_some()).collect();
        assert_eq!(attends, [false, false, false, true, false]);
        let attention = config.layers[3].attention().unwrap();
        assert_eq!(
            (attention.head_dim, attention.rope.as_ref().unwrap().rotated, attention.gated),
            (256, Some(64), true)
        );
        let Mixer::DeltaNet(delta_net) = &config.layers[0].mixer else { panic!("a recurrence") };
        assert_eq!((delta_net.channels(), delta_net.matrix(), delta_net.kernel), (2 * 16 + 24, 4 * 8 * 6, 4));
    }

    #[test]
    fn what_would_be_computed_otherwise_is_refused_by_name() {
        for (change, field) in [
            (json!({ "attn_output_gate": false }), "attn_output_gate"),
            (json!({ "layer_types": ["linear_attention", "conv", "conv", "conv", "conv"] }), "layer_types"),
            (json!({ "linear_num_value_heads": 5 }), "linear_num_value_heads"),
            (json!({ "linear_conv_kernel_dim": 1 }), "linear_conv_kernel_dim"),
            (json!({ "partial_rotary_factor": 1.5 }), "partial_rotary_factor"),
            (json!({ "hidden_act": "gelu" }), "hidden_act"),
        ] {
            let error = config(&change).and_then(|config| config.validate()).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
