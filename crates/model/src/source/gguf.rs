//! GGUF files: description, tokenizer and chat template from the metadata, tensors under Hugging Face's names.

use super::{Located, Source, SourceError, TextPlace};
use crate::config::uniform_layers;
use crate::gguf::{Content, Value};
use crate::{
    Activation, Architecture, AttentionSpec, ConfigError, DenseSpec, ExpertsSpec, ExpertsStored, FeedForward,
    LayerSpec, Mixer, ModelConfig, Norms, QkNorm, Rope, RopeScaling, RouterSpec, Scales, Score, Values, WeightType,
};
use half::{bf16, f16};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

pub(super) fn open(path: &Path) -> Result<Source, SourceError> {
    let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
    let damaged = |reason: String| SourceError::Damaged { path: path.to_owned(), reason };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut reader = BufReader::new(file);
    let content = Content::read(&mut reader, length).map_err(|error| damaged(error.to_string()))?;

    let mut tensors = HashMap::new();
    let mut factors = None;
    for (name, info) in &content.tensors {
        let dims = info.shape.clone();
        let unknown = |dtype: String| SourceError::Type { path: path.to_owned(), name: name.clone(), dtype };
        let dtype = WeightType::from_ggml(info.ggml_type)
            .ok_or_else(|| unknown(format!("number {} of ggml's", info.ggml_type)))?;
        let bytes =
            dtype.bytes_of(&dims).ok_or_else(|| damaged(format!("tensor {name} cannot be {dtype} {dims:?}")))?;
        let offset = content.data_offset.saturating_add(info.offset);
        if offset.saturating_add(bytes) > length {
            return Err(damaged(format!("it ends before tensor {name} does")));
        }
        if name == "rope_freqs.weight" {
            let mut bytes = vec![0; bytes as usize];
            let read = reader.seek(SeekFrom::Start(offset)).and_then(|_| reader.read_exact(&mut bytes));
            read.map_err(unreadable)?;
            factors = Some(plain_numbers(dtype, &bytes).ok_or_else(|| unknown(dtype.to_string()))?);
            continue;
        }
        if let Some(name) = hugging_face_name(name) {
            tensors.insert(name, Located { dtype, shape: dims, file: 0, offset, bytes });
        }
    }
    let config = config(&content.metadata, &tensors, factors)
        .map_err(|source| SourceError::Config { path: path.to_owned(), source })?;
    Ok(Source {
        config,
        files: vec![path.to_owned()],
        tensors,
        text: TextPlace::Gguf(Box::new(content)),
        notes: Vec::new(),
    })
}

/// Elements that are not quantized, as f32.
fn plain_numbers(dtype: WeightType, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        WeightType::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        WeightType::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        WeightType::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => return None,
    })
}

/// Hugging Face's name of a tensor; `None` for what a model does not need.
fn hugging_face_name(name: &str) -> Option<String> {
    let fixed = match name {
        "token_embd.weight" => crate::tensors::EMBEDDING,
        "output_norm.weight" => crate::tensors::FINAL_NORM,
        "output.weight" => crate::tensors::HEAD,
        _ => {
            let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
            let (part, kind) = part.rsplit_once('.')?;
            let layer: usize = layer.parse().ok()?;
            // Of all experts of a layer.
            if let Some(matrix) = part.strip_prefix("ffn_").and_then(|part| part.strip_suffix("_exps")) {
                let kind = if kind == "bias" { "_bias" } else { "" };
                return Some(format!("model.layers.{layer}.mlp.experts.{matrix}_proj{kind}"));
            }
            let part = match part {
                "attn_q" => "self_attn.q_proj",
                "attn_k" => "self_attn.k_proj",
                "attn_v" => "self_attn.v_proj",
                "attn_output" => "self_attn.o_proj",
                "attn_q_norm" => "self_attn.q_norm",
                "attn_k_norm" => "self_attn.k_norm",
                "attn_norm" => "input_layernorm",
                "ffn_norm" => "post_attention_layernorm",
                "post_attention_norm" => "post_self_attn_layernorm",
                "post_ffw_norm" => "post_mlp_layernorm",
                "ffn_gate_inp" => "mlp.gate",
                "ffn_gate" => "mlp.gate_proj",
                "ffn_up" => "mlp.up_proj",
                "ffn_down" => "mlp.down_proj",
                _ => return None,
            };
            return Some(format!("model.layers.{layer}.{part}.{kind}"));
        }
    };
    Some(fixed.to_owned())
}

