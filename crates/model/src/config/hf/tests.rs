//! Descriptions of real models, shortened to what changes the computation.

use super::*;
use crate::{FeedForward, Groups, Norms, RopeScaling, Score};
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

/// A description with changes.
fn read_with(mut config: Value, change: &Value) -> Result<ModelConfig, ConfigError> {
    for (key, value) in change.as_object().unwrap() {
        config[key] = value.clone();
    }
    ModelConfig::from_hf(&config, None)
}

fn mixtral() -> Value {
    json!({
        "architectures": ["MixtralForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "num_local_experts": 8, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "sliding_window": null, "vocab_size": 32000,
    })
}

fn gpt_oss() -> Value {
    json!({
        "architectures": ["GptOssForCausalLM"], "attention_bias": true, "head_dim": 64, "hidden_size": 2880,
        "intermediate_size": 2880, "max_position_embeddings": 131_072, "num_attention_heads": 64,
        "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
        "rope_scaling": { "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0,
            "original_max_position_embeddings": 4096, "rope_type": "yarn", "truncate": false },
        "rope_theta": 150_000, "sliding_window": 128, "swiglu_limit": 7.0, "vocab_size": 201_088,
    })
}

fn deepseek() -> Value {
    json!({
        "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "first_k_dense_replace": 3,
        "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163_840,
        "moe_intermediate_size": 2048, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
        "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
        "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000, "routed_scaling_factor": 2.5,
        "rope_scaling": { "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 4096, "type": "yarn" },
        "scoring_func": "sigmoid", "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128,
        "vocab_size": 129_280,
    })
}

/// The text part of Gemma 3 4B: what config.json leaves out is the family's.
fn gemma3() -> Value {
    json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "eos_token_id": [1, 106],
        "text_config": { "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
            "num_hidden_layers": 34, "rope_scaling": { "factor": 8.0, "rope_type": "linear" },
            "sliding_window": 1024 },
        "vision_config": { "hidden_size": 1152 },
    })
}

/// A Gemma 4 of 6 layers with experts.
fn gemma4() -> Value {
    json!({
        "architectures": ["Gemma4ForCausalLM"], "attention_k_eq_v": true, "enable_moe_block": true, "head_dim": 256,
        "global_head_dim": 512, "num_global_key_value_heads": 2, "hidden_size": 2816, "intermediate_size": 2112,
        "hidden_size_per_layer_input": 0, "moe_intermediate_size": 704, "num_attention_heads": 16, "num_experts": 128,
        "num_hidden_layers": 6, "num_key_value_heads": 8, "sliding_window": 1024, "top_k_experts": 8,
        "use_bidirectional_attention": "vision", "final_logit_softcapping": 30.0,
    })
}

/// Parameters of layers, and of embedding, head and last norm.
fn parameters(config: &ModelConfig) -> u64 {
    let table = (config.vocab_size * config.hidden_size) as u64;
    let ends = if config.tied_embeddings { table } else { 2 * table };
    config.layer_costs().map(|cost| cost.parameters()).sum::<u64>() + ends + config.hidden_size as u64
}

#[test]
fn models_have_the_parameters_that_are_published() {
    let read = |config| ModelConfig::from_hf(&config, None).unwrap();
    assert_eq!(parameters(&read(mixtral())), 46_702_792_704);
    assert_eq!(parameters(&read(gpt_oss())), 20_914_757_184);
    assert_eq!(parameters(&read(deepseek())), 671_026_419_200);
    assert_eq!(parameters(&read(gemma3())), 3_880_263_168);
}

#[test]
fn the_text_part_of_a_multimodal_model_takes_what_its_family_leaves_out() {
    let config = ModelConfig::from_hf(&gemma3(), None).unwrap();
    assert_eq!((config.vocab_size, config.context_length, config.tied_embeddings), (262_208, 131_072, true));
    assert_eq!((config.norm_offset, config.scales.embedding), (true, 2560f32.sqrt()));
    assert_eq!(config.eos, [1, 106]);
    let [windowed, full] = [0, 5].map(|layer| config.layers[layer].attention().unwrap().clone());
    assert_eq!((windowed.window, full.window, windowed.heads), (Some(1024), None, 8));
    let [local, global] = [&windowed, &full].map(|attention| attention.rope.clone().unwrap());
    assert_eq!((local.theta, local.scaling), (10_000.0, RopeScaling::None));
    assert_eq!((global.theta, global.scaling), (1e6, RopeScaling::Linear { factor: 8.0 }));
    assert_eq!((full.scale, config.layers[0].norms), (Some(1.0 / 16.0), Norms::Both));
}

