//! The reference models as GGUF files, made here: what they compute is what their folders do.
#![allow(clippy::unwrap_used)]

use crate::{Stage, StageOptions, parity, reference::dense};
use candle_core::quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value};
use candle_core::{Device, Tensor};
use gogrid_model::{
    CandidateRequest, Candidates, DeviceSpec, FeedForward, FloatType, Input, Layers, Output, Quant, Rope, RopeScaling,
    Scales, SessionKey, Source, Span, TensorSource, tensors,
};
use rstest::rstest;
use std::fs::File;
use std::path::{Path, PathBuf};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(name)
}

/// GGUF's name of a tensor.
fn gguf_name(name: &str) -> String {
    let parts = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.", "blk."),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("mlp.gate", "ffn_gate_inp"),
        ("post_self_attn_layernorm", "post_attention_norm"),
        ("post_mlp_layernorm", "post_ffw_norm"),
    ];
    parts.iter().fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
}

/// A matrix of all experts of a layer, and its name, for that of the first one.
fn of_all_experts(source: &Source, first: &str) -> Option<(String, Tensor)> {
    let (layer, part) = first.split_once(".mlp.experts.0.")?;
    let manifest = source.manifest().unwrap();
    let expert = |expert: usize| {
        let entry = manifest.tensor(&format!("{layer}.mlp.experts.{expert}.{part}"))?;
        let bytes = source.tensor(entry).unwrap();
        Some(Tensor::from_raw_buffer(&bytes, dense(entry.dtype).unwrap(), &entry.shape, &Device::Cpu).unwrap())
    };
    let all: Vec<Tensor> = (0..).map_while(expert).collect();
    let name = format!("{}.ffn_{}", gguf_name(layer), part.replace("_proj", "_exps"));
    Some((name.replace("model.layers.", "blk."), Tensor::stack(&all, 0).unwrap()))
}

/// Each head's rows in the order that GGUF files of the llama family have: (i, i + d/2) become neighbours.
fn interleave(rows: &Tensor, heads: usize) -> Tensor {
    let (out, columns) = rows.dims2().unwrap();
    let halves = rows.reshape((heads, 2, out / heads / 2, columns)).unwrap();
    halves.transpose(1, 2).unwrap().contiguous().unwrap().reshape((out, columns)).unwrap()
}

