//! The keys of a model's metadata, as llama.cpp's converter writes them.

use candle_core::quantized::gguf_file::Value;
use gogrid_model::{ExpertsSpec, FeedForward, LatentSpec, Mixer, ModelConfig, Rope, RopeScaling, Score};

/// Keys and values of a model, without the architecture's name.
pub(super) fn of(config: &ModelConfig, architecture: &str, joins_latent: bool) -> Vec<(&'static str, Value)> {
    let mut keys = vec![
        ("embedding_length", number(config.hidden_size)),
        ("block_count", number(config.layers.len())),
        ("context_length", number(config.context_length)),
        ("attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps as f32)),
    ];
    let dense = config.layers.iter().find_map(|layer| match &layer.feed_forward {
        FeedForward::Dense(dense) => Some(dense.width),
        FeedForward::Experts(experts) if experts.beside => experts.shared.map(|shared| shared.width),
        FeedForward::Experts(experts) => (architecture == "llama").then_some(experts.width),
    });
    keys.extend(dense.map(|width| ("feed_forward_length", number(width))));
    let experts = config.layers.iter().find_map(|layer| match &layer.feed_forward {
        FeedForward::Experts(experts) => Some(experts),
        FeedForward::Dense(_) => None,
    });
    if let Some(experts) = experts {
        keys.extend(of_experts(config, experts, architecture));
    }
    for layer in &config.layers {
        match &layer.mixer {
            Mixer::LatentAttention(latent) => keys.extend(of_latent(latent, joins_latent)),
            Mixer::DeltaNet(delta_net) => {
                keys.extend([
                    ("ssm.conv_kernel", number(delta_net.kernel)),
                    ("ssm.state_size", number(delta_net.key_dim)),
                    ("ssm.group_count", number(delta_net.key_heads)),
                    ("ssm.time_step_rank", number(delta_net.heads)),
                    ("ssm.inner_size", number(delta_net.value_width())),
                    ("full_attention_interval", number(4)),
                    ("attention.recurrent_layers", flags(config, |mixer| matches!(mixer, Mixer::DeltaNet(_)))),
                ]);
                if architecture != "qwen3next" {
                    keys.push(("rope.dimension_sections", Value::Array([2, 1, 1, 0].map(Value::I32).into())));
                }
            }
            Mixer::ShortConv(conv) => keys.push(("shortconv.l_cache", number(conv.kernel))),
            Mixer::Attention(_) => {}
        }
    }
    keys.extend(of_attention(config, architecture));
    let scales = config.scales;
    if architecture == "granite" {
        keys.extend([
            ("embedding_scale", Value::F32(scales.embedding)),
            ("residual_scale", Value::F32(scales.residual)),
            ("logit_scale", Value::F32(scales.logit_divisor)),
        ]);
    }
    keys.extend(scales.logit_cap.map(|cap| ("final_logit_softcapping", Value::F32(cap))));
    if architecture == "gemma4" {
        let shared = config.layers.iter().filter(|layer| layer.attention().is_some_and(|spec| spec.shares.is_some()));
        keys.push(("attention.shared_kv_layers", number(shared.count())));
        let width = config.per_layer.map_or(0, |per_layer| per_layer.width);
        keys.push(("embedding_length_per_layer_input", number(width)));
    }
    // Each once: layers of a kind say the same.
    keys.sort_by_key(|(key, _)| *key);
    keys.dedup_by_key(|(key, _)| *key);
    keys
}

fn number(value: usize) -> Value {
    Value::U32(value as u32)
}

/// A flag for each layer.
fn flags(config: &ModelConfig, flag: impl Fn(&Mixer) -> bool) -> Value {
    Value::Array(config.layers.iter().map(|layer| Value::Bool(flag(&layer.mixer))).collect())
}

fn of_attention(config: &ModelConfig, architecture: &str) -> Vec<(&'static str, Value)> {
    let of_kind = |windowed: bool| {
        let specs = config.layers.iter().filter_map(|layer| layer.attention());
        specs.filter(|spec| spec.window.is_some() == windowed).find(|spec| spec.rope.is_some())
    };
    let (full, windowed) = (of_kind(false), of_kind(true));
    let Some(spec) = full.or(windowed) else { return Vec::new() };
    let rope = spec.rope.as_ref().expect("it rotates");
    let mut keys = vec![
        ("attention.head_count", number(spec.heads)),
        ("attention.key_length", number(spec.head_dim)),
        ("attention.value_length", number(spec.head_dim)),
        ("rope.dimension_count", number(rope.rotated_of(spec.head_dim))),
    ];
    let kv_heads = |mixer: &Mixer| match mixer {
        Mixer::Attention(spec) => Value::I32(spec.kv_heads as i32),
        _ => Value::I32(0),
    };
    keys.push(match architecture {
        "lfm2" => {
            let heads = config.layers.iter().map(|layer| kv_heads(&layer.mixer)).collect();
            ("attention.head_count_kv", Value::Array(heads))
        }
        _ => ("attention.head_count_kv", number(spec.kv_heads)),
    });
    // Gemma 3's files have no key for it, as its models have the usual one. The reference has not.
    if ["granite", "gemma3"].contains(&architecture) {
        keys.extend(spec.scale.map(|scale| ("attention.scale", Value::F32(scale))));
    }
    keys.extend(spec.position_scale.map(|scale| ("attention.temperature_scale", Value::F32(scale.beta))));
    keys.extend(of_rope(rope));
    if architecture == "mistral3" {
        // Of its two factors of YaRN, both 1.
        keys.push(("rope.scaling.yarn_log_multiplier", Value::F32(1.0)));
    }
    if let Some(windowed) = windowed {
        keys.push(("attention.sliding_window", number(windowed.window.expect("it has one"))));
        if ["gemma3", "gemma4"].contains(&architecture) {
            keys.push(("rope.freq_base_swa", Value::F32(windowed.rope.as_ref().expect("it rotates").theta)));
        }
        if architecture == "gemma4" {
            let windows = |mixer: &Mixer| matches!(mixer, Mixer::Attention(spec) if spec.window.is_some());
            keys.extend([
                ("attention.sliding_window_pattern", flags(config, windows)),
                ("attention.key_length_swa", number(windowed.head_dim)),
                ("attention.value_length_swa", number(windowed.head_dim)),
                ("rope.dimension_count_swa", number(windowed.head_dim)),
            ]);
        }
    }
    keys
}

fn of_rope(rope: &Rope) -> Vec<(&'static str, Value)> {
    let mut keys = vec![("rope.freq_base", Value::F32(rope.theta))];
    if let RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context_length, .. } = rope.scaling {
        keys.extend([
            ("rope.scaling.type", Value::String("yarn".into())),
            ("rope.scaling.factor", Value::F32(factor)),
            ("rope.scaling.original_context_length", number(original_context_length)),
            ("rope.scaling.yarn_beta_fast", Value::F32(beta_fast)),
            ("rope.scaling.yarn_beta_slow", Value::F32(beta_slow)),
        ]);
    }
    keys
}

