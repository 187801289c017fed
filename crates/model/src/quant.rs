//! Which type weights are quantized to when they are loaded.
//!
//! The matrices of a layer (q, k, v, o, gate, up, down) and the head are quantized; norms and biases stay as they are,
//! and so does the embedding table, of which a step reads only a few rows. Weights that a file already holds quantized
//! stay as they are too: a second rounding would only lose.

use crate::WeightType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The type to quantize weights to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs, reason = "the names are ggml's and say all")]
pub enum Quant {
    /// Weights stay as they come.
    #[default]
    None,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q4K,
    Q5K,
    Q6K,
}

/// A name that is no quantization.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no weight type: expected none, q8_0, q4_0, q4_1, q5_0, q5_1, q4k, q5k or q6k")]
pub struct QuantError(pub String);

impl Quant {
    /// Every choice, `none` first.
    pub const ALL: [Quant; 9] = [
        Quant::None,
        Quant::Q8_0,
        Quant::Q4_0,
        Quant::Q4_1,
        Quant::Q5_0,
        Quant::Q5_1,
        Quant::Q4K,
        Quant::Q5K,
        Quant::Q6K,
    ];

    /// The type of a quantized weight; `None` leaves it as it is.
    fn target(self) -> Option<WeightType> {
        match self {
            Quant::None => None,
            Quant::Q8_0 => Some(WeightType::Q8_0),
            Quant::Q4_0 => Some(WeightType::Q4_0),
            Quant::Q4_1 => Some(WeightType::Q4_1),
            Quant::Q5_0 => Some(WeightType::Q5_0),
            Quant::Q5_1 => Some(WeightType::Q5_1),
            Quant::Q4K => Some(WeightType::Q4K),
            Quant::Q5K => Some(WeightType::Q5K),
            Quant::Q6K => Some(WeightType::Q6K),
        }
    }

    /// The type that a matrix with rows of `row` elements, stored as `stored`, gets. Where the blocks of the wanted
    /// type (256 elements for k-quants, 32 for the others) do not divide the row, the next finer type that fits is
    /// taken: q8_0, else none.
    pub fn resolve(self, stored: WeightType, row: usize) -> WeightType {
        let Some(target) = self.target() else { return stored.held() };
        if stored.is_quantized() {
            return stored.held();
        }
        let fits = |weight: &WeightType| row.is_multiple_of(weight.block_elements());
        [target, WeightType::Q8_0].into_iter().find(fits).unwrap_or(stored)
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            None => f.write_str("none"),
            Some(target) => target.fmt(f),
        }
    }
}

impl FromStr for Quant {
    type Err = QuantError;

    fn from_str(text: &str) -> Result<Self, QuantError> {
        Quant::ALL.into_iter().find(|quant| quant.to_string() == text).ok_or_else(|| QuantError(text.to_owned()))
    }
}

impl TryFrom<String> for Quant {
    type Error = QuantError;

    fn try_from(text: String) -> Result<Self, QuantError> {
        text.parse()
    }
}

impl From<Quant> for String {
    fn from(quant: Quant) -> String {
        quant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for quant in Quant::ALL {
            assert_eq!(quant.to_string().parse(), Ok(quant));
        }
        let error = "q3k".parse::<Quant>().unwrap_err().to_string();
        assert!(error.contains("\"q3k\"") && error.contains("q8_0"), "{error}");
    }

    #[test]
    fn a_row_that_blocks_do_not_divide_takes_the_next_finer_type() {
        assert_eq!(Quant::Q4K.resolve(WeightType::Bf16, 512), WeightType::Q4K);
        assert_eq!(Quant::Q4K.resolve(WeightType::Bf16, 896), WeightType::Q8_0);
        assert_eq!(Quant::Q4_0.resolve(WeightType::F32, 896), WeightType::Q4_0);
        assert_eq!(Quant::Q4K.resolve(WeightType::Bf16, 100), WeightType::Bf16);
        assert_eq!(Quant::None.resolve(WeightType::F16, 64), WeightType::F16);
        assert_eq!(Quant::Q8_0.resolve(WeightType::Q4K, 256), WeightType::Q4K);
    }
}
