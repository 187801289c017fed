#![allow(clippy::unwrap_used)]

use super::*;
use crate::{AttentionSpec, FeedForward, RopeScaling};

/// Reads a description of 2 layers with 4 heads of 8, with these keys besides.
fn read_with(architecture: &str, more: &[(&str, Value)]) -> Result<ModelConfig, String> {
    read_holding(architecture, more, &[])
}

/// The same of a file that holds these tensors.
fn read_holding(architecture: &str, more: &[(&str, Value)], held: &[&str]) -> Result<ModelConfig, String> {
    let sizes = [("block_count", 2), ("embedding_length", 32), ("attention.head_count", 4)];
    let others = [("feed_forward_length", 64), ("context_length", 128)];
    let size = |(key, value): (&str, u32)| (format!("{architecture}.{key}"), Value::U32(value));
    let mut values: HashMap<String, Value> = sizes.into_iter().chain(others).map(size).collect();
    values.insert("general.architecture".into(), Value::String(architecture.into()));
    values.extend(more.iter().map(|(key, value)| (format!("{architecture}.{key}"), value.clone())));
    let table = (crate::tensors::EMBEDDING.to_owned(), vec![100, 32]);
    let shapes = held.iter().map(|name| ((*name).to_owned(), vec![32])).chain([table]).collect();
    let held = Held { shapes, factors: Factors::default() };
    let read = Metadata::new(&values).and_then(|metadata| read(&metadata, &held));
    read.map_err(|error| error.to_string())
}

fn attention(more: &[(&str, Value)]) -> AttentionSpec {
    read_with("llama", more).unwrap().layers[0].attention().unwrap().clone()
}

