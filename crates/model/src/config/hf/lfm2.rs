//! LFM2: short convolutions between gates, and attention in some layers. Its configuration has names of its own.

use super::fields::Fields;
use crate::config::{ConfigError, Mixer, ShortConvSpec};
use serde_json::{Value, json};

/// The description with the names of other families, and the width of the networks as it is computed with.
pub(super) fn in_usual_names(path: &'static str, config: &Value) -> Result<Value, ConfigError> {
    let fields = Fields::new(path, config)?;
    let mut usual = config.clone();
    usual["intermediate_size"] = width(&fields)?.into();
    for (own, name) in [("norm_eps", "rms_norm_eps"), ("theta", "rope_theta"), ("tie_embedding", "tie_word_embeddings")]
    {
        if let Some(value) = fields.get(own) {
            usual[name] = value.clone();
        }
    }
    Ok(usual)
}

/// The inner width of the feed-forward networks. `block_auto_adjust_ff_dim` (on where it is not given) takes two thirds
/// of the size that is given, times a multiplier, in whole multiples.
fn width(config: &Fields<'_>) -> Result<usize, ConfigError> {
    let given = match config.size("block_ff_dim")? {
        Some(width) => width,
        None => config.need_size("intermediate_size")?,
    };
    if !config.parse("block_auto_adjust_ff_dim", "true or false", Value::as_bool)?.unwrap_or(true) {
        return Ok(given);
    }
    let width = given.saturating_mul(2) / 3;
    let multiplier = match config.is_null("block_ffn_dim_multiplier") {
        true => return Ok(width),
        false => config.number("block_ffn_dim_multiplier")?.unwrap_or(1.0),
    };
    let multiple = config.size("block_multiple_of")?.unwrap_or(256).max(1);
    Ok(((multiplier * width as f64) as usize).div_ceil(multiple).saturating_mul(multiple))
}

/// The mixer of each layer that is a convolution.
pub(super) fn recurrent(config: &Fields<'_>, count: usize) -> Result<Vec<Option<Mixer>>, ConfigError> {
    let bias = config.flag("conv_bias")?;
    let conv = Mixer::ShortConv(ShortConvSpec { kernel: config.size("conv_L_cache")?.unwrap_or(3), bias });
    let supported = "\"full_attention\" and \"conv\", one for each layer";
    let attends = match super::attends(config, "conv", supported, count)? {
        Some(attends) => attends,
        None => match config.list("full_attn_idxs")? {
            Some(listed) => (0..count).map(|layer| listed.contains(&json!(layer))).collect(),
            None => vec![true; count],
        },
    };
    Ok(attends.into_iter().map(|attends| (!attends).then(|| conv.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::config::{LayerSpec, ModelConfig};

    fn config(change: &Value) -> Result<ModelConfig, ConfigError> {
        let mut config = json!({
            "architectures": ["Lfm2ForCausalLM"], "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "block_ff_dim": 600, "vocab_size": 100, "max_position_embeddings": 128,
            "full_attn_idxs": [1],
        });
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        read(&config, None, "config.json")
    }

    fn conv(layer: &LayerSpec) -> Option<usize> {
        match &layer.mixer {
            Mixer::ShortConv(conv) => Some(conv.kernel),
            _ => None,
        }
    }

    #[test]
    fn layers_are_listed_by_kind_or_by_number() {
        let kinds = |change| config(&change).unwrap().layers.iter().map(conv).collect::<Vec<_>>();
        assert_eq!(kinds(json!({})), [Some(3), None, Some(3)]);
        assert_eq!(kinds(json!({ "conv_L_cache": 4 })), [Some(4), None, Some(4)]);
        assert_eq!(kinds(json!({ "full_attn_idxs": null })), [None; 3]);
        let types = json!(["conv", "conv", "full_attention"]);
        assert_eq!(kinds(json!({ "layer_types": types })), [Some(3), Some(3), None]);
        let error = config(&json!({ "layer_types": ["conv", "conv", "linear_attention"] })).unwrap_err().to_string();
        assert!(error.contains("layer_types"), "{error}");
    }

    #[test]
    fn networks_are_as_wide_as_transformers_makes_them() {
        let width = |change| config(&change).unwrap().widest_feed_forward();
        // Two thirds of 600 are 400: two blocks of 256.
        assert_eq!(width(json!({})), 512);
        assert_eq!(width(json!({ "block_multiple_of": 10, "block_ffn_dim_multiplier": 1.31 })), 530);
        assert_eq!(width(json!({ "block_ffn_dim_multiplier": null })), 400);
        assert_eq!(width(json!({ "block_auto_adjust_ff_dim": false })), 600);
    }

    #[test]
    fn what_is_not_given_is_as_in_transformers() {
        let config = config(&json!({})).unwrap();
        assert_eq!((config.norm_eps, config.tied_embeddings), (1e-5, true));
        let attention = config.layers[1].attention().unwrap();
        assert_eq!(attention.rope.as_ref().unwrap().theta, 1e6);
        let untied = super::tests::config(&json!({ "tie_embedding": false, "theta": 5000.0 })).unwrap();
        assert!(!untied.tied_embeddings);
        assert_eq!(untied.layers[1].attention().unwrap().rope.as_ref().unwrap().theta, 5000.0);
    }
}