/// What llama.cpp's conversion writes as `rope_freqs.weight`: the divisor of each frequency.
fn rope_factors(rope: &Rope, head_dim: usize) -> Option<Vec<f32>> {
    let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_length } = rope.scaling
    else {
        return None;
    };
    let context = original_context_length as f32;
    let divisor = |i: usize| {
        let wavelength = 2.0 * std::f32::consts::PI * rope.theta.powf((2 * i) as f32 / head_dim as f32);
        if wavelength < context / high_freq_factor {
            1.0
        } else if wavelength > context / low_freq_factor {
            factor
        } else {
            let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    Some((0..head_dim / 2).map(divisor).collect())
}

/// Writes a folder's model as a GGUF file with matrices of that type (the embedding table stays f32).
fn convert(folder: &Path, architecture: &str, matrices: GgmlDType, path: &Path) {
    let source = Source::open(folder).unwrap();
    let config = source.config();
    let attention = config.layers[0].attention().unwrap();
    let rope = attention.rope.as_ref().unwrap();
    let number = |value: usize| Value::U32(value as u32);
    let mut metadata = vec![("general.architecture".to_owned(), Value::String(architecture.to_owned()))];
    for (key, value) in [
        ("embedding_length", number(config.hidden_size)),
        ("feed_forward_length", number(config.widest_feed_forward())),
        ("block_count", number(config.layers.len())),
        ("attention.head_count", number(attention.heads)),
        ("attention.head_count_kv", number(attention.kv_heads)),
        ("attention.key_length", number(attention.head_dim)),
        ("context_length", number(config.context_length)),
        ("attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps as f32)),
        ("rope.freq_base", Value::F32(rope.theta)),
        ("attention.sliding_window", number(attention.window.unwrap_or(0))),
    ] {
        metadata.push((format!("{architecture}.{key}"), value));
    }
    if let FeedForward::Experts(experts) = &config.layers[0].feed_forward {
        for (key, value) in [
            ("expert_count", experts.count),
            ("expert_used_count", experts.router.used),
            ("expert_feed_forward_length", experts.width),
        ] {
            metadata.push((format!("{architecture}.{key}"), number(value)));
        }
    }
    let Scales { embedding, residual, logit_divisor, .. } = config.scales;
    for (key, value) in [
        ("attention.scale", attention.scale.unwrap_or(0.0)),
        ("embedding_scale", embedding),
        ("residual_scale", residual),
        ("logit_scale", logit_divisor),
    ] {
        metadata.push((format!("{architecture}.{key}"), Value::F32(value)));
    }
    let mut tensors = Vec::new();
    for entry in source.manifest().unwrap().tensors {
        if entry.name.contains(".mlp.experts.") {
            let all = of_all_experts(&source, &entry.name);
            tensors.extend(all.map(|(name, all)| (name, QTensor::quantize(&all, matrices).unwrap())));
            continue;
        }
        let bytes = source.tensor(&entry).unwrap();
        let tensor = Tensor::from_raw_buffer(&bytes, dense(entry.dtype).unwrap(), &entry.shape, &Device::Cpu).unwrap();
        let tensor = match (architecture, entry.name.rsplit('.').nth(1)) {
            ("llama" | "granite", Some("q_proj")) => interleave(&tensor, attention.heads),
            ("llama" | "granite", Some("k_proj")) => interleave(&tensor, attention.kv_heads),
            _ => tensor,
        };
        let matrix = entry.shape.len() == 2 && entry.name != tensors::EMBEDDING;
        let dtype = if matrix { matrices } else { GgmlDType::F32 };
        tensors.push((gguf_name(&entry.name), QTensor::quantize(&tensor, dtype).unwrap()));
    }
    if let Some(factors) = rope_factors(rope, attention.head_dim) {
        let factors = Tensor::new(factors, &Device::Cpu).unwrap();
        tensors.push(("rope_freqs.weight".to_owned(), QTensor::quantize(&factors, GgmlDType::F32).unwrap()));
    }
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

/// The logits after the last of these tokens, of a model cut into two stages.
fn logits(path: &Path, quant: Quant, tokens: &[u32]) -> Candidates {
    let source = Source::open(path).unwrap();
    let manifest = source.manifest().unwrap();
    let options =
        StageOptions { quant, device: DeviceSpec::Cpu, kv_budget: u64::MAX, chunk: 64, activations: FloatType::F32 };
    let session = SessionKey(0);
    let want = Some(CandidateRequest { top: usize::MAX, ..CandidateRequest::default() });
    let span = [Span { session, position: 0, tokens: tokens.len(), want }];
    let mut output = None;
    for layers in [Layers { start: 0, end: 3 }, Layers { start: 3, end: 4 }] {
        let mut stage = Stage::load(&manifest, layers, &source, &options).unwrap();
        stage.open(session, tokens.len()).unwrap();
        let input = match output {
            Some(Output::Hidden(hidden)) => Input::Hidden(hidden),
            _ => Input::Tokens(tokens),
        };
        output = Some(stage.forward(&span, input).unwrap());
    }
    let Some(Output::Candidates(mut rows)) = output else { panic!("the last stage has the head") };
    rows.remove(0)
}

#[rstest]
#[case("granite", "granite")]
#[case("mixtral", "llama")]
#[case("olmo2", "olmo2")]
#[case("qwen3-moe", "qwen3moe")]
fn further_families_equal_their_references(#[case] name: &str, #[case] architecture: &str) {
    let (folder, scratch) = (reference(name), tempfile::tempdir().unwrap());
    let file = scratch.path().join("f32.gguf");
    convert(&folder, architecture, GgmlDType::F32, &file);
    let reports = parity::check(&file, &folder.join("reference.safetensors"), DeviceSpec::Cpu, Quant::None).unwrap();
    assert_eq!(reports.len(), 8);
    for report in reports {
        assert!(report.hidden <= 1e-4 && report.logits <= 1e-4 && report.greedy, "{report:?}");
    }
}

#[rstest]
#[case("llama", "llama")]
#[case("llama-tied-llama3-rope", "llama")]
#[case("mistral-sliding-window", "llama")]
#[case("qwen2-bias", "qwen2")]
#[case("qwen3-qk-norm", "qwen3")]
fn a_gguf_file_equals_its_folder(#[case] name: &str, #[case] architecture: &str) {
    let (folder, scratch) = (reference(name), tempfile::tempdir().unwrap());

    let plain = scratch.path().join("f32.gguf");
    convert(&folder, architecture, GgmlDType::F32, &plain);
    let reports = parity::check(&plain, &folder.join("reference.safetensors"), DeviceSpec::Cpu, Quant::None).unwrap();
    assert_eq!(reports.len(), 8);
    for report in reports {
        assert!(report.hidden <= 1e-4 && report.logits <= 1e-4 && report.greedy, "{report:?}");
    }

    // Quantized by the file's writer or by the loader of the folder: the same blocks, so the same numbers.
    let quantized = scratch.path().join("q8_0.gguf");
    convert(&folder, architecture, GgmlDType::Q8_0, &quantized);
    // A tied head is the embedding table, which the file keeps in f32 and the folder's loader quantizes.
    let tied = Source::open(&folder).unwrap().config().tied_embeddings;
    let quant = if tied { Quant::Q8_0 } else { Quant::None };
    let tokens: Vec<u32> = (0..40).map(|position| 3 + position * 11 % 380).collect();
    assert_eq!(logits(&quantized, quant, &tokens), logits(&folder, Quant::Q8_0, &tokens));
}