struct Metadata<'a> {
    values: &'a HashMap<String, Value>,
    architecture: &'a str,
}

impl Metadata<'_> {
    /// A value of the architecture, such as `llama.block_count`.
    fn get<T>(&self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, ConfigError> {
        let key = format!("{}.{key}", self.architecture);
        let Some(value) = self.values.get(&key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| ConfigError::invalid(&key, format!("{value:?}"), "a number"))
    }

    /// A size, or a list with the same size for every layer.
    fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        let same = |value: &Value| match value.as_array() {
            Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => whole(first),
            Some(_) => None,
            None => whole(value),
        };
        Ok(self.get(key, same)?.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    fn needed(&self, key: &str) -> Result<usize, ConfigError> {
        let missing = || ConfigError::missing(format!("{}.{key}", self.architecture));
        self.size(key)?.ok_or_else(missing)
    }
}

/// A size, which some writers store as a signed number.
fn whole(value: &Value) -> Option<u64> {
    match *value {
        Value::I32(value) => value.try_into().ok(),
        Value::I64(value) => value.try_into().ok(),
        ref other => other.as_u64(),
    }
}

/// Keys that change what is computed in a way that is not built here.
const CHANGES: [&str; 6] = [
    "attn_logit_softcapping",
    "expert_group_count",
    "expert_shared_count",
    "final_logit_softcapping",
    "leading_dense_block_count",
    "rope.scaling.attn_factor",
];
/// Factors that Granite has.
const FACTORS: [&str; 4] = ["attention.scale", "embedding_scale", "logit_scale", "residual_scale"];

impl Metadata<'_> {
    /// Refuses what would be computed otherwise than the file says.
    fn check(&self, head_dim: usize) -> Result<(), ConfigError> {
        let named = |key: &str| format!("{}.{key}", self.architecture);
        // Heads are rotated as a whole, and keys are as wide as values.
        for key in ["rope.dimension_count", "attention.value_length"] {
            if let Some(found) = self.size(key)?.filter(|found| *found != head_dim) {
                return Err(ConfigError::invalid(named(key), found, format!("{head_dim}, the width of a head")));
            }
        }
        let factors = FACTORS.into_iter().filter(|_| self.architecture != "granite");
        for key in CHANGES.into_iter().chain(factors) {
            let number = |value: &Value| value.as_f32().or_else(|| whole(value).map(|value| value as f32));
            if let Some(found) = self.get(key, number)?.filter(|found| ![0.0, 1.0].contains(found)) {
                return Err(ConfigError::invalid(named(key), found, "none: it is not computed here"));
            }
        }
        const PARTS: &str = "split.count";
        match self.values.get(PARTS).and_then(whole) {
            None | Some(0 | 1) => Ok(()),
            Some(parts) => {
                let expected = "1: the file is one of many parts, which must be merged first";
                Err(ConfigError::invalid(PARTS, parts, expected))
            }
        }
    }

    /// The experts of each layer, where the model has them.
    fn experts(&self) -> Result<Option<ExpertsSpec>, ConfigError> {
        let Some(count) = self.size("expert_count")?.filter(|count| *count > 0) else { return Ok(None) };
        const GATING: &str = "expert_gating_func";
        const SOFTMAX: usize = 1;
        if let Some(found) = self.size(GATING)?.filter(|found| *found != SOFTMAX) {
            let field = format!("{}.{GATING}", self.architecture);
            return Err(ConfigError::invalid(field, found, format!("{SOFTMAX}, softmax")));
        }
        const NORM: &str = "expert_weights_norm";
        if self.get(NORM, Value::as_bool)? == Some(false) {
            let field = format!("{}.{NORM}", self.architecture);
            return Err(ConfigError::invalid(field, false, "true: the shares of a token's experts add up to 1"));
        }
        let width = match self.size("expert_feed_forward_length")? {
            Some(width) => width,
            None => self.needed("feed_forward_length")?,
        };
        let router = RouterSpec {
            used: self.needed("expert_used_count")?,
            score: Score::Softmax,
            bias: false,
            choice_bias: false,
            // llama.cpp does so in these families; files need not say it.
            normalize: true,
            scale: self.get("expert_weights_scale", Value::as_f32)?.filter(|scale| *scale != 0.0).unwrap_or(1.0),
            groups: None,
        };
        let (activation, stored) = (Activation::Silu, ExpertsStored::Stacked);
        let (bias, beside, shared) = (false, false, None);
        Ok(Some(ExpertsSpec { count, width, activation, bias, router, beside, shared, stored }))
    }

    /// Granite's factors.
    fn scales(&self) -> Result<Scales, ConfigError> {
        let factor = |key: &str| {
            Ok::<_, ConfigError>(self.get(key, Value::as_f32)?.filter(|found| *found != 0.0).unwrap_or(1.0))
        };
        let (embedding, residual) = (factor("embedding_scale")?, factor("residual_scale")?);
        Ok(Scales { embedding, residual, logit_divisor: factor("logit_scale")?, ..Scales::default() })
    }

    /// How positions are scaled. A factor without a type is linear, and `rope.scale_linear` is its older key.
    fn rope_scaling(&self, factors: Option<Vec<f32>>) -> Result<RopeScaling, ConfigError> {
        if let Some(factors) = factors {
            return Ok(RopeScaling::Factors { factors });
        }
        let factor = match self.get("rope.scaling.factor", Value::as_f32)? {
            Some(factor) => Some(factor),
            None => self.get("rope.scale_linear", Value::as_f32)?,
        };
        // 0 is written where there is none.
        let factor = factor.filter(|factor| *factor != 0.0).unwrap_or(1.0);
        match self.values.get(&format!("{}.rope.scaling.type", self.architecture)).map(Value::as_str) {
            None | Some(Some("linear")) if factor != 1.0 => Ok(RopeScaling::Linear { factor }),
            None | Some(Some("linear" | "none")) => Ok(RopeScaling::None),
            Some(other) => Err(ConfigError::invalid("rope.scaling.type", other.unwrap_or("no name"), "none or linear")),
        }
    }
}