#[test]
fn layers_that_see_everything_have_other_heads_and_no_matrix_for_values() {
    let config = ModelConfig::from_hf(&gemma4(), None).unwrap();
    let [windowed, full] = [4, 5].map(|layer| config.layers[layer].attention().unwrap().clone());
    assert_eq!((windowed.head_dim, windowed.kv_heads, windowed.values), (256, 8, Values::Normed));
    assert_eq!((full.head_dim, full.kv_heads, full.values), (512, 2, Values::NormedKeys));
    assert_eq!(full.rope.unwrap().scaling, RopeScaling::Proportional { part: 0.25 });
    assert_eq!((config.scales.logit_cap, config.layers[0].scaled, full.scale), (Some(30.0), true, Some(1.0)));
}

#[test]
fn rows_between_machines_carry_what_later_layers_need() {
    let (full, slides) = ("full_attention", "sliding_attention");
    let change = json!({
        "layer_types": [slides, full, slides, full, slides, full], "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 100,
    });
    let config = read_with(gemma4(), &change).unwrap();
    let shares: Vec<_> = config.layers.iter().map(|layer| layer.attention().unwrap().shares).collect();
    assert_eq!(shares, [None, None, None, None, Some(2), Some(3)]);
    assert_eq!((config.shared_before(4..6), config.shared_before(3..6)), (vec![2, 3], vec![2]));
    // The stream, 100 for each layer to come, and keys and values: 8 heads of 256 of layer 2, 2 of 512 of layer 3.
    let widths: Vec<_> = (1..=6).map(|layer| config.row_width(layer) - 2816).collect();
    assert_eq!(widths, [500, 400, 300 + 4096, 200 + 4096 + 2048, 100 + 2048, 0]);
}

#[test]
fn experts_are_routed_as_their_family_does() {
    let experts = |config: Value, layer: usize| match ModelConfig::from_hf(&config, None)
        .unwrap()
        .layers
        .swap_remove(layer)
        .feed_forward
    {
        FeedForward::Experts(experts) => experts,
        FeedForward::Dense(_) => panic!("layer {layer} is dense"),
    };
    let router = experts(mixtral(), 0).router;
    assert_eq!((router.score, router.normalize, router.used), (Score::Softmax, true, 2));
    let experts = experts(deepseek(), 3);
    let router = experts.router;
    assert_eq!((router.score, router.choice_bias, router.scale), (Score::Sigmoid, true, 2.5));
    assert_eq!(router.groups, Some(Groups { count: 8, used: 4, best: 2 }));
    assert_eq!(experts.shared.map(|shared| shared.width), Some(2048));
    let dense = ModelConfig::from_hf(&deepseek(), None).unwrap();
    assert!(dense.layers[..3].iter().all(|layer| matches!(layer.feed_forward, FeedForward::Dense(_))));
}

#[test]
fn yarn_turns_frequencies_and_scores_up() {
    let rope = |config: Value| ModelConfig::from_hf(&config, None).unwrap().layers[0].mixer.rope().unwrap().0.clone();
    assert!((rope(gpt_oss()).magnitude - (0.1 * 32f32.ln() + 1.0)).abs() < 1e-6);
    assert_eq!(rope(deepseek()).magnitude, 1.0, "what it is for queries it is for all dimensions");
    let config = ModelConfig::from_hf(&deepseek(), None).unwrap();
    let Mixer::LatentAttention(latent) = &config.layers[0].mixer else { panic!("it is latent") };
    let mscale = 0.1 * 40f64.ln() + 1.0;
    assert!((f64::from(latent.scale.unwrap()) - mscale * mscale / 192f64.sqrt()).abs() < 1e-6);
}

#[test]
fn what_would_be_computed_otherwise_is_refused_by_name() {
    for (config, change) in [
        (mixtral(), json!({ "final_logit_softcapping": 30.0 })),
        (mixtral(), json!({ "clip_qkv": 8.0 })),
        (mixtral(), json!({ "num_local_experts": null })),
        (gpt_oss(), json!({ "hidden_act": "gelu" })),
        (gpt_oss(), json!({ "num_experts_per_tok": 33 })),
        (gemma4(), json!({ "num_kv_shared_layers": 6 })),
        (gemma4(), json!({ "num_kv_shared_layers": 1 })),
        (gemma4(), json!({ "use_bidirectional_attention": "all" })),
        (deepseek(), json!({ "topk_method": "group_limited_greedy" })),
        (deepseek(), json!({ "scoring_func": "softmax" })),
        (deepseek(), json!({ "n_group": 7 })),
        (deepseek(), json!({ "qk_rope_head_dim": 63 })),
    ] {
        let (field, _) = change.as_object().unwrap().iter().next().unwrap();
        let error = read_with(config, &change).unwrap_err().to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
}
