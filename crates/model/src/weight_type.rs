//! How the elements of a stored tensor are laid out.

use crate::DeviceKind;
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
    Nvfp4,
    Iq1S,
    Iq1M,
    Iq2Xxs,
    Iq2Xs,
    Iq2S,
    Iq3Xxs,
    Iq3S,
    Iq4Nl,
    Iq4Xs,
    Tq1_0,
    Tq2_0,
}

/// What is known of a type.
struct Layout {
    name: &'static str,
    /// The type's number in GGUF files (ggml's `ggml_type`).
    ggml: u32,
    block_elements: usize,
    block_bytes: usize,
}

impl WeightType {
    /// Every type.
    pub const ALL: [WeightType; 26] = [
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
        WeightType::Nvfp4,
        WeightType::Iq1S,
        WeightType::Iq1M,
        WeightType::Iq2Xxs,
        WeightType::Iq2Xs,
        WeightType::Iq2S,
        WeightType::Iq3Xxs,
        WeightType::Iq3S,
        WeightType::Iq4Nl,
        WeightType::Iq4Xs,
        WeightType::Tq1_0,
        WeightType::Tq2_0,
    ];

    fn layout(self) -> Layout {
        let layout = |name, ggml, block_elements, block_bytes| Layout { name, ggml, block_elements, block_bytes };
        match self {
            WeightType::F32 => layout("f32", 0, 1, 4),
            WeightType::F16 => layout("f16", 1, 1, 2),
            WeightType::Bf16 => layout("bf16", 30, 1, 2),
            WeightType::Q4_0 => layout("q4_0", 2, 32, 18),
            WeightType::Q4_1 => layout("q4_1", 3, 32, 20),
            WeightType::Q5_0 => layout("q5_0", 6, 32, 22),
            WeightType::Q5_1 => layout("q5_1", 7, 32, 24),
            WeightType::Q8_0 => layout("q8_0", 8, 32, 34),
            WeightType::Q2K => layout("q2k", 10, 256, 84),
            WeightType::Q3K => layout("q3k", 11, 256, 110),
            WeightType::Q4K => layout("q4k", 12, 256, 144),
            WeightType::Q5K => layout("q5k", 13, 256, 176),
            WeightType::Q6K => layout("q6k", 14, 256, 210),
            WeightType::Mxfp4 => layout("mxfp4", 39, 32, 17),
            WeightType::Nvfp4 => layout("nvfp4", 40, 64, 36),
            WeightType::Iq1S => layout("iq1_s", 19, 256, 50),
            WeightType::Iq1M => layout("iq1_m", 29, 256, 56),
            WeightType::Iq2Xxs => layout("iq2_xxs", 16, 256, 66),
            WeightType::Iq2Xs => layout("iq2_xs", 17, 256, 74),
            WeightType::Iq2S => layout("iq2_s", 22, 256, 82),
            WeightType::Iq3Xxs => layout("iq3_xxs", 18, 256, 98),
            WeightType::Iq3S => layout("iq3_s", 21, 256, 110),
            WeightType::Iq4Nl => layout("iq4_nl", 20, 32, 18),
            WeightType::Iq4Xs => layout("iq4_xs", 23, 256, 136),
            WeightType::Tq1_0 => layout("tq1_0", 34, 256, 54),
            WeightType::Tq2_0 => layout("tq2_0", 35, 256, 66),
        }
    }

    /// Elements of a block.
    pub fn block_elements(self) -> usize {
        self.layout().block_elements
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.layout().block_bytes
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

    /// Whether the reference back end's library has no products with this type. On a CPU its blocks are dequantized some
    /// rows at a time; on a GPU it is held as Q8_0.
    pub fn is_dequantized(self) -> bool {
        use WeightType::{Iq1M, Iq1S, Iq2S, Iq2Xs, Iq2Xxs, Iq3S, Iq3Xxs, Iq4Nl, Iq4Xs, Nvfp4, Tq1_0, Tq2_0};
        match self {
            Iq1S | Iq1M | Iq2Xxs | Iq2Xs | Iq2S | Iq3Xxs | Iq3S | Iq4Nl | Iq4Xs | Nvfp4 | Tq1_0 | Tq2_0 => true,
            other => other == WeightType::Mxfp4,
        }
    }

    /// The type in which a device of that kind holds weights of a type that they are [held](Self::held) in.
    pub fn on(self, device: DeviceKind) -> WeightType {
        match device {
            DeviceKind::Cpu => self,
            _ if self.is_dequantized() => WeightType::Q8_0,
            _ => self,
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

    /// The type of that number in GGUF files, where weights may have it.
    pub(crate) fn from_ggml(number: u32) -> Option<Self> {
        WeightType::ALL.into_iter().find(|weight| weight.layout().ggml == number)
    }
}

/// The name of a type of that number in GGUF files that weights cannot have here.
pub(crate) fn ggml_name(number: u32) -> String {
    let name = match number {
        9 => "q8_1",
        15 => "q8_k",
        24 => "i8",
        25 => "i16",
        26 => "i32",
        27 => "i64",
        28 => "f64",
        41 => "q1_0",
        42 => "q2_0",
        _ => return format!("number {number} of ggml's"),
    };
    name.to_owned()
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.layout().name)
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
