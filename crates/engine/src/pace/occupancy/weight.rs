//! Attention is heavier the more positions its rows attend to.
//!
//! The device time of a unit of a kind is learned in seconds, but a prompt takes a tenth of one, each piece heavier than the
//! one before. So units are weighted by the model's shape, and what was learned from one piece holds for the next. A unit
//! with nothing to attend to weighs 1.

use super::kind::FEW_ROWS;
use gogrid_model::{Layers, ModelConfig, Unit};

/// Products that a GPU computes in the time in which it moves a byte: 100 to 200 on recent ones, from laptops to data
/// centers.
const PRODUCTS_A_BYTE: f64 = 100.0;
/// Bytes that are moved for a score of 16 bits: it is written, scaled, masked, made a weight, and read.
const BYTES_A_SCORE: f64 = 16.0;

/// The weight of a stage's units.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    /// What a token that is attended to adds to a unit of attention.
    each: f64,
    /// The most tokens that each layer attends to.
    windows: Vec<usize>,
}

impl Weight {
    pub(crate) fn of(config: &ModelConfig, layers: Layers) -> Self {
        let (hidden, ffn) = (config.hidden_size as f64, config.intermediate_size as f64);
        let heads = |count: usize| (count * config.head_dim) as f64;
        let matrices = hidden * (2.0 * heads(config.heads) + 2.0 * heads(config.kv_heads) + 3.0 * ffn);
        let score = 2.0 * config.head_dim as f64 + BYTES_A_SCORE * PRODUCTS_A_BYTE;
        let windows = layers.range().map(|layer| config.window(layer).unwrap_or(usize::MAX)).collect();
        // The matrices are those of all units of a layer.
        Self { each: Unit::LAYER.len() as f64 * config.heads as f64 * score / matrices, windows }
    }

    /// What these units weigh in a batch of these rows, which attend to `context` tokens in the mean. With few rows most of
    /// the time goes into reading weights, whatever the context.
    pub(crate) fn units(&self, units: &[Unit], rows: usize, context: f64) -> f64 {
        let attention = units.iter().filter(|unit| **unit == Unit::Attention).count();
        if attention == 0 || rows <= FEW_ROWS {
            return units.len() as f64;
        }
        let seen =
            self.windows.iter().map(|window| context.min(*window as f64)).sum::<f64>() / self.windows.len() as f64;
        units.len() as f64 + attention as f64 * self.each * seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of 1.1 billion parameters that `gogrid bench` measures.
    fn config(window: Option<usize>) -> ModelConfig {
        let config = serde_json::json!({
            "architectures": ["MistralForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 22,
            "num_attention_heads": 32, "num_key_value_heads": 4, "intermediate_size": 5632, "vocab_size": 32000,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "sliding_window": window,
        });
        ModelConfig::from_hf(&config, None).expect("a model")
    }

    fn layer(config: &ModelConfig, rows: usize, context: f64) -> f64 {
        Weight::of(config, Layers::new(0, 22)).units(&Unit::LAYER, rows, context)
    }

    #[test]
    fn a_prompt_s_pieces_get_heavier_and_answers_do_not() {
        let full = config(None);
        assert_eq!(layer(&full, 512, 0.0), 3.0);
        let (early, late) = (layer(&full, 512, 256.0), layer(&full, 512, 1280.0));
        assert!(early > 3.0 && ((late - 3.0) / (early - 3.0) - 5.0).abs() < 1e-9, "{early}, {late}");
        assert_eq!(layer(&full, 4, 1280.0), 3.0);
    }

    #[test]
    fn a_window_bounds_the_weight_and_only_attention_has_it() {
        assert_eq!(layer(&config(Some(256)), 512, 1280.0), layer(&config(None), 512, 256.0));
        let weight = Weight::of(&config(None), Layers::new(0, 22));
        assert_eq!(weight.units(&[Unit::Up, Unit::Down, Unit::Head], 512, 1280.0), 3.0);
    }
}
