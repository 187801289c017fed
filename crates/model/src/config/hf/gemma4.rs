//! What Gemma 4's layers have of their own: heads and projections that differ between layers with a window and without,
//! keys and values of earlier layers, and rows besides the residual stream.

use super::super::{Architecture, AttentionSpec, ConfigError, FeedForward, LayerSpec, PerLayer, Values};
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

/// Lets the last layers use the keys and values of the last ones before them that look at them in the same way.
pub(super) fn share(config: &Fields<'_>, layers: &mut [LayerSpec]) -> Result<(), ConfigError> {
    const COUNT: &str = "num_kv_shared_layers";
    let count = config.size(COUNT)?.unwrap_or(0);
    let widened = if config.flag("use_double_wide_mlp")? { 2 } else { 1 };
    let expected = "so few that a layer of each kind has keys and values of its own";
    let refused = || ConfigError::invalid(config.field(COUNT), count, expected);
    let first = layers.len().checked_sub(count).ok_or_else(refused)?;
    let (own, sharing) = layers.split_at_mut(first);
    for layer in sharing {
        if let Some(attention) = layer.attention_mut() {
            let window = attention.window;
            let like = |own: &LayerSpec| own.attention().is_some_and(|own| own.window == window);
            attention.shares = Some(own.iter().rposition(like).ok_or_else(refused)?);
        }
        if let FeedForward::Dense(dense) = &mut layer.feed_forward {
            dense.width = dense.width.saturating_mul(widened);
        }
    }
    Ok(())
}

/// The rows that layers get besides the residual stream.
pub(super) fn per_layer(config: &Fields<'_>) -> Result<Option<PerLayer>, ConfigError> {
    let width = config.size("hidden_size_per_layer_input")?.unwrap_or(0);
    let (vocab_size, activation) =
        (config.need_size("vocab_size_per_layer_input")?, Architecture::Gemma4.activation(config)?);
    Ok((width > 0).then_some(PerLayer { width, vocab_size, activation }))
}