fn refused(key: &str, value: Value) -> String {
    let error = read_with("llama", &[(key, value)]).unwrap_err();
    assert!(error.contains(key), "{error}");
    error
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn a_part_of_a_head_is_rotated_as_such() {
    let rope = |dims| attention(&[("rope.dimension_count", Value::U32(dims))]).rope.unwrap();
    assert_eq!((rope(8).rotated, rope(4).rotated), (None, Some(4)));
    assert!(read_with("llama", &[("rope.dimension_count", Value::U32(10))]).unwrap_err().contains("rope.rotated"));
    refused("attention.value_length", Value::U32(16));
}

#[test]
fn keys_that_change_the_computation_are_refused_by_name() {
    for key in [
        "attn_logit_softcapping",
        "embedding_scale",
        "expert_group_count",
        "final_logit_softcapping",
        "logit_scale",
        "pooling_type",
        "residual_scale",
        "rope.scaling.attn_factor",
        "what.will.come",
    ] {
        assert!(read_with("llama", &[(key, Value::F32(1.0))]).is_ok(), "{key}");
        refused(key, Value::F32(30.0));
    }
    refused("attention.sliding_window_pattern", Value::Array(vec![Value::Bool(true); 2]));
    for key in ["vision.block_count", "vocab_size", "rope.dimension_sections"] {
        assert!(read_with("llama", &[(key, Value::U32(30))]).is_ok(), "{key}");
    }
}

#[test]
fn an_architecture_that_is_not_known_is_refused_with_those_that_are() {
    let error = read_with("mamba", &[]).unwrap_err();
    assert!(error.contains("\"mamba\"") && error.contains("qwen35moe, gemma3"), "{error}");
}

#[test]
fn experts_are_read_and_other_ways_to_choose_them_are_refused() {
    let with = |key: &str, value: Value| {
        read_with("llama", &[("expert_count", Value::U32(8)), ("expert_used_count", Value::U32(2)), (key, value)])
    };
    let config = with("expert_gating_func", Value::U32(1)).unwrap();
    assert_eq!(config.architecture, crate::Architecture::Mixtral);
    let FeedForward::Experts(experts) = &config.layers[0].feed_forward else { panic!("it has experts") };
    assert_eq!((experts.count, experts.width, experts.router.used), (8, 64, 2));
    for (key, value) in [
        ("expert_gating_func", Value::U32(2)),
        ("expert_weights_norm", Value::Bool(false)),
        ("expert_shared_count", Value::U32(2)),
        ("expert_used_count", Value::U32(9)),
    ] {
        let error = with(key, value).unwrap_err();
        assert!(error.contains(key) || error.contains("router.used"), "{error}");
    }
}

#[test]
fn positions_are_scaled_as_the_file_says() {
    let scaling = |more: &[(&str, Value)]| attention(more).rope.unwrap().scaling;
    let linear = |factor| RopeScaling::Linear { factor };
    assert_eq!(scaling(&[]), RopeScaling::None);
    assert_eq!(scaling(&[("rope.scale_linear", Value::F32(4.0))]), linear(4.0));
    assert_eq!(scaling(&[("rope.scaling.factor", Value::F32(2.0))]), linear(2.0));
    assert_eq!(scaling(&[("rope.scaling.factor", Value::F32(0.0))]), RopeScaling::None);
    let named = |kind: &str| ("rope.scaling.type", text(kind));
    let factor = ("rope.scaling.factor", Value::F32(2.0));
    assert_eq!(scaling(&[named("linear"), factor.clone()]), linear(2.0));
    assert_eq!(scaling(&[named("none"), factor.clone()]), RopeScaling::None);
    let original = ("rope.scaling.original_context_length", Value::U32(64));
    let RopeScaling::Yarn { factor: stretch, original_context_length, .. } =
        scaling(&[named("yarn"), factor.clone(), original])
    else {
        panic!("it is YaRN")
    };
    assert_eq!((stretch, original_context_length), (2.0, 64));
    assert!(read_with("llama", &[named("su"), factor]).unwrap_err().contains("rope.scaling.type"));
    refused("rope.scaling.yarn_ext_factor", Value::F32(0.5));
}

#[test]
fn a_list_of_one_size_is_that_size_and_one_of_several_is_refused() {
    let list = |sizes: [i32; 2]| ("attention.head_count_kv", Value::Array(sizes.map(Value::I32).into()));
    assert_eq!(attention(&[list([2, 2])]).kv_heads, 2);
    assert!(read_with("llama", &[list([2, 4])]).unwrap_err().contains("head_count_kv"));
}

#[test]
fn layers_that_predict_several_tokens_are_behind_the_model_s() {
    let predicting = |count| read_with("qwen3", &[("nextn_predict_layers", Value::U32(count))]);
    assert_eq!(predicting(1).unwrap().layers.len(), 1);
    assert!(predicting(3).unwrap_err().contains("nextn_predict_layers"));
}

#[test]
fn windows_are_listed_or_of_all_but_every_nth_layer() {
    let windows = |more: &[(&str, Value)]| -> Vec<Option<usize>> {
        let window = [("attention.sliding_window", Value::U32(16)), ("expert_count", Value::U32(4))];
        let used = [("expert_used_count", Value::U32(2)), ("expert_feed_forward_length", Value::U32(8))];
        let config = read_with("gpt-oss", &[&window, &used, more].concat()).unwrap();
        config.layers.iter().map(|layer| layer.attention().unwrap().window).collect()
    };
    const PATTERN: &str = "attention.sliding_window_pattern";
    assert_eq!(windows(&[]), [Some(16), None]);
    assert_eq!(windows(&[(PATTERN, Value::U32(3))]), [Some(16); 2]);
    let listed = Value::Array(vec![Value::Bool(false), Value::Bool(true)]);
    assert_eq!(windows(&[(PATTERN, listed)]), [None, Some(16)]);
}

#[test]
fn scores_are_read_where_a_family_has_two_and_groups_need_sigmoid() {
    let with = |more: &[(&str, Value)]| {
        let sizes = [
            ("attention.kv_lora_rank", 16),
            ("attention.key_length_mla", 12),
            ("attention.value_length_mla", 8),
            ("attention.key_length", 20),
            ("attention.value_length", 16),
            ("rope.dimension_count", 4),
            ("expert_count", 8),
            ("expert_used_count", 2),
            ("expert_feed_forward_length", 8),
        ];
        let sizes: Vec<_> = sizes.into_iter().map(|(key, size)| (key, Value::U32(size))).collect();
        read_with("deepseek2", &[&sizes, more].concat())
    };
    let score = |more: &[(&str, Value)]| match &with(more).unwrap().layers[1].feed_forward {
        FeedForward::Experts(experts) => experts.router.score,
        FeedForward::Dense(_) => panic!("it has experts"),
    };
    assert_eq!(score(&[]), crate::Score::Softmax);
    let sigmoid = ("expert_gating_func", Value::U32(2));
    assert_eq!(score(std::slice::from_ref(&sigmoid)), crate::Score::Sigmoid);
    let groups = [("expert_group_count", Value::U32(4)), ("expert_group_used_count", Value::U32(2))];
    assert!(with(&groups).unwrap_err().contains("expert_group_count"));
    assert!(with(&[groups.as_slice(), &[sigmoid]].concat()).is_ok());
}

#[test]
fn what_the_file_holds_tells_biases_norms_and_rows_in_one_tensor() {
    let attention = |architecture: &str, held: &[&str]| {
        read_holding(architecture, &[], held).map(|config| config.layers[0].attention().unwrap().clone())
    };
    let plain = attention("qwen3", &[]).unwrap();
    assert!(!plain.qkv_bias && !plain.fused && plain.qk_norm == crate::QkNorm::None);
    let held = ["self_attn.q_proj.bias", "self_attn.q_norm.weight", "self_attn.qkv_proj.weight"];
    let held = held.map(|part| crate::tensors::layer_tensor(0, part));
    let held: Vec<&str> = held.iter().map(String::as_str).collect();
    let found = attention("qwen3", &held).unwrap();
    assert!(found.qkv_bias && found.fused && found.qk_norm == crate::QkNorm::Head);
    assert!(attention("llama", &held).unwrap_err().contains("interleaved"), "rows would stay in the file's order");
}
