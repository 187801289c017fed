//! How the elements of a stored tensor are laid out.

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The element type of a stored tensor. Quantized types hold blocks of elements along a row, as in ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are ggml's and say all")]
pub enum WeightType {
    F32,
    F16,
    Bf16,
    #[serde(rename = "q4_0")]
    Q4_0,
    #[serde(rename = "q4_1")]
    Q4_1,
    #[serde(rename = "q5_0")]
    Q5_0,
    #[serde(rename = "q5_1")]
    Q5_1,
    #[serde(rename = "q8_0")]
    Q8_0,
    #[serde(rename = "q2k")]
    Q2K,
    #[serde(rename = "q3k")]
    Q3K,
    #[serde(rename = "q4k")]
    Q4K,
    #[serde(rename = "q5k")]
    Q5K,
    #[serde(rename = "q6k")]
    Q6K,
}

impl WeightType {
    /// Every type.
    pub const ALL: [WeightType; 13] = [
        WeightType::F32,
        WeightType::F16,
        WeightType::Bf16,
        WeightType::Q4_0,
        WeightType::Q4_1,
        WeightType::Q5_0,
        WeightType::Q5_1,
        WeightType::Q8_0,
        WeightType::Q2K,
        WeightType::Q3K,
        WeightType::Q4K,
        WeightType::Q5K,
        WeightType::Q6K,
    ];

    /// Elements of a block.
    pub fn block_elements(self) -> usize {
        self.ggml().block_size()
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.ggml().type_size()
    }

    /// Whether elements share scales in blocks.
    pub fn is_quantized(self) -> bool {
        self.block_elements() > 1
    }

    /// Bytes of a tensor; `None` when the row is no multiple of the block, or when the size does not fit 64 bits.
    pub fn bytes_of(self, shape: &[usize]) -> Option<u64> {
        let elements = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64))?;
        if !shape.last()?.is_multiple_of(self.block_elements()) {
            return None;
        }
        (elements / self.block_elements() as u64).checked_mul(self.block_bytes() as u64)
    }

    /// candle's name for the type.
    pub(crate) fn ggml(self) -> GgmlDType {
        match self {
            WeightType::F32 => GgmlDType::F32,
            WeightType::F16 => GgmlDType::F16,
            WeightType::Bf16 => GgmlDType::BF16,
            WeightType::Q4_0 => GgmlDType::Q4_0,
            WeightType::Q4_1 => GgmlDType::Q4_1,
            WeightType::Q5_0 => GgmlDType::Q5_0,
            WeightType::Q5_1 => GgmlDType::Q5_1,
            WeightType::Q8_0 => GgmlDType::Q8_0,
            WeightType::Q2K => GgmlDType::Q2K,
            WeightType::Q3K => GgmlDType::Q3K,
            WeightType::Q4K => GgmlDType::Q4K,
            WeightType::Q5K => GgmlDType::Q5K,
            WeightType::Q6K => GgmlDType::Q6K,
        }
    }

    /// The type of that name of candle's, where weights may have it.
    pub(crate) fn from_ggml(dtype: GgmlDType) -> Option<Self> {
        WeightType::ALL.into_iter().find(|weight| weight.ggml() == dtype)
    }

    /// candle's type for plain elements; `None` for quantized types.
    pub(crate) fn dense(self) -> Option<DType> {
        match self {
            WeightType::F32 => Some(DType::F32),
            WeightType::F16 => Some(DType::F16),
            WeightType::Bf16 => Some(DType::BF16),
            _ => None,
        }
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightType::F32 => "f32",
            WeightType::F16 => "f16",
            WeightType::Bf16 => "bf16",
            WeightType::Q4_0 => "q4_0",
            WeightType::Q4_1 => "q4_1",
            WeightType::Q5_0 => "q5_0",
            WeightType::Q5_1 => "q5_1",
            WeightType::Q8_0 => "q8_0",
            WeightType::Q2K => "q2k",
            WeightType::Q3K => "q3k",
            WeightType::Q4K => "q4k",
            WeightType::Q5K => "q5k",
            WeightType::Q6K => "q6k",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_agree_with_json_and_ggml() {
        for weight in WeightType::ALL {
            let json = serde_json::to_string(&weight).unwrap();
            assert_eq!(json, format!("\"{weight}\""));
            assert_eq!(WeightType::from_ggml(weight.ggml()), Some(weight));
        }
        assert_eq!(WeightType::Q8_0.bytes_of(&[2, 64]), Some(2 * 2 * 34));
        assert_eq!(WeightType::Q4K.bytes_of(&[3, 256]), Some(3 * 144));
    }

    #[test]
    fn impossible_sizes_have_no_bytes() {
        assert_eq!(WeightType::Q8_0.bytes_of(&[2, 33]), None);
        assert_eq!(WeightType::F32.bytes_of(&[]), None);
        assert_eq!(WeightType::F32.bytes_of(&[usize::MAX, usize::MAX]), None);
        assert_eq!(WeightType::F32.bytes_of(&[usize::MAX]), None);
    }
}
