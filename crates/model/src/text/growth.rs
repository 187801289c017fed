//! A tokenizer's normalizers rewrite a text before it is cut. A file may hold many that each make it longer, so how much
//! longer all of them can make it is reckoned before any text goes through them.

use super::TextError;
use serde_json::Value;
use tokenizers::Tokenizer;

/// How many times as long a text may become. Those of known models make it up to some forty times as long, in the worst
/// case that is reckoned here.
const MOST: f64 = 256.0;
/// Normalizers one after another. Known models have up to eight.
const MOST_STEPS: usize = 32;

/// Refuses a tokenizer whose normalizers could make a text far longer.
pub(super) fn check_growth(tokenizer: &Tokenizer) -> Result<(), TextError> {
    let normalizer = serde_json::to_value(tokenizer.get_normalizer()).map_err(|e| TextError::Tokenizer(e.into()))?;
    let mut steps = 0;
    let growth = growth(&normalizer, &mut steps);
    if steps > MOST_STEPS || growth > MOST {
        return Err(TextError::Growing { growth, steps });
    }
    Ok(())
}

/// How many times as long, in bytes, a normalizer can make a text.
fn growth(normalizer: &Value, steps: &mut usize) -> f64 {
    *steps += 1;
    let length = |value: &Value| value.as_str().map_or(0, str::len) as f64;
    match normalizer["type"].as_str() {
        Some("Sequence") => {
            let parts = normalizer["normalizers"].as_array();
            parts.into_iter().flatten().map(|part| growth(part, steps)).product()
        }
        Some("Replace") => match &normalizer["pattern"]["String"] {
            Value::String(pattern) if !pattern.is_empty() => {
                (length(&normalizer["content"]) / pattern.len() as f64).max(1.0)
            }
            // It may match nothing at all, between any two bytes.
            _ => length(&normalizer["content"]) + 1.0,
        },
        Some("Prepend") => length(&normalizer["prepend"]).max(1.0),
        Some("Strip" | "StripAccents" | "NFC") | None => 1.0,
        // Decompositions, and tables as SentencePiece has them.
        Some(_) => 3.0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;
    use std::str::FromStr;

    fn check(normalizers: &[Value]) -> Result<(), TextError> {
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}
        });
        check_growth(&Tokenizer::from_str(&tokenizer.to_string()).unwrap())
    }

    #[test]
    fn normalizers_that_double_a_text_again_and_again_are_refused() {
        let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        assert!(check(&vec![double.clone(); 8]).is_ok());
        assert!(matches!(check(&vec![double; 30]), Err(TextError::Growing { steps: 31, .. })));
        let anywhere = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "x".repeat(1000)});
        assert!(matches!(check(&[anywhere]), Err(TextError::Growing { .. })));
        let harmless = json!({"type": "Lowercase"});
        assert!(check(&vec![harmless; 40]).is_err(), "too many of any kind");
    }

    #[test]
    fn those_of_known_models_are_not() {
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let many = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"});
        assert!(check(&[json!({"type": "Prepend", "prepend": "▁"}), spaces.clone()]).is_ok());
        assert!(check(&[json!({"type": "NFKC"}), json!({"type": "Lowercase"}), spaces, many]).is_ok());
    }
}
