//! How a description is written in manifests. A model whose layers are alike, except that the first ones may have no
//! window, is written in the form of the first version: older workers read it, and a published model keeps its hash.

use super::{Architecture, ConfigError, LayerAttention, LayerSpec, ModelConfig, Rope, uniform_layers};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    architecture: Architecture,
    hidden_size: usize,
    intermediate_size: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab_size: usize,
    context_length: usize,
    norm_eps: f64,
    rope: Rope,
    sliding_window: Option<usize>,
    full_attention_layers: usize,
    qkv_bias: bool,
    o_bias: bool,
    mlp_bias: bool,
    qk_norm: bool,
    tied_embeddings: bool,
    bos: Option<u32>,
    eos: Vec<u32>,
    /// Each layer, where the fields above do not say what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer_specs: Option<Vec<LayerSpec>>,
}

impl TryFrom<Written> for ModelConfig {
    type Error = ConfigError;

    fn try_from(written: Written) -> Result<Self, ConfigError> {
        let count = written.layers;
        let layers = match written.layer_specs {
            Some(layers) if layers.len() == count => layers,
            Some(layers) => {
                return Err(ConfigError::invalid("layer_specs", format!("{} layers", layers.len()), count.to_string()));
            }
            None => {
                let Written { intermediate_size: width, sliding_window, full_attention_layers, .. } = written;
                uniform_layers(count, width, sliding_window, full_attention_layers)?
            }
        };
        Ok(ModelConfig {
            architecture: written.architecture,
            hidden_size: written.hidden_size,
            layers,
            heads: written.heads,
            kv_heads: written.kv_heads,
            head_dim: written.head_dim,
            vocab_size: written.vocab_size,
            context_length: written.context_length,
            norm_eps: written.norm_eps,
            rope: written.rope,
            qkv_bias: written.qkv_bias,
            o_bias: written.o_bias,
            mlp_bias: written.mlp_bias,
            qk_norm: written.qk_norm,
            tied_embeddings: written.tied_embeddings,
            bos: written.bos,
            eos: written.eos,
        })
    }
}

impl From<ModelConfig> for Written {
    fn from(config: ModelConfig) -> Self {
        let width = config.widest_feed_forward();
        let window = config.layers.iter().find_map(|layer| layer.attention.window());
        let windowed = |layer: &LayerSpec| layer.attention != LayerAttention::Full;
        let full = window.map_or(0, |_| config.layers.iter().position(windowed).unwrap_or(config.layers.len()));
        let differ = uniform_layers(config.layers.len(), width, window, full).as_ref() != Ok(&config.layers);
        Written {
            architecture: config.architecture,
            hidden_size: config.hidden_size,
            intermediate_size: width,
            layers: config.layers.len(),
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            vocab_size: config.vocab_size,
            context_length: config.context_length,
            norm_eps: config.norm_eps,
            rope: config.rope,
            sliding_window: if differ { None } else { window },
            full_attention_layers: if differ { 0 } else { full },
            qkv_bias: config.qkv_bias,
            o_bias: config.o_bias,
            mlp_bias: config.mlp_bias,
            qk_norm: config.qk_norm,
            tied_embeddings: config.tied_embeddings,
            bos: config.bos,
            eos: config.eos,
            layer_specs: differ.then_some(config.layers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeedForward;

    /// As manifests of the first version have it.
    const OLD: &str = r#"{"architecture":"qwen2","hidden_size":64,"intermediate_size":96,"layers":4,"heads":4,
        "kv_heads":2,"head_dim":16,"vocab_size":100,"context_length":128,"norm_eps":1e-6,"rope":{"theta":10000.0,
        "scaling":{"type":"none"},"interleaved":false},"sliding_window":8,"full_attention_layers":1,"qkv_bias":true,
        "o_bias":false,"mlp_bias":false,"qk_norm":false,"tied_embeddings":true,"bos":null,"eos":[2]}"#;

    fn old() -> ModelConfig {
        serde_json::from_str(OLD).unwrap()
    }

    #[test]
    fn manifests_of_models_of_like_layers_keep_every_byte() {
        let config = old();
        let kinds: Vec<_> = config.layers.iter().map(|layer| layer.attention.window()).collect();
        assert_eq!(kinds, [None, Some(8), Some(8), Some(8)]);
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(written, OLD.replace(|c: char| c.is_whitespace(), ""));
    }

    #[test]
    fn layers_that_differ_go_there_and_back() {
        let mut config = old();
        config.layers[2].attention = LayerAttention::Full;
        config.layers[3].feed_forward = FeedForward::Dense { width: 48 };
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!((&written["sliding_window"], &written["intermediate_size"]), (&serde_json::Value::Null, &96.into()));
        assert_eq!(serde_json::from_value::<ModelConfig>(written.clone()).unwrap(), config);
        let mut short = written;
        short["layers"] = 5.into();
        let error = serde_json::from_value::<ModelConfig>(short).unwrap_err().to_string();
        assert!(error.contains("layer_specs is 4 layers, expected 5"), "{error}");
    }

    #[test]
    fn too_many_layers_are_refused_before_they_are_listed() {
        let text = OLD.replace("\"layers\":4", "\"layers\":1000000000000");
        let error = serde_json::from_str::<ModelConfig>(&text).unwrap_err().to_string();
        assert!(error.contains("expected 1 to 4096"), "{error}");
    }
}
