//! Models and machines to plan for.

use super::super::{Demand, Device, Link, Machine, Measured};
use gogrid_model::{DeviceSpec, Manifest, ModelConfig, TensorEntry, TensorHash, WeightType};
use gogrid_wire::PeerId;
use proptest::prelude::*;
use std::sync::Arc;

/// A Llama whose layers have matrices of these weight types.
pub(super) fn model(layers: &[WeightType]) -> Manifest {
    const HIDDEN: usize = 256;
    const FFN: usize = 512;
    const VOCABULARY: usize = 1024;
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "num_hidden_layers": layers.len(),
        "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": FFN, "vocab_size": VOCABULARY,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
    });
    let tensor = |name: String, dtype: WeightType, shape: &[usize]| {
        let bytes = dtype.bytes_of(shape).expect("whole blocks");
        TensorEntry { name, dtype, shape: shape.to_vec(), bytes, hash: TensorHash::of(&[]) }
    };
    let table = [VOCABULARY, HIDDEN];
    let mut tensors = vec![tensor("model.embed_tokens.weight".into(), WeightType::Q8_0, &table)];
    for (at, dtype) in layers.iter().enumerate() {
        let (square, up) = ([HIDDEN, HIDDEN], [FFN, HIDDEN]);
        let matrices = [
            ("self_attn.q_proj", square),
            ("self_attn.k_proj", square),
            ("self_attn.v_proj", square),
            ("self_attn.o_proj", square),
            ("mlp.gate_proj", up),
            ("mlp.up_proj", up),
            ("mlp.down_proj", [HIDDEN, FFN]),
        ];
        tensors
            .extend(matrices.map(|(part, shape)| tensor(format!("model.layers.{at}.{part}.weight"), *dtype, &shape)));
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push(tensor(format!("model.layers.{at}.{norm}.weight"), WeightType::F32, &[HIDDEN]));
        }
    }
    tensors.push(tensor("model.norm.weight".into(), WeightType::F32, &[HIDDEN]));
    tensors.push(tensor("lm_head.weight".into(), WeightType::Q8_0, &table));
    let manifest = Manifest { config: ModelConfig::from_hf(&config, None).expect("a model"), tensors };
    manifest.validate().expect("a manifest");
    manifest
}

pub(super) fn even(layers: usize) -> Manifest {
    model(&vec![WeightType::Q8_0; layers])
}

pub(super) fn demand(manifest: &Manifest, stages: usize) -> Demand<'_> {
    Demand { manifest, quant: None, stages, concurrency: 1, sessions: 4, groups: &[] }
}

fn device(spec: DeviceSpec) -> Arc<Device> {
    Arc::new(Device::expected(spec))
}

/// A CPU that lends this much memory.
pub(super) fn cpu(id: u8, mib: u64) -> Machine {
    Machine {
        id: PeerId([id; 32]),
        device: device(DeviceSpec::Cpu),
        free: mib << 20,
        measured: None,
        link: Link::default(),
        reliability: 1.0,
        groups: Vec::new(),
    }
}

/// The machine with a measured time of a layer.
pub(super) fn takes(machine: Machine, layer_ms: f64) -> Machine {
    let layer = layer_ms / 1e3;
    Machine { measured: Some(Measured { layer, head: Some(layer), prompt_layer: Some(layer / 20.0) }), ..machine }
}

/// Machines of both kinds. Some are too small for a layer, some hold all layers, and equal ones are frequent.
pub(super) fn machines(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Machine>> {
    let measured = prop_oneof![Just(None), (1_u8..6).prop_map(Some)];
    let reliability = prop::sample::select(&[1.0, 0.95, 0.5][..]);
    let machine = (5_u64..17, any::<bool>(), measured, 0_u8..4, reliability);
    prop::collection::vec(machine, count).prop_map(|machines| {
        let machines = machines.into_iter().zip(1..).map(|((mib, gpu, measured, delay, reliability), id)| {
            let device = device(if gpu { DeviceSpec::Cuda(0) } else { DeviceSpec::Cpu });
            let link = Link { delay: f64::from(delay) * 0.4e-3, ..Link::default() };
            let machine = Machine { device, link, reliability, ..cpu(id, mib) };
            measured.map_or(machine.clone(), |ms| takes(machine, f64::from(ms)))
        });
        machines.collect()
    })
}

/// A model whose layers have different weight types, so that they differ in size.
pub(super) fn uneven(layers: std::ops::Range<usize>) -> impl Strategy<Value = Manifest> {
    let types = &[WeightType::Q8_0, WeightType::Q6K, WeightType::F32][..];
    prop::collection::vec(prop::sample::select(types), layers).prop_map(|layers| model(&layers))
}
