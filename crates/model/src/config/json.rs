//! How a description is written in manifests: the kinds of layers, each once, and the kind of each layer.
//!
//! A model that the first form can describe is written in that: attention and dense networks of one shape in all layers,
//! except for windows and widths. Older workers read it, and a published model keeps its hash.

mod first;

use super::attention::is_false;
use super::{Architecture, ConfigError, LayerSpec, ModelConfig, PerLayer, Scales, check_layers};
use first::First;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A description as it is written.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Written {
    First(First),
    Kinds(Kinds),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kinds {
    architecture: Architecture,
    hidden_size: usize,
    vocab_size: usize,
    context_length: usize,
    norm_eps: f64,
    #[serde(default, skip_serializing_if = "is_false")]
    norm_offset: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    scales: Scales,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_layer: Option<PerLayer>,
    tied_embeddings: bool,
    bos: Option<u32>,
    eos: Vec<u32>,
    /// The different layers.
    kinds: Vec<LayerSpec>,
    /// The kind of each layer.
    layers: Vec<usize>,
}

fn is_default(scales: &Scales) -> bool {
    *scales == Scales::default()
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let written = match value.get("kinds") {
            Some(_) => Kinds::deserialize(value).map(Written::Kinds),
            None => First::deserialize(value).map(Written::First),
        };
        written.map_err(D::Error::custom)
    }
}

impl TryFrom<Written> for ModelConfig {
    type Error = ConfigError;

    fn try_from(written: Written) -> Result<Self, ConfigError> {
        match written {
            Written::First(first) => first.try_into(),
            Written::Kinds(kinds) => kinds.try_into(),
        }
    }
}

impl TryFrom<Kinds> for ModelConfig {
    type Error = ConfigError;

    fn try_from(written: Kinds) -> Result<Self, ConfigError> {
        check_layers(written.layers.len())?;
        let kinds = written.kinds;
        let layer = |kind: usize| {
            let expected = || ConfigError::invalid("layers", kind, format!("one of {} kinds", kinds.len()));
            kinds.get(kind).cloned().ok_or_else(expected)
        };
        Ok(ModelConfig {
            architecture: written.architecture,
            hidden_size: written.hidden_size,
            layers: written.layers.into_iter().map(layer).collect::<Result<_, _>>()?,
            vocab_size: written.vocab_size,
            context_length: written.context_length,
            norm_eps: written.norm_eps,
            norm_offset: written.norm_offset,
            scales: written.scales,
            per_layer: written.per_layer,
            tied_embeddings: written.tied_embeddings,
            bos: written.bos,
            eos: written.eos,
        })
    }
}

impl From<ModelConfig> for Written {
    fn from(config: ModelConfig) -> Self {
        match First::of(&config) {
            Some(first) => Written::First(first),
            None => Written::Kinds(config.into()),
        }
    }
}

impl From<ModelConfig> for Kinds {
    fn from(config: ModelConfig) -> Self {
        let mut kinds: Vec<LayerSpec> = Vec::new();
        let kind = |layer: LayerSpec| {
            kinds.iter().position(|known| *known == layer).unwrap_or_else(|| {
                kinds.push(layer);
                kinds.len() - 1
            })
        };
        let layers = config.layers.into_iter().map(kind).collect();
        Kinds {
            architecture: config.architecture,
            hidden_size: config.hidden_size,
            vocab_size: config.vocab_size,
            context_length: config.context_length,
            norm_eps: config.norm_eps,
            norm_offset: config.norm_offset,
            scales: config.scales,
            per_layer: config.per_layer,
            tied_embeddings: config.tied_embeddings,
            bos: config.bos,
            eos: config.eos,
            kinds,
            layers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Activation, DenseSpec, FeedForward};
    use super::*;

    /// As manifests of the first version have it.
    const OLD: &str = r#"{"architecture":"qwen2","hidden_size":64,"intermediate_size":96,"layers":4,"heads":4,
        "kv_heads":2,"head_dim":16,"vocab_size":100,"context_length":128,"norm_eps":1e-6,"rope":{"theta":10000.0,
        "scaling":{"type":"none"},"interleaved":false},"sliding_window":8,"full_attention_layers":1,"qkv_bias":true,
        "o_bias":false,"mlp_bias":false,"qk_norm":false,"tied_embeddings":true,"bos":null,"eos":[2]}"#;

    fn old() -> ModelConfig {
        serde_json::from_str(OLD).unwrap()
    }

    fn set_window(config: &mut ModelConfig, layer: usize, window: Option<usize>) {
        config.layers[layer].attention_mut().unwrap().window = window;
    }

    #[test]
    fn manifests_of_models_of_like_layers_keep_every_byte() {
        let config = old();
        let kinds: Vec<_> = config.layers.iter().map(|layer| layer.attention().unwrap().window).collect();
        assert_eq!(kinds, [None, Some(8), Some(8), Some(8)]);
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(written, OLD.replace(|c: char| c.is_whitespace(), ""));
    }

    #[test]
    fn windows_and_widths_that_differ_stay_in_the_first_form() {
        let mut config = old();
        set_window(&mut config, 2, None);
        let narrow = DenseSpec { width: 48, activation: Activation::Silu, bias: false, fused: false };
        config.layers[3].feed_forward = FeedForward::Dense(narrow);
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!((&written["sliding_window"], &written["intermediate_size"]), (&serde_json::Value::Null, &96.into()));
        let specs = serde_json::json!({ "attention": { "window": 8 }, "feed_forward": { "dense": { "width": 48 } } });
        assert_eq!(written["layer_specs"][3], specs);
        assert_eq!(written["layer_specs"][2]["attention"], "full");
        assert_eq!(serde_json::from_value::<ModelConfig>(written.clone()).unwrap(), config);
        let mut short = written;
        short["layers"] = 5.into();
        let error = serde_json::from_value::<ModelConfig>(short).unwrap_err().to_string();
        assert!(error.contains("layer_specs is 4 layers, expected 5"), "{error}");
    }

    #[test]
    fn layers_that_differ_more_are_written_by_kind() {
        let mut config = old();
        for layer in [1, 3] {
            config.layers[layer].attention_mut().unwrap().heads = 8;
        }
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(written["layers"], serde_json::json!([0, 1, 2, 1]));
        assert_eq!(written["kinds"].as_array().map(Vec::len), Some(3));
        assert_eq!(serde_json::from_value::<ModelConfig>(written.clone()).unwrap(), config);
        let refused = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut changed = written.clone();
            change(&mut changed);
            serde_json::from_value::<ModelConfig>(changed).unwrap_err().to_string()
        };
        let error = refused(&|value| value["layers"][2] = 3.into());
        assert!(error.contains("layers is 3, expected one of 3 kinds"), "{error}");
        let error = refused(&|value| value["kinds"][0]["mixer"]["attention"]["sinks_"] = true.into());
        assert!(error.contains("sinks_"), "{error}");
        let error = refused(&|value| value["layers"] = vec![0; 5000].into());
        assert!(error.contains("expected 1 to 4096"), "{error}");
    }

    #[test]
    fn too_many_layers_are_refused_before_they_are_listed() {
        let text = OLD.replace("\"layers\":4", "\"layers\":1000000000000");
        let error = serde_json::from_str::<ModelConfig>(&text).unwrap_err().to_string();
        assert!(error.contains("expected 1 to 4096"), "{error}");
    }
}
