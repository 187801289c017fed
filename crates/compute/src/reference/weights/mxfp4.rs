//! MXFP4 blocks (OCP Microscaling Formats 1.0) as Q8_0 blocks of the same 32 values.
//!
//! A block is a scale of 8 bits (a power of two) and 32 numbers of 4 bits (sign, two of exponent, one of mantissa): all of
//! them are whole halves up to 6, so twice the number is an integer, and half the scale is Q8_0's scale.

/// Twice the value of each code without its sign.
const DOUBLED: [i8; 8] = [0, 1, 2, 3, 4, 6, 8, 12];
/// Bytes of an MXFP4 block: the scale, then 16 pairs of codes. ggml puts the first half of the values in the low bits.
const BLOCK: usize = 17;
/// Bytes of a Q8_0 block: a scale of 16 bits, then 32 integers.
const Q8_0_BLOCK: usize = 34;
/// The scale's bits that stand for 1.
const SCALE_BIAS: i32 = 127;
/// The least power of two that is an f16, and the greatest.
const F16_POWERS: std::ops::RangeInclusive<i32> = -24..=15;

/// Writes the blocks of `bytes` as Q8_0; `None` if a scale is no power of two that Q8_0 can hold.
pub(super) fn to_q8_0(bytes: &[u8], target: &mut [u8]) -> Option<()> {
    for (block, target) in bytes.chunks_exact(BLOCK).zip(target.chunks_exact_mut(Q8_0_BLOCK)) {
        let (codes, values) = (&block[1..], &mut target[2..]);
        let value = |code: u8| if code & 8 == 0 { DOUBLED[code as usize] } else { -DOUBLED[(code & 7) as usize] };
        for (index, pair) in codes.iter().enumerate() {
            values[index] = value(pair & 15).cast_unsigned();
            values[index + codes.len()] = value(pair >> 4).cast_unsigned();
        }
        let is_zero = values.iter().all(|value| *value == 0);
        let power = i32::from(block[0]) - SCALE_BIAS - 1;
        let scale = match power {
            _ if is_zero => 0,
            power if power < *F16_POWERS.start() => {
                // Less than f16 holds: 12 times the greatest such scale is 4e-7, and no weight of that size counts.
                values.fill(0);
                0
            }
            power if !F16_POWERS.contains(&power) => return None,
            power => half::f16::from_f32((power as f32).exp2()).to_bits(),
        };
        target[..2].copy_from_slice(&scale.to_le_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    use std::borrow::Cow;

    /// Random blocks, then their values as `gguf` 0.19 dequantizes them (`gguf.quants.dequantize`, MXFP4), f32. Scales are
    /// from 2^-23 to 2^15.
    const BLOCKS: &[u8] = include_bytes!("fixtures/mxfp4.bin");
    const COUNT: usize = 48;

    #[test]
    fn values_are_those_of_gguf_bit_for_bit() {
        let (blocks, expected) = BLOCKS.split_at(COUNT * BLOCK);
        let mut q8_0 = vec![0u8; COUNT * Q8_0_BLOCK];
        to_q8_0(blocks, &mut q8_0).expect("the scales fit");
        let storage = QStorage::from_data(Cow::Owned(q8_0), &Device::Cpu, GgmlDType::Q8_0).expect("read");
        let tensor = QTensor::new(storage, (COUNT, 32)).expect("of the size");
        let found = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
        let expected: Vec<f32> = expected.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(found.expect("dequantized"), expected);
    }

    #[test]
    fn a_scale_that_is_too_large_is_refused_and_one_that_is_tiny_is_nothing() {
        let mut block = [0x11; BLOCK];
        let mut target = [0xff; Q8_0_BLOCK];
        block[0] = 255;
        assert_eq!(to_q8_0(&block, &mut target), None);
        block[0] = 0;
        assert_eq!(to_q8_0(&block, &mut target), Some(()));
        assert_eq!(target, [0; Q8_0_BLOCK]);
    }
}
