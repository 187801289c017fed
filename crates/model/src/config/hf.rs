//! config.json of Hugging Face transformers, versions 4 and 5.

use super::{
    Architecture, AttentionSpec, ConfigError, DenseSpec, FeedForward, LayerSpec, Mixer, ModelConfig, Norms, QkNorm,
    Rope, RopeScaling, uniform_layers,
};
use serde_json::{Map, Value};

const KNOWN: &str = "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM";

/// A JSON object whose fields are asked for by name; errors carry the path.
struct Fields<'a> {
    path: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn new(path: &'static str, value: &'a Value) -> Result<Self, ConfigError> {
        let map = value.as_object();
        map.map(|map| Fields { path, map }).ok_or_else(|| ConfigError::invalid(path, short(value), "a JSON object"))
    }

    fn field(&self, name: &str) -> String {
        format!("{}: {name}", self.path)
    }

    /// The value, unless it is missing or null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn parse<T>(
        &self,
        name: &str,
        expected: &'static str,
        parse: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| ConfigError::invalid(self.field(name), short(value), expected))
    }

    fn size(&self, name: &str) -> Result<Option<usize>, ConfigError> {
        self.parse(name, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn need_size(&self, name: &str) -> Result<usize, ConfigError> {
        self.size(name)?.ok_or_else(|| ConfigError::Missing { field: self.field(name), expected: "a whole number" })
    }

    fn number(&self, name: &str) -> Result<Option<f64>, ConfigError> {
        self.parse(name, "a number", Value::as_f64)
    }

    fn need_number(&self, name: &str) -> Result<f64, ConfigError> {
        self.number(name)?.ok_or_else(|| ConfigError::Missing { field: self.field(name), expected: "a number" })
    }

    fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        Ok(self.parse(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, ConfigError> {
        self.parse(name, "a string", Value::as_str)
    }

    fn token(&self, name: &str) -> Result<Option<u32>, ConfigError> {
        self.parse(name, "a token id", token)
    }

    /// One token id or a list of them.
    fn tokens(&self, name: &str) -> Result<Vec<u32>, ConfigError> {
        let parse = |value: &Value| match value {
            Value::Array(list) => list.iter().map(token).collect(),
            one => token(one).map(|id| vec![id]),
        };
        Ok(self.parse(name, "a token id or a list of token ids", parse)?.unwrap_or_default())
    }
}

fn token(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

/// A value for an error message: enough to recognize it.
fn short(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn read(config: &Value, generation: Option<&Value>) -> Result<ModelConfig, ConfigError> {
    let config = Fields::new("config.json", config)?;
    let architecture = architecture(&config)?;
    let activation = config.text("hidden_act")?.unwrap_or("silu");
    if activation != "silu" {
        let (field, value) = (config.field("hidden_act"), format!("\"{activation}\""));
        return Err(ConfigError::Unsupported { field, value, supported: "\"silu\"" });
    }
    let hidden_size = config.need_size("hidden_size")?;
    let heads = config.need_size("num_attention_heads")?;
    let head_dim = match config.size("head_dim")? {
        Some(head_dim) => head_dim,
        None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            let expected = format!("a divisor of hidden_size, {hidden_size}, as there is no head_dim");
            return Err(ConfigError::invalid(config.field("num_attention_heads"), heads, expected));
        }
    };
    let attention_bias = config.flag("attention_bias")?;
    let (qkv_bias, o_bias) = match architecture {
        Architecture::Llama | Architecture::Qwen3 => (attention_bias, attention_bias),
        Architecture::Mistral => (false, false),
        Architecture::Qwen2 => (true, false),
    };
    let attention = AttentionSpec {
        heads,
        kv_heads: config.size("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        window: None,
        rope: Some(rope(&config)?),
        qkv_bias,
        o_bias,
        qk_norm: if architecture == Architecture::Qwen3 { QkNorm::Head } else { QkNorm::None },
    };
    let bias = architecture == Architecture::Llama && config.flag("mlp_bias")?;
    let feed_forward = FeedForward::Dense(DenseSpec { width: config.need_size("intermediate_size")?, bias });
    let like = LayerSpec { mixer: Mixer::Attention(attention), feed_forward, norms: Norms::Before };
    let mut eos = config.tokens("eos_token_id")?;
    if let Some(generation) = generation {
        eos.extend(Fields::new("generation_config.json", generation)?.tokens("eos_token_id")?);
    }
    eos.sort_unstable();
    eos.dedup();
    Ok(ModelConfig {
        architecture,
        hidden_size,
        layers: layers(&config, architecture, like)?,
        vocab_size: config.need_size("vocab_size")?,
        context_length: config.need_size("max_position_embeddings")?,
        norm_eps: config.number("rms_norm_eps")?.unwrap_or(1e-6),
        tied_embeddings: config.flag("tie_word_embeddings")?,
        bos: config.token("bos_token_id")?,
        eos,
    })
}

fn architecture(config: &Fields<'_>) -> Result<Architecture, ConfigError> {
    let first = |value: &'_ Value| -> Option<String> { Some(value.as_array()?.first()?.as_str()?.to_owned()) };
    if let Some(value) = config.parse("architectures", "a list with the model's class", first)? {
        return match value.as_str() {
            "LlamaForCausalLM" => Ok(Architecture::Llama),
            "MistralForCausalLM" => Ok(Architecture::Mistral),
            "Qwen2ForCausalLM" => Ok(Architecture::Qwen2),
            "Qwen3ForCausalLM" => Ok(Architecture::Qwen3),
            _ => Err(ConfigError::UnknownArchitecture { field: "config.json: architectures", value, known: KNOWN }),
        };
    }
    match config.text("model_type")? {
        Some("llama") => Ok(Architecture::Llama),
        Some("mistral") => Ok(Architecture::Mistral),
        Some("qwen2") => Ok(Architecture::Qwen2),
        Some("qwen3") => Ok(Architecture::Qwen3),
        Some(other) => Err(ConfigError::UnknownArchitecture {
            field: "config.json: model_type",
            value: other.to_owned(),
            known: "llama, mistral, qwen2 and qwen3",
        }),
        None => Err(ConfigError::Missing { field: config.field("architectures"), expected: KNOWN }),
    }
}

/// `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).
fn rope(config: &Fields<'_>) -> Result<Rope, ConfigError> {
    let new = config.get("rope_parameters").map(|value| Fields::new("config.json: rope_parameters", value));
    let old = config.get("rope_scaling").map(|value| Fields::new("config.json: rope_scaling", value));
    let settings = new.or(old).transpose()?;
    let within = |name: &str| settings.as_ref().map_or(Ok(None), |settings| settings.number(name));
    for fields in settings.iter().chain([config]) {
        let rotary = fields.number("partial_rotary_factor")?.unwrap_or(1.0);
        if rotary != 1.0 {
            let (field, value) = (fields.field("partial_rotary_factor"), rotary.to_string());
            return Err(ConfigError::Unsupported { field, value, supported: "1, a rotation of the whole head" });
        }
    }
    let theta = match within("rope_theta")? {
        Some(theta) => theta,
        None => config.number("rope_theta")?.unwrap_or(10_000.0),
    };
    let scaling = settings.as_ref().map_or(Ok(RopeScaling::None), rope_scaling)?;
    Ok(Rope { theta: theta as f32, scaling, interleaved: false })
}

fn rope_scaling(settings: &Fields<'_>) -> Result<RopeScaling, ConfigError> {
    let (field, kind) = match settings.text("rope_type")? {
        Some(kind) => ("rope_type", Some(kind)),
        None => ("type", settings.text("type")?),
    };
    match kind.unwrap_or("default") {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: settings.need_number("factor")? as f32 }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: settings.need_number("factor")? as f32,
            low_freq_factor: settings.need_number("low_freq_factor")? as f32,
            high_freq_factor: settings.need_number("high_freq_factor")? as f32,
            original_context_length: settings.need_size("original_max_position_embeddings")?,
        }),
        other => Err(ConfigError::Unsupported {
            field: settings.field(field),
            value: format!("\"{other}\""),
            supported: "\"default\", \"linear\" and \"llama3\"",
        }),
    }
}

/// Every layer: those with a sliding window are listed one by one, or begin behind the first `max_window_layers`.
fn layers(config: &Fields<'_>, architecture: Architecture, like: LayerSpec) -> Result<Vec<LayerSpec>, ConfigError> {
    let count = config.need_size("num_hidden_layers")?;
    let window = config.size("sliding_window")?;
    let full = match architecture {
        Architecture::Llama => None,
        Architecture::Mistral => Some(0),
        Architecture::Qwen2 | Architecture::Qwen3 => match config.flag("use_sliding_window")? {
            true => Some(config.size("max_window_layers")?.unwrap_or(count)),
            false => None,
        },
    };
    let mut like = like;
    if let Some(attention) = like.attention_mut() {
        attention.window = window.filter(|_| full.is_some());
    }
    let mut layers = uniform_layers(count, &like, full.unwrap_or(count))?;
    if full.is_none() {
        return Ok(layers);
    }
    let Some(types) = config.parse("layer_types", "a list", Value::as_array)? else { return Ok(layers) };
    let known = |kind: &Value| kind == "full_attention" || kind == "sliding_attention";
    if types.len() != count || !types.iter().all(known) {
        return Err(ConfigError::Unsupported {
            field: config.field("layer_types"),
            value: short(&Value::Array(types.clone())),
            supported: "\"full_attention\" and \"sliding_attention\", one for each layer",
        });
    }
    for (layer, kind) in layers.iter_mut().zip(types) {
        let window = match window {
            _ if kind == "full_attention" => None,
            Some(tokens) => Some(tokens),
            None => return Err(ConfigError::missing(config.field("sliding_window"))),
        };
        if let Some(attention) = layer.attention_mut() {
            attention.window = window;
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn windows(change: &Value) -> Result<Vec<Option<usize>>, ConfigError> {
        let mut config = json!({
            "architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
            "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 128, "sliding_window": 8,
            "use_sliding_window": true, "max_window_layers": 3,
        });
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = ModelConfig::from_hf(&config, None)?;
        Ok(config.layers.iter().map(|layer| layer.attention().and_then(|attention| attention.window)).collect())
    }

    #[test]
    fn windows_are_those_of_the_list_or_begin_behind_the_first_layers() {
        let (full, slides) = ("full_attention", "sliding_attention");
        assert_eq!(windows(&json!({})).unwrap(), [None, None, None, Some(8)]);
        assert_eq!(windows(&json!({ "use_sliding_window": false })).unwrap(), [None; 4]);
        assert_eq!(windows(&json!({ "architectures": ["MistralForCausalLM"] })).unwrap(), [Some(8); 4]);
        assert_eq!(windows(&json!({ "architectures": ["LlamaForCausalLM"] })).unwrap(), [None; 4]);
        let listed = windows(&json!({ "layer_types": [slides, full, slides, full] })).unwrap();
        assert_eq!(listed, [Some(8), None, Some(8), None]);
    }

    #[test]
    fn a_list_that_does_not_fit_the_layers_is_refused() {
        let (full, slides) = ("full_attention", "sliding_attention");
        for (change, field) in [
            (json!({ "layer_types": [full, full, full] }), "layer_types"),
            (json!({ "layer_types": [full, full, full, "linear_attention"] }), "layer_types"),
            (json!({ "layer_types": "full_attention" }), "layer_types"),
            (json!({ "layer_types": [full, full, full, slides], "sliding_window": null }), "sliding_window"),
            (json!({ "sliding_window": 0 }), "sliding_window"),
            (json!({ "num_hidden_layers": 1e12 as u64 }), "num_hidden_layers"),
        ] {
            let error = windows(&change).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
