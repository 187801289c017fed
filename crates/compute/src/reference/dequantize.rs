//! Values of quantized blocks that candle has no kernel for, and of a few that it has: as `gguf`'s numpy code computes
//! them (<https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>), bit for bit.

mod bytes;
mod four_bits;
mod grids;
mod lattice;
mod ternary;

use gogrid_model::WeightType;

/// The values of whole blocks, one after the other. `false`: candle has a kernel for this type, and this module has not.
pub(crate) fn values(dtype: WeightType, bytes: &[u8], target: &mut [f32]) -> bool {
    let block: fn(&[u8], &mut [f32]) = match dtype {
        WeightType::Iq1S => lattice::iq1_s,
        WeightType::Iq1M => lattice::iq1_m,
        WeightType::Iq2Xxs => lattice::iq2_xxs,
        WeightType::Iq2Xs => lattice::iq2_xs,
        WeightType::Iq2S => lattice::iq2_s,
        WeightType::Iq3Xxs => lattice::iq3_xxs,
        WeightType::Iq3S => lattice::iq3_s,
        WeightType::Iq4Nl => four_bits::iq4_nl,
        WeightType::Iq4Xs => four_bits::iq4_xs,
        WeightType::Mxfp4 => four_bits::mxfp4,
        WeightType::Nvfp4 => four_bits::nvfp4,
        WeightType::Tq1_0 => ternary::tq1_0,
        WeightType::Tq2_0 => ternary::tq2_0,
        _ => return false,
    };
    let blocks = bytes.chunks_exact(dtype.block_bytes());
    blocks.zip(target.chunks_exact_mut(dtype.block_elements())).for_each(|(bytes, target)| block(bytes, target));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by fixtures/make.py: for each type random blocks, then their values.
    const FIXTURE: &[u8] = include_bytes!("dequantize/fixtures/blocks.bin");
    const COUNT: usize = 4;
    const TYPES: [WeightType; 13] = [
        WeightType::Iq4Nl,
        WeightType::Iq4Xs,
        WeightType::Iq3S,
        WeightType::Iq3Xxs,
        WeightType::Iq2S,
        WeightType::Iq2Xs,
        WeightType::Iq2Xxs,
        WeightType::Iq1S,
        WeightType::Iq1M,
        WeightType::Tq1_0,
        WeightType::Tq2_0,
        WeightType::Nvfp4,
        WeightType::Mxfp4,
    ];

    #[test]
    fn values_are_those_of_gguf_bit_for_bit() {
        let mut rest = FIXTURE;
        for dtype in TYPES {
            let (blocks, behind) = rest.split_at(COUNT * dtype.block_bytes());
            let (expected, behind) = behind.split_at(4 * COUNT * dtype.block_elements());
            rest = behind;
            let mut found = vec![f32::NAN; COUNT * dtype.block_elements()];
            assert!(values(dtype, blocks, &mut found));
            let expected: Vec<f32> = expected.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let differs =
                found.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits() && (*a, *b) != (0.0, 0.0));
            assert_eq!(differs, None, "{dtype}");
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn each_type_has_one_kernel() {
        for dtype in WeightType::ALL {
            let ours = values(dtype, &[], &mut []);
            assert_eq!(ours, TYPES.contains(&dtype), "{dtype}");
            let direct = super::super::convert::ggml(dtype).is_ok();
            assert!(ours != direct, "{dtype}");
        }
    }
}
