//! Feed-forward networks in config.json: dense ones, and mixtures of experts.

use super::super::{
    Activation, Architecture, ConfigError, DenseSpec, ExpertsSpec, ExpertsStored, FeedForward, Groups, RouterSpec,
    Score, SharedExpert,
};
use super::fields::{Fields, short};
use serde_json::Value;

/// The network of each layer.
pub(super) fn networks(
    config: &Fields<'_>,
    architecture: Architecture,
    count: usize,
) -> Result<Vec<FeedForward>, ConfigError> {
    let activation = architecture.activation(config)?;
    let experts = experts(config, architecture, activation)?;
    let sparse = match &experts {
        Some(_) => sparse(config, count)?,
        None => vec![false; count],
    };
    let dense = match sparse.iter().all(|sparse| *sparse) {
        true => None,
        false => Some(DenseSpec {
            width: config.need_size("intermediate_size")?,
            activation,
            bias: matches!(architecture, Architecture::Llama | Architecture::Granite | Architecture::SmolLm3)
                && config.flag("mlp_bias")?,
            fused: matches!(architecture, Architecture::Phi3 | Architecture::Glm4),
        }),
    };
    let network = |sparse: bool| match (&experts, &dense) {
        (Some(experts), _) if sparse => Ok(FeedForward::Experts(experts.clone())),
        (_, Some(dense)) => Ok(FeedForward::Dense(dense.clone())),
        _ => Err(ConfigError::missing(config.field("intermediate_size"))),
    };
    sparse.into_iter().map(network).collect()
}

/// Which layers have experts: all but the first ones, those that are listed, or those between every n-th.
fn sparse(config: &Fields<'_>, count: usize) -> Result<Vec<bool>, ConfigError> {
    let first = config.size("first_k_dense_replace")?.unwrap_or(0);
    let step = config.size("decoder_sparse_step")?.unwrap_or(1).max(1);
    let listed = |value: &Value| -> Option<Vec<usize>> {
        value.as_array()?.iter().map(|layer| usize::try_from(layer.as_u64()?).ok()).collect()
    };
    let dense = config.parse("mlp_only_layers", "a list of layers", listed)?.unwrap_or_default();
    let sparse = |layer: usize| layer >= first && !dense.contains(&layer) && (layer + 1).is_multiple_of(step);
    Ok((0..count).map(sparse).collect())
}

fn experts(
    config: &Fields<'_>,
    architecture: Architecture,
    activation: Activation,
) -> Result<Option<ExpertsSpec>, ConfigError> {
    let names: &[&'static str] = match architecture {
        Architecture::Gemma4 if config.flag("enable_moe_block")? => &["num_experts"],
        Architecture::Mixtral | Architecture::GptOss => &["num_local_experts"],
        Architecture::Qwen3Moe => &["num_experts", "num_local_experts"],
        Architecture::Qwen3Next | Architecture::Qwen35Moe => &["num_experts"],
        Architecture::Glm4Moe | Architecture::DeepseekV3 => &["n_routed_experts", "num_local_experts"],
        _ => return Ok(None),
    };
    let mut count = None;
    for &name in names {
        count = count.or(config.size(name)?);
    }
    let count = count.ok_or_else(|| ConfigError::missing(config.field(names[0])))?;
    let beside = architecture == Architecture::Gemma4;
    let used = config.need_size(if beside { "top_k_experts" } else { "num_experts_per_tok" })?;
    let grouped = matches!(architecture, Architecture::Glm4Moe | Architecture::DeepseekV3);
    let router = RouterSpec {
        used,
        score: if grouped { Score::Sigmoid } else { Score::Softmax },
        bias: architecture == Architecture::GptOss,
        choice_bias: grouped,
        // The softmax of the chosen alone, as in gpt-oss, is that of all, normalized.
        normalize: match architecture {
            Architecture::Mixtral | Architecture::GptOss | Architecture::Gemma4 => true,
            _ => config.flag("norm_topk_prob")?,
        },
        scale: if grouped { config.number("routed_scaling_factor")?.unwrap_or(1.0) as f32 } else { 1.0 },
        groups: if grouped { groups(config)? } else { None },
    };
    check_routing(config)?;
    let width = match architecture {
        Architecture::Mixtral | Architecture::GptOss => config.need_size("intermediate_size")?,
        _ => config.need_size("moe_intermediate_size")?,
    };
    let shared = match architecture {
        Architecture::Gemma4 => Some(SharedExpert { width: config.need_size("intermediate_size")?, gate: false }),
        Architecture::Glm4Moe | Architecture::DeepseekV3 => {
            let shared = config.size("n_shared_experts")?.unwrap_or(1);
            (shared > 0).then(|| SharedExpert { width: width.saturating_mul(shared), gate: false })
        }
        Architecture::Qwen3Next | Architecture::Qwen35Moe => {
            let width = config.need_size("shared_expert_intermediate_size")?;
            Some(SharedExpert { width, gate: true })
        }
        _ => None,
    };
    let stored = match architecture {
        Architecture::GptOss => ExpertsStored::Transposed,
        Architecture::Gemma4 => ExpertsStored::GateUp,
        _ => ExpertsStored::Separate,
    };
    let bias = architecture == Architecture::GptOss;
    Ok(Some(ExpertsSpec { count, width, activation, bias, router, beside, shared, stored }))
}

/// The groups of experts, unless there is one alone.
fn groups(config: &Fields<'_>) -> Result<Option<Groups>, ConfigError> {
    let (count, used) = (config.size("n_group")?.unwrap_or(1), config.size("topk_group")?.unwrap_or(1));
    Ok((count != 1).then_some(Groups { count, used, best: 2 }))
}

/// Older files of DeepSeek's name how experts are chosen. What is computed here is the way of the third version.
fn check_routing(config: &Fields<'_>) -> Result<(), ConfigError> {
    let known: [(&'static str, &str, &'static str); 2] =
        [("scoring_func", "sigmoid", "\"sigmoid\""), ("topk_method", "noaux_tc", "\"noaux_tc\"")];
    for (name, expected, supported) in known {
        if let Some(found) = config.get(name).filter(|found| found.as_str() != Some(expected)) {
            return Err(ConfigError::Unsupported { field: config.field(name), value: short(found), supported });
        }
    }
    Ok(())
}
