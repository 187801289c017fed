//! Position embedding in config.json: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).

use super::super::{Architecture, ConfigError, PositionScale, Rope, RopeScaling};
use super::fields::Fields;
use serde_json::Value;

const NEW: &str = "config.json: rope_parameters";
const OLD: &str = "config.json: rope_scaling";

/// Position embedding of a model: of layers that see everything, and of those with a window.
pub(super) struct Ropes {
    pub(super) full: Rope,
    pub(super) windowed: Rope,
    /// How queries grow with their position.
    pub(super) position_scale: Option<PositionScale>,
    /// What YaRN multiplies queries and keys of latent attention by, as a whole head is not rotated.
    pub(super) mscale: f64,
}

pub(super) fn ropes(config: &Fields<'_>, architecture: Architecture, head_dim: usize) -> Result<Ropes, ConfigError> {
    let new = config.get("rope_parameters").map(|value| Fields::new(NEW, value));
    let old = config.get("rope_scaling").map(|value| Fields::new(OLD, value));
    let settings = new.or(old).transpose()?;
    let read = |settings: Option<&Fields<'_>>, theta: Option<f64>| {
        let interleaved = match architecture {
            Architecture::Glm4 => true,
            Architecture::DeepseekV3 => config.flag("rope_interleave")?,
            _ => false,
        };
        rope(config, settings, Context { theta, head_dim, interleaved })
    };
    if !matches!(architecture, Architecture::Gemma3 | Architecture::Gemma4) {
        let full = read(settings.as_ref(), None)?;
        let position_scale = settings.as_ref().map_or(Ok(None), position_scale)?;
        let mscale = settings.as_ref().map_or(Ok(1.0), |settings| mscale(&full, settings))?;
        return Ok(Ropes { windowed: full.clone(), full, position_scale, mscale });
    }
    let of = |kind: &'static str| {
        let value = settings.as_ref().and_then(|settings| settings.get(kind));
        value.map(|value| Fields::new(NEW, value)).transpose()
    };
    let (full, windowed) = (of("full_attention")?, of("sliding_attention")?);
    let local = config.number("rope_local_base_freq")?.unwrap_or(10_000.0);
    Ok(Ropes {
        full: read(full.as_ref().or(settings.as_ref()), None)?,
        windowed: read(windowed.as_ref(), Some(local))?,
        position_scale: None,
        mscale: 1.0,
    })
}

/// What settings are read for.
#[derive(Clone, Copy)]
struct Context {
    /// The base, unless the settings name one; `None`: the model's.
    theta: Option<f64>,
    head_dim: usize,
    interleaved: bool,
}

fn rope(config: &Fields<'_>, settings: Option<&Fields<'_>>, of: Context) -> Result<Rope, ConfigError> {
    let within = |name| settings.map_or(Ok(None), |settings| settings.number(name));
    let theta = match (within("rope_theta")?, of.theta) {
        (Some(theta), _) | (None, Some(theta)) => theta,
        (None, None) => config.number("rope_theta")?.unwrap_or(10_000.0),
    };
    let (own, of_model) = (within("partial_rotary_factor")?, config.number("partial_rotary_factor")?);
    let factor = own.or(of_model).unwrap_or(1.0);
    // As transformers does: the fraction of the head, cut to a whole number.
    let rotated = (of.head_dim as f64 * factor) as usize;
    let rotated = (rotated != of.head_dim).then_some(rotated);
    let (scaling, magnitude) = match settings {
        Some(settings) => scaling(config, settings)?,
        None => (RopeScaling::None, 1.0),
    };
    // There a head is rotated as a whole, and the factor says which of its frequencies turn.
    let (scaling, rotated) = match scaling {
        RopeScaling::Proportional { .. } => (RopeScaling::Proportional { part: factor as f32 }, None),
        scaling => (scaling, rotated),
    };
    Ok(Rope { theta: theta as f32, scaling, interleaved: of.interleaved, rotated, magnitude })
}

