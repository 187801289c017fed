//! How the elements of a stored tensor are laid out.

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
    Mxfp4,
}

impl WeightType {
    /// Every type.
    pub const ALL: [WeightType; 14] = [
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
        WeightType::Mxfp4,
    ];

    /// Elements of a block.
    pub fn block_elements(self) -> usize {
        match self {
            WeightType::F32 | WeightType::F16 | WeightType::Bf16 => 1,
            WeightType::Q4_0 | WeightType::Q4_1 | WeightType::Q5_0 | WeightType::Q5_1 | WeightType::Q8_0 => 32,
            WeightType::Mxfp4 => 32,
            WeightType::Q2K | WeightType::Q3K | WeightType::Q4K | WeightType::Q5K | WeightType::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::F16 | WeightType::Bf16 => 2,
            WeightType::Q4_0 => 18,
            WeightType::Q4_1 => 20,
            WeightType::Q5_0 => 22,
            WeightType::Q5_1 => 24,
            WeightType::Q8_0 => 34,
            WeightType::Q2K => 84,
            WeightType::Q3K => 110,
            WeightType::Q4K => 144,
            WeightType::Q5K => 176,
            WeightType::Q6K => 210,
            WeightType::Mxfp4 => 17,
        }
    }

    /// Whether elements share scales in blocks.
    pub fn is_quantized(self) -> bool {
        self.block_elements() > 1
    }

    /// The type that weights of this type are held and multiplied in. No back end multiplies MXFP4 blocks: their values
    /// are multiples of half a power of two, which Q8_0 holds exactly in blocks of the same size.
    pub fn held(self) -> WeightType {
        match self {
            WeightType::Mxfp4 => WeightType::Q8_0,
            other => other,
        }
    }

    /// Bytes of a tensor; `None` when the row is no multiple of the block, or when the size does not fit 64 bits.
    pub fn bytes_of(self, shape: &[usize]) -> Option<u64> {
        let elements = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64))?;
        if !shape.last()?.is_multiple_of(self.block_elements()) {
            return None;
        }
        (elements / self.block_elements() as u64).checked_mul(self.block_bytes() as u64)
    }

    /// The type of that number in GGUF files (ggml's `ggml_type`), where weights may have it.
    pub(crate) fn from_ggml(number: u32) -> Option<Self> {
        Some(match number {
            0 => WeightType::F32,
            1 => WeightType::F16,
            2 => WeightType::Q4_0,
            3 => WeightType::Q4_1,
            6 => WeightType::Q5_0,
            7 => WeightType::Q5_1,
            8 => WeightType::Q8_0,
            10 => WeightType::Q2K,
            11 => WeightType::Q3K,
            12 => WeightType::Q4K,
            13 => WeightType::Q5K,
            14 => WeightType::Q6K,
            30 => WeightType::Bf16,
            39 => WeightType::Mxfp4,
            _ => return None,
        })
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
            WeightType::Mxfp4 => "mxfp4",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_json() {
        for weight in WeightType::ALL {
            let json = serde_json::to_string(&weight).unwrap();
            assert_eq!(json, format!("\"{weight}\""));
        }
        assert_eq!(WeightType::Q8_0.bytes_of(&[2, 64]), Some(2 * 2 * 34));
        assert_eq!(WeightType::Q4K.bytes_of(&[3, 256]), Some(3 * 144));
    }

    #[test]
    fn every_type_has_one_number_in_gguf() {
        for weight in WeightType::ALL {
            assert_eq!((0..64).filter(|number| WeightType::from_ggml(*number) == Some(weight)).count(), 1, "{weight}");
        }
    }

    #[test]
    fn impossible_sizes_have_no_bytes() {
        assert_eq!(WeightType::Q8_0.bytes_of(&[2, 33]), None);
        assert_eq!(WeightType::F32.bytes_of(&[]), None);
        assert_eq!(WeightType::F32.bytes_of(&[usize::MAX, usize::MAX]), None);
        assert_eq!(WeightType::F32.bytes_of(&[usize::MAX]), None);
    }
}
