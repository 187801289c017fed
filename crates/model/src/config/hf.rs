//! config.json of Hugging Face transformers, versions 4 and 5.

mod family;
mod fields;
mod gemma4;
mod lfm2;
mod network;
mod qwen_next;
mod rope;
#[cfg(test)]
mod tests;

use super::{
    Architecture, AttentionSpec, ConfigError, LatentSpec, LayerSpec, Mixer, ModelConfig, Scales, Values, check_layers,
};
use family::architecture;
pub(super) use family::classes;
use fields::{Fields, short};
use rope::Ropes;
use serde_json::Value;

/// Fields that change what is computed. One that a family's reader has not asked for is refused.
const CHANGES: [&str; 26] = [
    "attention_multiplier",
    "attn_logit_softcapping",
    "clip_qkv",
    "decoder_sparse_step",
    "embedding_multiplier",
    "enable_moe_block",
    "final_logit_softcapping",
    "first_k_dense_replace",
    "hidden_size_per_layer_input",
    "kv_lora_rank",
    "logit_scale",
    "logits_scaling",
    "mlp_only_layers",
    "moe_intermediate_size",
    "n_routed_experts",
    "n_shared_experts",
    "no_rope_layers",
    "num_experts",
    "num_kv_shared_layers",
    "num_local_experts",
    "partial_rotary_factor",
    "query_pre_attn_scalar",
    "residual_multiplier",
    "routed_scaling_factor",
    "shared_expert_intermediate_size",
    "use_bidirectional_attention",
];

/// Reads a description. `path`: what errors call it.
pub(super) fn read(config: &Value, generation: Option<&Value>, path: &'static str) -> Result<ModelConfig, ConfigError> {
    let whole = Fields::new(path, config)?;
    // A model that also sees or hears has the description of its text model within.
    let (path, config) = match whole.get("text_config") {
        Some(text) => ("config.json: text_config", text),
        None => (path, config),
    };
    let architecture = architecture(&Fields::new(path, config)?)?;
    let config = match architecture {
        Architecture::Lfm2 => architecture.with_defaults(&lfm2::in_usual_names(path, config)?),
        _ => architecture.with_defaults(config),
    };
    let config = Fields::new(path, &config)?;
    let (count, hidden_size) = (config.need_size("num_hidden_layers")?, config.need_size("hidden_size")?);
    check_layers(count)?;
    let (mixer, ropes) = match architecture {
        Architecture::DeepseekV3 => latent(&config, architecture)?,
        _ => attention(&config, architecture, hidden_size)?,
    };
    let windows = windows(&config, architecture, count)?;
    let rotates = rotates(&config, architecture, count)?;
    let networks = network::networks(&config, architecture, count)?;
    let recurrent = recurrent(&config, architecture, count)?;
    let mut layers = Vec::with_capacity(count);
    let parts = windows.into_iter().zip(rotates).zip(networks).zip(recurrent);
    for (layer, (((window, rotates), feed_forward), recurrent)) in parts.enumerate() {
        let mut mixer = recurrent.unwrap_or_else(|| mixer.clone());
        if let Mixer::Attention(attention) = &mut mixer {
            attention.window = window;
            if architecture == Architecture::Gemma4 {
                gemma4::adapt(&config, layer, attention)?;
            }
            let rope = if window.is_some() { &ropes.windowed } else { &ropes.full };
            attention.rope = rotates.then(|| rope.clone());
        }
        let (norms, scaled) = (architecture.norms(), architecture == Architecture::Gemma4);
        layers.push(LayerSpec { mixer, feed_forward, norms, scaled });
    }
    let mut per_layer = None;
    if architecture == Architecture::Gemma4 {
        gemma4::share(&config, &mut layers)?;
        per_layer = gemma4::per_layer(&config)?;
    }
    let mut eos = config.tokens("eos_token_id")?;
    eos.extend(whole.tokens("eos_token_id")?);
    if let Some(generation) = generation {
        eos.extend(Fields::new("generation_config.json", generation)?.tokens("eos_token_id")?);
    }
    eos.sort_unstable();
    eos.dedup();
    let read = ModelConfig {
        architecture,
        hidden_size,
        layers,
        vocab_size: config.need_size("vocab_size")?,
        context_length: config.need_size("max_position_embeddings")?,
        norm_eps: config.number("rms_norm_eps")?.unwrap_or(1e-6),
        norm_offset: architecture == Architecture::Gemma3 || architecture.is_qwen_next(),
        scales: scales(&config, architecture, hidden_size)?,
        per_layer,
        tied_embeddings: match config.get("tie_word_embeddings") {
            Some(_) => config.flag("tie_word_embeddings")?,
            None => whole.flag("tie_word_embeddings")?,
        },
        bos: config.token("bos_token_id")?,
        eos,
    };
    config.refuse_unasked(&CHANGES)?;
    Ok(read)
}