fn config(
    values: &HashMap<String, Value>,
    tensors: &HashMap<String, Located>,
    factors: Option<Vec<f32>>,
) -> Result<ModelConfig, ConfigError> {
    const NAME: &str = "general.architecture";
    let named = values.get(NAME).ok_or_else(|| ConfigError::missing(NAME))?;
    let named = named.as_str().ok_or_else(|| ConfigError::invalid(NAME, format!("{named:?}"), "a name"))?;
    let architecture = match named {
        "llama" => Architecture::Llama,
        "granite" => Architecture::Granite,
        "olmo2" => Architecture::Olmo2,
        "qwen2" => Architecture::Qwen2,
        "qwen3" => Architecture::Qwen3,
        "qwen3moe" => Architecture::Qwen3Moe,
        other => return Err(ConfigError::invalid(NAME, other, "llama, granite, olmo2, qwen2, qwen3 or qwen3moe")),
    };
    let metadata = Metadata { values, architecture: named };
    let experts = metadata.experts()?;
    let architecture = match architecture {
        Architecture::Llama if experts.is_some() => Architecture::Mixtral,
        architecture => architecture,
    };
    let (hidden_size, heads) = (metadata.needed("embedding_length")?, metadata.needed("attention.head_count")?);
    let head_dim = metadata.size("attention.key_length")?.or(hidden_size.checked_div(heads)).unwrap_or(0);
    let vocab_size = tensors.get(crate::tensors::EMBEDDING).and_then(|located| located.shape.first().copied());
    metadata.check(head_dim)?;
    let scaling = metadata.rope_scaling(factors)?;
    let has = |name: &str| tensors.contains_key(&crate::tensors::layer_tensor(0, name));
    let token = |key: &str| match values.get(key) {
        Some(Value::U32(token)) => Some(*token),
        _ => None,
    };
    let mut eos: Vec<u32> =
        ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"].into_iter().filter_map(token).collect();
    eos.sort_unstable();
    eos.dedup();
    let attention = AttentionSpec {
        heads,
        kv_heads: metadata.size("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        window: metadata.size("attention.sliding_window")?.filter(|window| *window > 0),
        rope: Some(Rope {
            theta: metadata.get("rope.freq_base", Value::as_f32)?.unwrap_or(10_000.0),
            scaling,
            interleaved: matches!(named, "llama" | "granite"),
            rotated: None,
            magnitude: 1.0,
        }),
        scale: metadata.get("attention.scale", Value::as_f32)?.filter(|scale| ![0.0, 1.0].contains(scale)),
        position_scale: None,
        qkv_bias: has("self_attn.q_proj.bias"),
        o_bias: has("self_attn.o_proj.bias"),
        qk_norm: match has("self_attn.q_norm.weight") {
            true if architecture == Architecture::Olmo2 => QkNorm::Whole,
            true => QkNorm::Head,
            false => QkNorm::None,
        },
        sinks: false,
        values: Values::Own,
        shares: None,
        fused: false,
        gated: false,
    };
    let feed_forward = match experts {
        Some(experts) => FeedForward::Experts(experts),
        None => FeedForward::Dense(DenseSpec {
            width: metadata.needed("feed_forward_length")?,
            activation: Activation::Silu,
            bias: has("mlp.gate_proj.bias"),
            fused: false,
        }),
    };
    let layer = LayerSpec {
        mixer: Mixer::Attention(attention),
        feed_forward,
        norms: if architecture == Architecture::Olmo2 { Norms::After } else { Norms::Before },
        scaled: false,
    };
    let config = ModelConfig {
        architecture,
        hidden_size,
        layers: uniform_layers(metadata.needed("block_count")?, &layer, 0)?,
        vocab_size: vocab_size.ok_or_else(|| ConfigError::missing("token_embd.weight"))?,
        context_length: metadata.needed("context_length")?,
        norm_eps: metadata.get("attention.layer_norm_rms_epsilon", Value::as_f32)?.map_or(1e-5, decimal),
        norm_offset: false,
        scales: metadata.scales()?,
        per_layer: None,
        tied_embeddings: !tensors.contains_key(crate::tensors::HEAD),
        bos: token("tokenizer.ggml.bos_token_id"),
        eos,
    };
    config.validate()?;
    Ok(config)
}

/// 1e-5 as f32 is 9.99999974e-6 as f64; what was meant is what f32 prints.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a description of 2 layers with 4 heads of 8, with these keys besides.
    fn read(more: &[(&str, Value)]) -> Result<ModelConfig, String> {
        let sizes = [("block_count", 2), ("embedding_length", 32), ("attention.head_count", 4)];
        let others = [("feed_forward_length", 64), ("context_length", 128)];
        let size = |(key, value): (&str, u32)| (format!("llama.{key}"), Value::U32(value));
        let mut values: HashMap<String, Value> = sizes.into_iter().chain(others).map(size).collect();
        values.insert("general.architecture".into(), Value::String("llama".into()));
        values.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let table = Located { dtype: WeightType::F32, shape: vec![100, 32], file: 0, offset: 0, bytes: 12_800 };
        let tensors = HashMap::from([(crate::tensors::EMBEDDING.to_owned(), table)]);
        config(&values, &tensors, None).map_err(|error| error.to_string())
    }

    fn attention(more: &[(&str, Value)]) -> AttentionSpec {
        read(more).expect("a model").layers[0].attention().expect("attention").clone()
    }

    fn refused(key: &str, value: Value) -> String {
        let error = read(&[(key, value)]).expect_err("it would be computed otherwise");
        assert!(error.contains(key), "{error}");
        error
    }

    #[test]
    fn a_part_of_a_head_is_not_rotated_as_a_whole_one() {
        assert!(read(&[("llama.rope.dimension_count", Value::U32(8))]).is_ok());
        assert!(refused("llama.rope.dimension_count", Value::U32(4)).contains("the width of a head"));
        refused("llama.attention.value_length", Value::U32(16));
    }

    #[test]
    fn keys_that_change_the_computation_are_refused_by_name() {
        for key in CHANGES.into_iter().chain(FACTORS) {
            let key = format!("llama.{key}");
            assert!(read(&[(&key, Value::F32(1.0))]).is_ok(), "{key}");
            refused(&key, Value::F32(30.0));
        }
    }

    #[test]
    fn experts_are_read_and_other_ways_to_choose_them_are_refused() {
        let with = |key: &str, value: Value| {
            let count = ("llama.expert_count", Value::U32(8));
            read(&[count, ("llama.expert_used_count", Value::U32(2)), (key, value)])
        };
        let config = with("llama.expert_gating_func", Value::U32(1)).expect("a model");
        assert_eq!(config.architecture, Architecture::Mixtral);
        let FeedForward::Experts(experts) = &config.layers[0].feed_forward else { panic!("it has experts") };
        assert_eq!((experts.count, experts.width, experts.router.used), (8, 64, 2));
        for (key, value) in [
            ("llama.expert_gating_func", Value::U32(2)),
            ("llama.expert_weights_norm", Value::Bool(false)),
            ("llama.expert_shared_count", Value::U32(2)),
            ("llama.expert_used_count", Value::U32(9)),
        ] {
            let error = with(key, value).expect_err("it would be computed otherwise");
            assert!(error.contains(key.trim_start_matches("llama.")) || error.contains("router.used"), "{error}");
        }
    }

    #[test]
    fn the_older_key_of_a_linear_scale_counts() {
        let scaling = |more: &[(&str, Value)]| attention(more).rope.expect("it rotates").scaling;
        let linear = |factor| RopeScaling::Linear { factor };
        assert_eq!(scaling(&[]), RopeScaling::None);
        assert_eq!(scaling(&[("llama.rope.scale_linear", Value::F32(4.0))]), linear(4.0));
        assert_eq!(scaling(&[("llama.rope.scaling.factor", Value::F32(2.0))]), linear(2.0));
        assert_eq!(scaling(&[("llama.rope.scaling.factor", Value::F32(0.0))]), RopeScaling::None);
        let named = |kind: &str| ("llama.rope.scaling.type", Value::String(kind.into()));
        let factor = ("llama.rope.scaling.factor", Value::F32(2.0));
        assert_eq!(scaling(&[named("linear"), factor.clone()]), linear(2.0));
        assert_eq!(scaling(&[named("none"), factor.clone()]), RopeScaling::None);
        assert!(read(&[named("yarn"), factor]).expect_err("it is not built").contains("rope.scaling.type"));
    }

    #[test]
    fn a_list_of_one_size_is_that_size_and_one_of_several_is_refused() {
        let list = |sizes: [i32; 2]| ("llama.attention.head_count_kv", Value::Array(sizes.map(Value::I32).into()));
        assert_eq!(attention(&[list([2, 2])]).kv_heads, 2);
        assert!(read(&[list([2, 4])]).expect_err("layers differ").contains("head_count_kv"));
    }

    #[test]
    fn one_part_of_many_is_said_to_be_one() {
        assert!(read(&[("split.count", Value::U16(1))]).is_ok());
        assert!(refused("split.count", Value::U16(3)).contains("one of many parts"));
    }
}
