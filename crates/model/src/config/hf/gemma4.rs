//! What Gemma 4's layers have of their own: heads and projections that differ between layers with a window and without.

use super::super::{AttentionSpec, ConfigError, Values};
use super::fields::Fields;

/// Attention that is like this one, but for what the layer has of its own.
pub(super) fn adapt(config: &Fields<'_>, layer: usize, attention: &mut AttentionSpec) -> Result<(), ConfigError> {
    const PATH: &str = "config.json: per_layer_config";
    // Pictures may be seen as a whole; text never is.
    if let Some(found) = config.text("use_bidirectional_attention")?.filter(|found| *found != "vision") {
        let (field, value) = (config.field("use_bidirectional_attention"), format!("\"{found}\""));
        return Err(ConfigError::Unsupported { field, value, supported: "\"vision\"" });
    }
    let is_full = attention.window.is_none();
    let keys_are_values = is_full && config.flag("attention_k_eq_v")?;
    attention.values = if keys_are_values { Values::NormedKeys } else { Values::Normed };
    // Files of transformers 5 list the layers that differ; others name what those without a window have.
    match config.get("per_layer_config") {
        Some(layers) => {
            if let Some(own) = layers.get(layer.to_string()) {
                let own = Fields::new(PATH, own)?;
                attention.head_dim = own.size("head_dim")?.unwrap_or(attention.head_dim);
                attention.kv_heads = own.size("num_key_value_heads")?.unwrap_or(attention.kv_heads);
            }
        }
        None if is_full => {
            attention.head_dim = config.need_size("global_head_dim")?;
            let heads = config.size("num_global_key_value_heads")?.filter(|_| keys_are_values);
            attention.kv_heads = heads.unwrap_or(attention.kv_heads);
        }
        None => {}
    }
    Ok(())
}