/// What all layers' attention has in common, and the position embeddings of layers with a window and without.
fn attention(
    config: &Fields<'_>,
    architecture: Architecture,
    hidden_size: usize,
) -> Result<(Mixer, Ropes), ConfigError> {
    let heads = config.need_size("num_attention_heads")?;
    let head_dim = match config.size("head_dim")? {
        Some(head_dim) => head_dim,
        None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            let expected = format!("a divisor of hidden_size, {hidden_size}, as there is no head_dim");
            return Err(ConfigError::invalid(config.field("num_attention_heads"), heads, expected));
        }
    };
    let ropes = rope::ropes(config, architecture, head_dim)?;
    let (qkv_bias, o_bias) = architecture.attention_biases(config)?;
    let attention = AttentionSpec {
        heads,
        kv_heads: config.size("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        window: None,
        rope: None,
        scale: match architecture {
            Architecture::Granite => Some(config.number("attention_multiplier")?.unwrap_or(1.0) as f32),
            Architecture::Gemma3 => Some(config.need_number("query_pre_attn_scalar")?.powf(-0.5) as f32),
            Architecture::Gemma4 => Some(1.0),
            _ => None,
        },
        position_scale: ropes.position_scale,
        qkv_bias,
        o_bias,
        qk_norm: architecture.qk_norm(config)?,
        sinks: architecture == Architecture::GptOss,
        values: Values::Own,
        shares: None,
        fused: architecture == Architecture::Phi3,
        gated: architecture.is_qwen_next(),
    };
    Ok((Mixer::Attention(attention), ropes))
}

/// Latent attention; of its heads a part is rotated, and `head_dim` may be that part's width or missing.
fn latent(config: &Fields<'_>, architecture: Architecture) -> Result<(Mixer, Ropes), ConfigError> {
    let rotated_dim = config.need_size("qk_rope_head_dim")?;
    let ropes = rope::ropes(config, architecture, rotated_dim)?;
    let mut latent = LatentSpec {
        heads: config.need_size("num_attention_heads")?,
        q_rank: config.size("q_lora_rank")?,
        kv_rank: config.need_size("kv_lora_rank")?,
        plain_dim: config.need_size("qk_nope_head_dim")?,
        rotated_dim,
        value_dim: config.need_size("v_head_dim")?,
        rope: ropes.full.clone(),
        scale: None,
        bias: config.flag("attention_bias")?,
        split: false,
    };
    if ropes.mscale != 1.0 {
        latent.scale = Some((ropes.mscale * ropes.mscale / (latent.key_dim() as f64).sqrt()) as f32);
    }
    Ok((Mixer::LatentAttention(latent), ropes))
}

/// The mixer of each layer that has another than attention.
fn recurrent(config: &Fields<'_>, architecture: Architecture, count: usize) -> Result<Vec<Option<Mixer>>, ConfigError> {
    match architecture {
        Architecture::Lfm2 => lfm2::recurrent(config, count),
        Architecture::Qwen3Next => qwen_next::recurrent(config, count, true),
        Architecture::Qwen35 | Architecture::Qwen35Moe => qwen_next::recurrent(config, count, false),
        _ => Ok(vec![None; count]),
    }
}