/// How frequencies are stretched, and what cosines and sines are multiplied by.
fn scaling(config: &Fields<'_>, settings: &Fields<'_>) -> Result<(RopeScaling, f32), ConfigError> {
    let (field, kind) = match settings.text("rope_type")? {
        Some(kind) => ("rope_type", Some(kind)),
        None => ("type", settings.text("type")?),
    };
    let need = |name| Ok::<_, ConfigError>(settings.need_number(name)? as f32);
    let scaling = match kind.unwrap_or("default") {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: need("factor")?,
            low_freq_factor: need("low_freq_factor")?,
            high_freq_factor: need("high_freq_factor")?,
            original_context_length: settings.need_size("original_max_position_embeddings")?,
        },
        "proportional" => RopeScaling::Proportional { part: 1.0 },
        "yarn" => return yarn(config, settings),
        "longrope" | "su" => return long(config, settings),
        other => {
            return Err(ConfigError::Unsupported {
                field: settings.field(field),
                value: format!("\"{other}\""),
                supported: "\"default\", \"linear\", \"llama3\", \"yarn\", \"longrope\" and \"proportional\"",
            });
        }
    };
    Ok((scaling, 1.0))
}

/// The factor of the longest context over the trained one, unless it is given.
fn stretch(config: &Fields<'_>, settings: &Fields<'_>, original: usize) -> Result<f64, ConfigError> {
    Ok(match settings.number("factor")? {
        Some(factor) => factor,
        None => config.need_size("max_position_embeddings")? as f64 / original as f64,
    })
}

fn original(config: &Fields<'_>, settings: &Fields<'_>) -> Result<usize, ConfigError> {
    match settings.size("original_max_position_embeddings")? {
        Some(original) => Ok(original),
        None => config.need_size("original_max_position_embeddings"),
    }
}

fn yarn(config: &Fields<'_>, settings: &Fields<'_>) -> Result<(RopeScaling, f32), ConfigError> {
    let original_context_length = original(config, settings)?;
    let factor = stretch(config, settings, original_context_length)?;
    let mscale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
    let given = |name| Ok::<_, ConfigError>(settings.number(name)?.filter(|number| *number != 0.0));
    let magnitude = match (settings.number("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
        (Some(factor), ..) => factor,
        (None, Some(of), Some(all)) => mscale(of) / mscale(all),
        (None, ..) => mscale(1.0),
    };
    let scaling = RopeScaling::Yarn {
        factor: factor as f32,
        beta_fast: given("beta_fast")?.unwrap_or(32.0) as f32,
        beta_slow: given("beta_slow")?.unwrap_or(1.0) as f32,
        original_context_length,
        truncate: settings.parse("truncate", "true or false", Value::as_bool)?.unwrap_or(true),
    };
    Ok((scaling, magnitude as f32))
}

/// LongRoPE has one list of divisors for short contexts and one for long ones (<https://arxiv.org/abs/2402.13753>). As
/// other servers do, a model whose context is longer than the trained one always computes with the second: keys that are
/// cached would not fit the other list.
fn long(config: &Fields<'_>, settings: &Fields<'_>) -> Result<(RopeScaling, f32), ConfigError> {
    let original = original(config, settings)?;
    let context = config.need_size("max_position_embeddings")?;
    let numbers = |value: &Value| -> Option<Vec<f32>> {
        value.as_array()?.iter().map(|number| Some(number.as_f64()? as f32)).collect()
    };
    let name = if context > original { "long_factor" } else { "short_factor" };
    let factors = settings.parse(name, "a list of numbers", numbers)?;
    let factors = factors.ok_or_else(|| ConfigError::missing(settings.field(name)))?;
    let magnitude = match settings.number("attention_factor")? {
        Some(factor) => factor,
        None => match stretch(config, settings, original)? {
            factor if factor <= 1.0 => 1.0,
            factor => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
        },
    };
    Ok((RopeScaling::Factors { factors }, magnitude as f32))
}

fn position_scale(settings: &Fields<'_>) -> Result<Option<PositionScale>, ConfigError> {
    let Some(beta) = settings.number("llama_4_scaling_beta")?.filter(|beta| *beta != 0.0) else { return Ok(None) };
    let every = settings.need_size("original_max_position_embeddings")?;
    Ok(Some(PositionScale { beta: beta as f32, every }))
}

fn mscale(rope: &Rope, settings: &Fields<'_>) -> Result<f64, ConfigError> {
    let all = settings.number("mscale_all_dim")?.unwrap_or(0.0);
    Ok(match rope.scaling {
        RopeScaling::Yarn { factor, .. } if all != 0.0 && factor > 1.0 => 0.1 * all * f64::from(factor).ln() + 1.0,
        _ => 1.0,
    })
}
