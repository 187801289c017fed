//! Position embedding in GGUF metadata, in the words of config.json.

use super::families::Family;
use super::{ConfigError, Held, Metadata};
use serde_json::{Value, json};

/// The base where a file names none.
const BASE: f64 = 10_000.0;

/// `rope_parameters`: of all layers, or of those with a window and without.
pub(super) fn parameters(metadata: &Metadata<'_>, held: &Held, family: &Family) -> Result<Value, ConfigError> {
    let mut full = scaling(metadata, held, family)?;
    full["rope_theta"] = metadata.number("rope.freq_base")?.unwrap_or(BASE).into();
    if !family.has_two_ropes() {
        return Ok(full);
    }
    let base = metadata.number("rope.freq_base_swa")?.unwrap_or(BASE);
    Ok(json!({
        "full_attention": full,
        "sliding_attention": { "rope_type": "default", "rope_theta": base },
    }))
}

/// How frequencies are stretched. A factor without a type is linear, and `rope.scale_linear` is its older key.
fn scaling(metadata: &Metadata<'_>, held: &Held, family: &Family) -> Result<Value, ConfigError> {
    const TYPE: &str = "rope.scaling.type";
    let factor = match metadata.number("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => metadata.number("rope.scale_linear")?,
    };
    let original = match metadata.size("rope.scaling.original_context_length")? {
        Some(original) => original,
        None => metadata.needed("context_length")?,
    };
    let kind = metadata.text(TYPE)?;
    let factors = &held.factors;
    match (kind, factor) {
        _ if factors.long.is_some() || factors.short.is_some() => Ok(json!({
            "rope_type": "longrope",
            "long_factor": factors.long,
            "short_factor": factors.short,
            "original_max_position_embeddings": original,
            "attention_factor": metadata.number("rope.scaling.attn_factor")?,
        })),
        (Some("yarn"), Some(factor)) => {
            // DeepSeek's is written as a tenth of what it stands for.
            let mscale = metadata.number("rope.scaling.yarn_log_multiplier")?;
            let mscale = mscale.map(|mscale| if family.is_latent() { mscale * 10.0 } else { mscale });
            Ok(json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original,
                "beta_fast": metadata.number("rope.scaling.yarn_beta_fast")?,
                "beta_slow": metadata.number("rope.scaling.yarn_beta_slow")?,
                "attention_factor": metadata.number("rope.scaling.yarn_attn_factor")?,
                // The converters leave out the other one of the two: it is 1, or in DeepSeek's older models the same.
                "mscale": mscale.map(|mscale| if family.is_latent() { mscale } else { 1.0 }),
                "mscale_all_dim": mscale,
                "truncate": !family.keeps_fractions(),
                "llama_4_scaling_beta": family.grows_queries().then(|| {
                    metadata.number("attention.temperature_scale")
                }).transpose()?.flatten(),
            }))
        }
        (None | Some("linear"), Some(factor)) if factor != 1.0 => {
            Ok(json!({ "rope_type": "linear", "factor": factor }))
        }
        (None | Some("linear" | "none"), _) => Ok(json!({ "rope_type": "default" })),
        (Some(other), _) => Err(ConfigError::invalid(metadata.name(TYPE), other, "none, linear, yarn or longrope")),
    }
}