/// Which layers are of this kind and which have full attention, where they are listed.
fn attends(
    config: &Fields<'_>,
    other: &str,
    supported: &'static str,
    count: usize,
) -> Result<Option<Vec<bool>>, ConfigError> {
    let Some(types) = config.list("layer_types")? else { return Ok(None) };
    let known = |kind: &Value| kind == "full_attention" || kind == other;
    if types.len() != count || !types.iter().all(known) {
        let (field, value) = (config.field("layer_types"), short(&Value::Array(types.clone())));
        return Err(ConfigError::Unsupported { field, value, supported });
    }
    Ok(Some(types.iter().map(|kind| kind == "full_attention").collect()))
}

/// The window of each layer. Layers with one are listed, are all but every n-th, or begin behind the first
/// `max_window_layers`.
fn windows(config: &Fields<'_>, architecture: Architecture, count: usize) -> Result<Vec<Option<usize>>, ConfigError> {
    let window = config.size("sliding_window")?;
    let slides: Vec<bool> = match architecture {
        Architecture::Mistral | Architecture::Ministral3 | Architecture::Mixtral | Architecture::Phi3 => {
            vec![window.is_some(); count]
        }
        Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Qwen3Moe | Architecture::SmolLm3 => {
            if !config.flag("use_sliding_window")? {
                return Ok(vec![None; count]);
            }
            let full = config.size("max_window_layers")?.unwrap_or(count);
            (0..count).map(|layer| layer >= full && window.is_some()).collect()
        }
        Architecture::Gemma3 | Architecture::Gemma4 | Architecture::GptOss => {
            let usual = if architecture == Architecture::GptOss { 2 } else { 6 };
            let every = match config.size("sliding_window_pattern")? {
                Some(every) => every,
                None => config.size("_sliding_window_pattern")?.unwrap_or(usual),
            };
            (1..=count).map(|layer| !layer.is_multiple_of(every)).collect()
        }
        _ => return Ok(vec![None; count]),
    };
    let slides = match config.list("layer_types")? {
        None => slides,
        Some(types) => {
            let known = |kind: &Value| kind == "full_attention" || kind == "sliding_attention";
            if types.len() != count || !types.iter().all(known) {
                return Err(ConfigError::Unsupported {
                    field: config.field("layer_types"),
                    value: short(&Value::Array(types.clone())),
                    supported: "\"full_attention\" and \"sliding_attention\", one for each layer",
                });
            }
            types.iter().map(|kind| kind == "sliding_attention").collect()
        }
    };
    let window = |slides: bool| match (slides, window) {
        (false, _) => Ok(None),
        (true, Some(tokens)) => Ok(Some(tokens)),
        (true, None) => Err(ConfigError::missing(config.field("sliding_window"))),
    };
    slides.into_iter().map(window).collect()
}

/// Which layers have a position embedding: those that are listed with 1, or all but every n-th.
fn rotates(config: &Fields<'_>, architecture: Architecture, count: usize) -> Result<Vec<bool>, ConfigError> {
    if architecture != Architecture::SmolLm3 {
        return Ok(vec![true; count]);
    }
    let flags = |value: &Value| -> Option<Vec<bool>> {
        let flags = value.as_array()?.iter().map(|flag| Some(flag.as_u64()? != 0)).collect::<Option<Vec<_>>>()?;
        (flags.len() == count).then_some(flags)
    };
    let listed = config.parse("no_rope_layers", "a list of 0 and 1, one for each layer", flags)?;
    let every = config.need_size("no_rope_layer_interval")?;
    Ok(listed.unwrap_or_else(|| (1..=count).map(|layer| !layer.is_multiple_of(every)).collect()))
}

fn scales(config: &Fields<'_>, architecture: Architecture, hidden_size: usize) -> Result<Scales, ConfigError> {
    Ok(match architecture {
        Architecture::Granite => {
            let scale = |name| Ok::<_, ConfigError>(config.number(name)?.unwrap_or(1.0) as f32);
            Scales {
                embedding: scale("embedding_multiplier")?,
                residual: scale("residual_multiplier")?,
                logit_divisor: scale("logits_scaling")?,
                ..Scales::default()
            }
        }
        Architecture::Gemma3 | Architecture::Gemma4 => Scales {
            embedding: (hidden_size as f32).sqrt(),
            logit_cap: config.number("final_logit_softcapping")?.map(|cap| cap as f32),
            ..Scales::default()
        },
        _ => Scales::default(),
    })
}