fn of_latent(latent: &LatentSpec, joined: bool) -> Vec<(&'static str, Value)> {
    let mut keys = vec![
        ("attention.head_count", number(latent.heads)),
        ("attention.kv_lora_rank", number(latent.kv_rank)),
        ("rope.dimension_count", number(latent.rotated_dim)),
        ("rope.freq_base", Value::F32(latent.rope.theta)),
    ];
    keys.extend(latent.q_rank.map(|rank| ("attention.q_lora_rank", number(rank))));
    match joined {
        true => keys.extend([
            ("attention.head_count_kv", number(latent.heads)),
            ("attention.key_length", number(latent.key_dim())),
            ("attention.value_length", number(latent.value_dim)),
        ]),
        false => keys.extend([
            ("attention.head_count_kv", number(1)),
            ("attention.key_length", number(latent.cached())),
            ("attention.value_length", number(latent.kv_rank)),
            ("attention.key_length_mla", number(latent.key_dim())),
            ("attention.value_length_mla", number(latent.value_dim)),
        ]),
    }
    keys
}

fn of_experts(config: &ModelConfig, experts: &ExpertsSpec, architecture: &str) -> Vec<(&'static str, Value)> {
    let mut keys = vec![
        ("expert_count", number(experts.count)),
        ("expert_used_count", number(experts.router.used)),
        ("expert_feed_forward_length", number(experts.width)),
    ];
    if experts.shared.is_some_and(|shared| shared.gate) {
        keys.extend(experts.shared.map(|shared| ("expert_shared_feed_forward_length", number(shared.width))));
    }
    if ["deepseek2", "glm4moe"].contains(&architecture) {
        let dense = config.layers.iter().filter(|layer| matches!(layer.feed_forward, FeedForward::Dense(_)));
        let shared = experts.shared.map_or(0, |shared| shared.width / experts.width);
        keys.extend([
            ("leading_dense_block_count", number(dense.count())),
            ("expert_shared_count", number(shared)),
            ("expert_weights_scale", Value::F32(experts.router.scale)),
            ("expert_weights_norm", Value::Bool(experts.router.normalize)),
            ("expert_gating_func", number(if experts.router.score == Score::Sigmoid { 2 } else { 1 })),
            ("expert_group_count", number(experts.router.groups.map_or(1, |groups| groups.count))),
            ("expert_group_used_count", number(experts.router.groups.map_or(1, |groups| groups.used))),
        ]);
    }
    keys
}
