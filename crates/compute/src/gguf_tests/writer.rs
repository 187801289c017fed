//! Writes reference models as GGUF files as llama.cpp's converter does (<https://github.com/ggml-org/llama.cpp>,
//! `conversion`): its keys, its names of tensors, and what it changes in them. When this was written, files of the converter
//! itself had the same tensors, and the same keys but for some that say nothing, or what others say.

use crate::reference::dense;
use candle_core::quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value};
use candle_core::{D, Device, Tensor};
use gogrid_model::{
    AttentionSpec, DeltaNetSpec, ExpertsSpec, FeedForward, LatentSpec, LayerSpec, Manifest, Mixer, ModelConfig, Rope,
    RopeScaling, Source, TensorEntry, TensorSource, tensors,
};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Names of parts of a layer: ours, and those of GGUF.
const PARTS: [(&str, &str); 41] = [
    ("input_layernorm", "attn_norm"),
    ("post_self_attn_layernorm", "post_attention_norm"),
    ("post_mlp_layernorm", "post_ffw_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.sinks", "attn_sinks.weight"),
    ("self_attn.q_a_proj", "attn_q_a"),
    ("self_attn.q_a_layernorm", "attn_q_a_norm"),
    ("self_attn.q_b_proj", "attn_q_b"),
    ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"),
    ("self_attn.kv_a_layernorm", "attn_kv_a_norm"),
    ("self_attn.kv_b_proj", "attn_kv_b"),
    ("linear_attn.in_proj_qkv", "attn_qkv"),
    ("linear_attn.in_proj_z", "attn_gate"),
    ("linear_attn.in_proj_b", "ssm_beta"),
    ("linear_attn.in_proj_a", "ssm_alpha"),
    ("linear_attn.out_proj", "ssm_out"),
    ("linear_attn.conv1d", "ssm_conv1d"),
    ("linear_attn.A_log", "ssm_a"),
    ("linear_attn.dt_bias", "ssm_dt.bias"),
    ("linear_attn.norm", "ssm_norm"),
    ("conv.conv", "shortconv.conv"),
    ("conv.in_proj", "shortconv.in_proj"),
    ("conv.out_proj", "shortconv.out_proj"),
    ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"),
    ("mlp.gate.per_expert_scale", "ffn_down_exps.scale"),
    ("mlp.gate.scale", "ffn_gate_inp.scale"),
    ("mlp.experts_before", "pre_ffw_norm_2"),
    ("mlp.experts_after", "post_ffw_norm_2"),
    ("mlp.shared_expert_after", "post_ffw_norm_1"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("per_layer_input_gate", "inp_gate"),
    ("per_layer_projection", "proj"),
    ("post_per_layer_input_norm", "post_norm"),
    ("layer_scalar", "layer_output_scale.weight"),
];

/// A model to be written.
pub(super) struct Writer<'a> {
    source: &'a Source,
    manifest: Manifest,
    architecture: &'a str,
    /// Keys and values of latent attention in one tensor, as in older files.
    pub(super) joins_latent: bool,
    /// With a layer behind the last one that predicts another token.
    pub(super) predicts: bool,
    /// Files that the model is written in.
    pub(super) parts: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a Source, architecture: &'a str) -> Self {
        Writer {
            source,
            manifest: source.manifest().unwrap(),
            architecture,
            joins_latent: false,
            predicts: false,
            parts: 1,
        }
    }

    fn config(&self) -> &ModelConfig {
        &self.manifest.config
    }

    /// Writes the file with matrices of that type; the embedding table stays f32.
    pub(super) fn write(&self, matrices: GgmlDType, path: &Path) {
        let (mut metadata, mut written) = (self.metadata(), Vec::new());
        for entry in &self.manifest.tensors {
            for (name, tensor) in self.tensors(entry) {
                let kept = ["token_embd", "ffn_gate_inp", "conv", "ssm_norm"].iter().any(|kept| name.contains(kept));
                let dtype = if tensor.rank() == 1 || kept { GgmlDType::F32 } else { matrices };
                written.push((name, QTensor::quantize(&tensor.contiguous().unwrap(), dtype).unwrap()));
            }
        }
        for (name, factors) in self.rope_factors() {
            let factors = Tensor::new(factors, &Device::Cpu).unwrap();
            written.push((name.to_owned(), QTensor::quantize(&factors, GgmlDType::F32).unwrap()));
        }
        if self.predicts {
            let layers = self.config().layers.len();
            metadata.retain(|(key, _)| !key.ends_with(".block_count"));
            for (key, count) in [("block_count", layers + 1), ("nextn_predict_layers", 1)] {
                metadata.push((format!("{}.{key}", self.architecture), Value::U32(count as u32)));
            }
            let norm = Tensor::zeros(8, candle_core::DType::F32, &Device::Cpu).unwrap();
            let norm = QTensor::quantize(&norm, GgmlDType::F32).unwrap();
            written.push((format!("blk.{layers}.nextn.enorm.weight"), norm));
        }
        metadata.insert(0, ("general.architecture".to_owned(), Value::String(self.architecture.to_owned())));
        for part in 0..self.parts {
            let mut own = if part == 0 { metadata.clone() } else { Vec::new() };
            if self.parts > 1 {
                own.push(("split.no".to_owned(), Value::U16(part as u16)));
                own.push(("split.count".to_owned(), Value::U16(self.parts as u16)));
            }
            let own: Vec<_> = own.iter().map(|(key, value)| (key.as_str(), value)).collect();
            let tensors = written.iter().skip(part).step_by(self.parts);
            let tensors: Vec<_> = tensors.map(|(name, tensor)| (name.as_str(), tensor)).collect();
            let path = if self.parts > 1 { part_of(path, part, self.parts) } else { path.to_owned() };
            gguf_file::write(&mut File::create(path).unwrap(), &own, &tensors).unwrap();
        }
    }

    fn read(&self, entry: &TensorEntry) -> Tensor {
        let bytes = self.source.tensor(entry).unwrap();
        let tensor = Tensor::from_raw_buffer(&bytes, dense(entry.dtype).unwrap(), &entry.shape, &Device::Cpu).unwrap();
        tensor.to_dtype(candle_core::DType::F32).unwrap()
    }

    /// What a tensor becomes in the file.
    fn tensors(&self, entry: &TensorEntry) -> Vec<(String, Tensor)> {
        let Some((layer, part)) = entry.name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
            let name = match entry.name.as_str() {
                tensors::EMBEDDING => "token_embd.weight",
                tensors::HEAD => "output.weight",
                tensors::PER_LAYER_TABLE => "per_layer_token_embd.weight",
                tensors::PER_LAYER_NORM => "per_layer_proj_norm.weight",
                tensors::FINAL_NORM if self.architecture == "lfm2" => "token_embd_norm.weight",
                tensors::FINAL_NORM => "output_norm.weight",
                _ => "per_layer_model_proj.weight",
            };
            let norm = entry.name == tensors::FINAL_NORM;
            let tensor = self.read(entry);
            return vec![(name.to_owned(), if norm { self.norm(tensor) } else { tensor })];
        };
        let layer: usize = layer.parse().unwrap();
        let parts = self.parts(&self.config().layers[layer], part, || self.read(entry), layer);
        parts.into_iter().map(|(part, tensor)| (format!("blk.{layer}.{part}"), tensor)).collect()
    }

    fn parts(&self, spec: &LayerSpec, part: &str, read: impl Fn() -> Tensor, layer: usize) -> Vec<(String, Tensor)> {
        if let (Some(expert), FeedForward::Experts(experts)) = (part.strip_prefix("mlp.experts."), &spec.feed_forward) {
            return self.experts(experts, expert, read, layer);
        }
        let name = self.name(part);
        let tensor = read();
        let is_norm = part.ends_with("norm.weight");
        let tensor = match &spec.mixer {
            Mixer::DeltaNet(spec) if part.starts_with("linear_attn") => {
                return self.delta_net(spec, part, name, tensor);
            }
            Mixer::LatentAttention(spec) if part.contains("kv_b_proj") && !self.joins_latent => {
                return latent(spec, &tensor);
            }
            Mixer::Attention(spec) if ["llama", "granite", "mistral3", "smollm3"].contains(&self.architecture) => {
                permuted(spec, part, tensor)
            }
            _ if part == "conv.conv.weight" => tensor.squeeze(1).unwrap(),
            _ if is_norm => self.norm(tensor),
            _ => tensor,
        };
        vec![(name, tensor)]
    }

    /// Norms that multiply by 1 + their weights are written with the 1.
    fn norm(&self, tensor: Tensor) -> Tensor {
        if self.config().norm_offset { (tensor + 1.0).unwrap() } else { tensor }
    }

    fn name(&self, part: &str) -> String {
        let before_networks = ["qwen3next", "qwen35", "qwen35moe", "glm4moe", "gpt-oss"];
        if part == "post_attention_layernorm.weight" && before_networks.contains(&self.architecture) {
            return "post_attention_norm.weight".to_owned();
        }
        if let Some(rest) = part.strip_prefix("mlp.shared_expert.") {
            // Gemma 4's stands where other layers have their only network.
            let ending = if self.architecture == "gemma4" { "" } else { "_shexp" };
            return format!("ffn_{}", rest.replace("_proj", ending));
        }
        let known = PARTS.iter().find_map(|(ours, theirs)| {
            let rest = part.strip_prefix(ours)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{theirs}{rest}"))
        });
        known.unwrap_or_else(|| {
            let part = part.replace("mlp.gate_up_proj", "ffn_up").replace("mlp.gate.", "ffn_gate_inp.");
            part.replace("mlp.", "ffn_").replace("_proj.", ".")
        })
    }

    /// Experts become tensors of all, with gates apart from the rest.
    fn experts(
        &self,
        spec: &ExpertsSpec,
        part: &str,
        read: impl Fn() -> Tensor,
        layer: usize,
    ) -> Vec<(String, Tensor)> {
        let of_all = |part: &str, tensor: Tensor| (format!("ffn_{part}_exps.weight"), tensor);
        if let Some((expert, part)) = part.split_once('.') {
            if expert != "0" {
                return Vec::new();
            }
            let name = |expert| tensors::layer_tensor(layer, &format!("mlp.experts.{expert}.{part}"));
            let all: Vec<_> =
                (0..spec.count).map(|expert| self.read(self.manifest.tensor(&name(expert)).unwrap())).collect();
            return vec![of_all(part.trim_end_matches("_proj.weight"), Tensor::stack(&all, 0).unwrap())];
        }
        let tensor = read();
        // Of gpt-oss: transposed, gate and up in turn.
        let in_turn = |tensor: &Tensor, at: usize| {
            let rows = (at..2 * spec.width).step_by(2).map(|row| row as u32).collect::<Vec<_>>();
            tensor.index_select(&Tensor::new(rows, &Device::Cpu).unwrap(), 1).unwrap()
        };
        match part {
            "down_proj" if spec.bias => vec![of_all("down", tensor.transpose(1, 2).unwrap())],
            "gate_up_proj" if spec.bias => {
                let rows = tensor.transpose(1, 2).unwrap().contiguous().unwrap();
                vec![of_all("gate", in_turn(&rows, 0)), of_all("up", in_turn(&rows, 1))]
            }
            "down_proj_bias" => vec![("ffn_down_exps.bias".to_owned(), tensor)],
            "gate_up_proj_bias" => {
                let bias = |part: &str, at| (format!("ffn_{part}_exps.bias"), in_turn(&tensor, at));
                vec![bias("gate", 0), bias("up", 1)]
            }
            "gate_up_proj" if self.architecture == "gemma4" => vec![of_all("gate_up", tensor)],
            "gate_up_proj" => {
                let half = |at| tensor.narrow(1, at * spec.width, spec.width).unwrap();
                vec![of_all("gate", half(0)), of_all("up", half(1))]
            }
            other => vec![of_all(other.trim_end_matches("_proj"), tensor)],
        }
    }

    fn delta_net(&self, spec: &DeltaNetSpec, part: &str, name: String, tensor: Tensor) -> Vec<(String, Tensor)> {
        let tiles = self.architecture != "qwen3next";
        // The heads of all key heads in turn, from those of each key head together.
        let tiled = |tensor: &Tensor, dim: usize, width: usize| {
            if !tiles {
                return tensor.clone();
            }
            let mut grouped = tensor.dims().to_vec();
            grouped.splice(dim..=dim, [spec.key_heads, spec.heads / spec.key_heads, width]);
            let turned = tensor.reshape(grouped).unwrap().transpose(dim, dim + 1).unwrap();
            turned.contiguous().unwrap().reshape(tensor.dims()).unwrap()
        };
        let behind_keys = |tensor: &Tensor| {
            let keys = 2 * spec.key_width();
            let values = tensor.narrow(0, keys, spec.value_width()).unwrap().contiguous().unwrap();
            Tensor::cat(&[tensor.narrow(0, 0, keys).unwrap(), tiled(&values, 0, spec.value_dim)], 0).unwrap()
        };
        let part = part.trim_start_matches("linear_attn.").trim_end_matches(".weight");
        let tensor = match part {
            "A_log" => tiled(&tensor.exp().unwrap().neg().unwrap(), 0, 1),
            "dt_bias" | "in_proj_a" | "in_proj_b" => tiled(&tensor, 0, 1),
            "in_proj_z" => tiled(&tensor, 0, spec.value_dim),
            "in_proj_qkv" => behind_keys(&tensor),
            "conv1d" => behind_keys(&tensor.squeeze(1).unwrap()),
            "out_proj" => tiled(&tensor, 1, spec.value_dim),
            "in_proj_ba" => return vec![("ssm_ba.weight".to_owned(), tensor)],
            "in_proj_qkvz" => {
                let columns = tensor.dim(1).unwrap();
                let values = spec.value_width() / spec.key_heads;
                let groups = tensor.reshape((spec.key_heads, (), columns)).unwrap();
                let kind = |start, width| {
                    let rows = groups.narrow(1, start, width).unwrap().contiguous().unwrap();
                    rows.reshape(((), columns)).unwrap()
                };
                let (q, k) = (kind(0, spec.key_dim), kind(spec.key_dim, spec.key_dim));
                let (v, z) = (kind(2 * spec.key_dim, values), kind(2 * spec.key_dim + values, values));
                let qkv = Tensor::cat(&[q, k, v], 0).unwrap();
                return vec![("attn_qkv.weight".to_owned(), qkv), ("attn_gate.weight".to_owned(), z)];
            }
            _ => tensor,
        };
        vec![(name, tensor)]
    }

    /// What the converter writes apart: the divisors of frequencies.
    fn rope_factors(&self) -> Vec<(&'static str, Vec<f32>)> {
        let with_rope = self.config().layers.iter().rev().find_map(|layer| layer.mixer.rope());
        let Some((rope, head_dim)) = with_rope else { return Vec::new() };
        let factors = match rope.scaling {
            RopeScaling::Llama3 { .. } => llama3_factors(rope, head_dim),
            RopeScaling::Proportional { part } => {
                let turning = (head_dim as f32 * part / 2.0) as usize;
                (0..head_dim / 2).map(|at| if at < turning { 1.0 } else { 1e30 }).collect()
            }
            _ => return Vec::new(),
        };
        vec![("rope_freqs.weight", factors)]
    }

    /// The keys, without the architecture's name.
    fn metadata(&self) -> Vec<(String, Value)> {
        super::keys::of(self.config(), self.architecture, self.joins_latent)
            .into_iter()
            .map(|(key, value)| (format!("{}.{key}", self.architecture), value))
            .collect()
    }
}

