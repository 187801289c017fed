//! The first form of a description: one attention for all layers, and dense networks.

use super::super::{
    Activation, Architecture, AttentionSpec, ConfigError, DenseSpec, FeedForward, LayerSpec, Mixer, ModelConfig, Norms,
    QkNorm, Rope, Scales, Values, uniform_layers,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct First {
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
    layer_specs: Option<Vec<Layer>>,
}

/// What may differ between layers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    attention: Seen,
    feed_forward: Network,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Seen {
    Full,
    Window(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Network {
    Dense { width: usize },
}

impl First {
    /// The description in this form; `None` if it says more than this form can.
    pub(super) fn of(config: &ModelConfig) -> Option<Self> {
        let windows = config.layers.iter().map(|layer| layer.attention().and_then(|attention| attention.window));
        let windows: Vec<Option<usize>> = windows.collect();
        let LayerSpec { mixer, feed_forward, .. } = config.layers.first()?;
        let (Mixer::Attention(attention), FeedForward::Dense(dense)) = (mixer, feed_forward) else { return None };
        let window = windows.iter().copied().flatten().next();
        let full = windows.iter().position(Option::is_some).unwrap_or(windows.len());
        let mut first = First {
            architecture: config.architecture,
            hidden_size: config.hidden_size,
            intermediate_size: config.widest_feed_forward(),
            layers: config.layers.len(),
            heads: attention.heads,
            kv_heads: attention.kv_heads,
            head_dim: attention.head_dim,
            vocab_size: config.vocab_size,
            context_length: config.context_length,
            norm_eps: config.norm_eps,
            rope: attention.rope.clone()?,
            sliding_window: window,
            full_attention_layers: window.map_or(0, |_| full),
            qkv_bias: attention.qkv_bias,
            o_bias: attention.o_bias,
            mlp_bias: dense.bias,
            qk_norm: attention.qk_norm == QkNorm::Head,
            tied_embeddings: config.tied_embeddings,
            bos: config.bos,
            eos: config.eos.clone(),
            layer_specs: None,
        };
        if first.describes(config) {
            return Some(first);
        }
        let layer = |(layer, window): (&LayerSpec, &Option<usize>)| Layer {
            attention: window.map_or(Seen::Full, Seen::Window),
            feed_forward: Network::Dense { width: layer.feed_forward.width() },
        };
        first.layer_specs = Some(config.layers.iter().zip(&windows).map(layer).collect());
        (first.sliding_window, first.full_attention_layers) = (None, 0);
        first.describes(config).then_some(first)
    }

    /// Whether this is all that the description says.
    fn describes(&self, config: &ModelConfig) -> bool {
        self.config().is_ok_and(|described| described == *config)
    }

    fn config(&self) -> Result<ModelConfig, ConfigError> {
        let attention = AttentionSpec {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            window: self.sliding_window,
            rope: Some(self.rope.clone()),
            scale: None,
            position_scale: None,
            qkv_bias: self.qkv_bias,
            o_bias: self.o_bias,
            qk_norm: if self.qk_norm { QkNorm::Head } else { QkNorm::None },
            sinks: false,
            values: Values::Own,
            shares: None,
            fused: false,
            gated: false,
        };
        let (width, bias) = (self.intermediate_size, self.mlp_bias);
        let dense = DenseSpec { width, activation: Activation::Silu, bias, fused: false };
        let like = LayerSpec {
            mixer: Mixer::Attention(attention.clone()),
            feed_forward: FeedForward::Dense(dense.clone()),
            norms: Norms::Before,
            scaled: false,
        };
        let layer = |layer: &Layer| {
            let window = match layer.attention {
                Seen::Full => None,
                Seen::Window(tokens) => Some(tokens),
            };
            let Network::Dense { width } = layer.feed_forward;
            LayerSpec {
                mixer: Mixer::Attention(AttentionSpec { window, ..attention.clone() }),
                feed_forward: FeedForward::Dense(DenseSpec { width, ..dense.clone() }),
                ..like.clone()
            }
        };
        let layers = match &self.layer_specs {
            None => uniform_layers(self.layers, &like, self.full_attention_layers)?,
            Some(layers) if layers.len() == self.layers => layers.iter().map(layer).collect(),
            Some(layers) => {
                let (found, expected) = (format!("{} layers", layers.len()), self.layers.to_string());
                return Err(ConfigError::invalid("layer_specs", found, expected));
            }
        };
        Ok(ModelConfig {
            architecture: self.architecture,
            hidden_size: self.hidden_size,
            layers,
            vocab_size: self.vocab_size,
            context_length: self.context_length,
            norm_eps: self.norm_eps,
            norm_offset: false,
            scales: Scales::default(),
            per_layer: None,
            tied_embeddings: self.tied_embeddings,
            bos: self.bos,
            eos: self.eos.clone(),
        })
    }
}

impl TryFrom<First> for ModelConfig {
    type Error = ConfigError;

    fn try_from(first: First) -> Result<Self, ConfigError> {
        first.config()
    }
}
