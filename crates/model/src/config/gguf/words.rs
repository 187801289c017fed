//! Keys that several families have, in the words of config.json.

use super::super::ConfigError;
use super::{Held, Metadata};
use serde_json::{Value, json};

/// How experts are scored, as `expert_gating_func` has it.
pub(super) const SOFTMAX: usize = 1;
pub(super) const SIGMOID: usize = 2;
/// Adds fields to an object.
pub(super) fn add(words: &mut Value, more: Value) {
    if let (Some(words), Value::Object(more)) = (words.as_object_mut(), more) {
        words.extend(more);
    }
}

/// Heads and their width.
pub(super) fn heads(words: &mut Value, metadata: &Metadata<'_>, kv_heads: Option<usize>) -> Result<(), ConfigError> {
    let (hidden, heads) = (metadata.needed("embedding_length")?, metadata.needed("attention.head_count")?);
    let head_dim = metadata.size("attention.key_length")?.or(hidden.checked_div(heads)).unwrap_or(0);
    same(metadata, "attention.value_length", head_dim)?;
    let kv_heads = match kv_heads {
        Some(kv_heads) => kv_heads,
        None => metadata.size("attention.head_count_kv")?.unwrap_or(heads),
    };
    add(words, json!({ "head_dim": head_dim, "num_key_value_heads": kv_heads }));
    Ok(())
}

/// Refuses another width of values than that of keys.
pub(super) fn same(metadata: &Metadata<'_>, key: &str, expected: usize) -> Result<(), ConfigError> {
    match metadata.size(key)?.filter(|found| *found != expected) {
        None => Ok(()),
        Some(found) => {
            Err(ConfigError::invalid(metadata.name(key), found, format!("{expected}, the width of a head's key")))
        }
    }
}

/// The window, and which layers have it: those that are listed, or all but every n-th.
pub(super) fn windows(
    words: &mut Value,
    metadata: &Metadata<'_>,
    layers: usize,
    usual: usize,
) -> Result<(), ConfigError> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    let window = metadata.size("attention.sliding_window")?.filter(|window| *window > 0);
    let slides = match metadata.is_list(PATTERN) {
        true => metadata.flags(PATTERN, layers)?.unwrap_or_default(),
        false => {
            let every = metadata.size(PATTERN)?.unwrap_or(usual);
            (1..=layers).map(|layer| !layer.is_multiple_of(every)).collect()
        }
    };
    let kind = |slides: bool| if slides && window.is_some() { "sliding_attention" } else { "full_attention" };
    let kinds: Vec<_> = slides.into_iter().map(kind).collect();
    add(words, json!({ "sliding_window": window, "layer_types": kinds }));
    Ok(())
}

/// Gated DeltaNet's sizes, and which layers it is in.
pub(super) fn recurrent(words: &mut Value, metadata: &Metadata<'_>, layers: usize) -> Result<(), ConfigError> {
    let (heads, width) = (metadata.needed("ssm.time_step_rank")?, metadata.needed("ssm.inner_size")?);
    let recurs = match metadata.flags("attention.recurrent_layers", layers)? {
        Some(recurs) => recurs,
        None => {
            let interval = metadata.size("full_attention_interval")?.unwrap_or(4);
            (1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect()
        }
    };
    // Written beside the list, too.
    metadata.size("full_attention_interval")?;
    let kind = |recurs| if recurs { "linear_attention" } else { "full_attention" };
    add(
        words,
        json!({
            "linear_num_key_heads": metadata.needed("ssm.group_count")?,
            "linear_key_head_dim": metadata.needed("ssm.state_size")?,
            "linear_num_value_heads": heads,
            "linear_value_head_dim": width.checked_div(heads).unwrap_or(0),
            "linear_conv_kernel_dim": metadata.needed("ssm.conv_kernel")?,
            "layer_types": recurs.into_iter().map(kind).collect::<Vec<_>>(),
        }),
    );
    Ok(())
}

/// The number of experts, and the width of each, where it is a key of its own. Refuses other ways to score them.
pub(super) fn experts(metadata: &Metadata<'_>, scored: usize) -> Result<(usize, Option<usize>), ConfigError> {
    const GATING: &str = "expert_gating_func";
    if let Some(found) = metadata.size(GATING)?.filter(|found| ![0, scored].contains(found)) {
        let name = if scored == SOFTMAX { "softmax" } else { "sigmoid" };
        return Err(ConfigError::invalid(metadata.name(GATING), found, format!("{scored}, {name}")));
    }
    const NORM: &str = "expert_weights_norm";
    // In these families shares are always normalized; files need not say it.
    if scored == SOFTMAX && metadata.architecture != "deepseek2" && metadata.flag(NORM)? == Some(false) {
        let expected = "true: the shares of a token's experts add up to 1";
        return Err(ConfigError::invalid(metadata.name(NORM), false, expected));
    }
    Ok((metadata.needed("expert_count")?, metadata.size("expert_feed_forward_length")?))
}

pub(super) fn used(words: &mut Value, metadata: &Metadata<'_>) -> Result<(), ConfigError> {
    add(words, json!({ "num_experts_per_tok": metadata.needed("expert_used_count")? }));
    Ok(())
}

/// Experts with a shared one that has a gate.
pub(super) fn shared_with_gate(words: &mut Value, metadata: &Metadata<'_>, held: &Held) -> Result<(), ConfigError> {
    let (count, width) = experts(metadata, SOFTMAX)?;
    let shared = match metadata.size("expert_shared_feed_forward_length")? {
        Some(shared) => shared,
        None => held.rows(&crate::tensors::layer_tensor(0, "mlp.shared_expert.gate_proj.weight"))?,
    };
    add(
        words,
        json!({
            "num_experts": count,
            "moe_intermediate_size": width,
            "shared_expert_intermediate_size": shared,
            "norm_topk_prob": true,
        }),
    );
    used(words, metadata)
}

/// Experts behind dense layers, perhaps in groups, with shared ones.
pub(super) fn grouped(words: &mut Value, metadata: &Metadata<'_>, scored: usize) -> Result<(), ConfigError> {
    let (count, width) = experts(metadata, scored)?;
    add(
        words,
        json!({
            "n_routed_experts": count,
            "moe_intermediate_size": width,
            "n_shared_experts": metadata.size("expert_shared_count")?.unwrap_or(0),
            "first_k_dense_replace": metadata.size("leading_dense_block_count")?.unwrap_or(0),
            "n_group": metadata.size("expert_group_count")?.filter(|groups| *groups > 0).unwrap_or(1),
            "topk_group": metadata.size("expert_group_used_count")?.filter(|groups| *groups > 0).unwrap_or(1),
            "norm_topk_prob": metadata.flag("expert_weights_norm")?.unwrap_or(false),
        }),
    );
    used(words, metadata)
}

/// The score that `expert_gating_func` names, for the family that has two.
pub(super) fn is_softmax(metadata: &Metadata<'_>) -> Result<bool, ConfigError> {
    Ok(metadata.size("expert_gating_func")?.filter(|scored| *scored != 0).unwrap_or(SOFTMAX) == SOFTMAX)
}