/// The name of a part of a file.
pub(super) fn part_of(path: &Path, part: usize, of: usize) -> PathBuf {
    let name = path.file_stem().unwrap().to_str().unwrap();
    path.with_file_name(format!("{name}-{:05}-of-{of:05}.gguf", part + 1))
}

/// Each head's rows in the order that files of the llama family have: (i, i + d/2) become neighbours.
fn permuted(spec: &AttentionSpec, part: &str, tensor: Tensor) -> Tensor {
    let heads = match part {
        "self_attn.q_proj.weight" => spec.heads,
        "self_attn.k_proj.weight" => spec.kv_heads,
        _ => return tensor,
    };
    let (out, columns) = tensor.dims2().unwrap();
    let halves = tensor.reshape((heads, 2, out / heads / 2, columns)).unwrap();
    halves.transpose(1, 2).unwrap().contiguous().unwrap().reshape((out, columns)).unwrap()
}

/// Keys, transposed, and values of each head.
fn latent(spec: &LatentSpec, both: &Tensor) -> Vec<(String, Tensor)> {
    let both = both.reshape((spec.heads, spec.plain_dim + spec.value_dim, spec.kv_rank)).unwrap();
    let keys = both.narrow(1, 0, spec.plain_dim).unwrap().transpose(1, D::Minus1).unwrap();
    let values = both.narrow(1, spec.plain_dim, spec.value_dim).unwrap();
    vec![("attn_k_b.weight".to_owned(), keys), ("attn_v_b.weight".to_owned(), values)]
}

fn llama3_factors(rope: &Rope, head_dim: usize) -> Vec<f32> {
    let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_length } = rope.scaling
    else {
        return Vec::new();
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
    (0..head_dim / 2).map(divisor).collect()
}
