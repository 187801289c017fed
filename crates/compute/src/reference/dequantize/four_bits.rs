//! Blocks whose values are codes of 4 bits: IQ4, MXFP4 and NVFP4.

use super::bytes::{f16_at, u16_at};

/// IQ4's values.
const IQ4: [f32; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];
/// Twice the values of E2M1 (OCP Microscaling Formats 1.0).
const E2M1: [f32; 16] = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// Writes codes: the low halves of the bytes are the first half of the values.
fn write(target: &mut [f32], codes: &[u8], of: &[f32; 16], scale: f32) {
    let (low, high) = target.split_at_mut(codes.len());
    for ((code, low), high) in codes.iter().zip(low).zip(high) {
        *low = scale * of[usize::from(code & 15)];
        *high = scale * of[usize::from(code >> 4)];
    }
}

pub(super) fn iq4_nl(block: &[u8], target: &mut [f32]) {
    write(target, &block[2..], &IQ4, f16_at(block, 0));
}

pub(super) fn iq4_xs(block: &[u8], target: &mut [f32]) {
    let (scale, high, low, codes) = (f16_at(block, 0), u16_at(block, 2), &block[4..], &block[8..]);
    for (at, target) in target.chunks_exact_mut(32).enumerate() {
        let low = low[at / 2] >> (4 * (at % 2)) & 15;
        let part = i16::from(low) | ((high >> (2 * at) & 3) << 4).cast_signed();
        write(target, &codes[16 * at..16 * (at + 1)], &IQ4, scale * f32::from(part - 32));
    }
}

pub(super) fn mxfp4(block: &[u8], target: &mut [f32]) {
    // Half the power of two that the byte stands for, as the values are doubled.
    let bits = match u32::from(block[0]) {
        exponent @ (0 | 1) => 0x0020_0000 << exponent,
        exponent => (exponent - 1) << 23,
    };
    write(target, &block[1..], &E2M1, f32::from_bits(bits));
}

/// Four parts of 16 values, each with a scale in unsigned E4M3.
pub(super) fn nvfp4(block: &[u8], target: &mut [f32]) {
    let (scales, codes) = block.split_at(4);
    for ((scale, codes), target) in scales.iter().zip(codes.chunks_exact(8)).zip(target.chunks_exact_mut(16)) {
        write(target, codes, &E2M1, half_of_e4m3(*scale));
    }
}

/// Half the value of an E4M3 number without its sign; that of no number is 0.
fn half_of_e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    match (bits, exponent) {
        (0x7f, _) => 0.0,
        (_, 0) => mantissa * 2f32.powi(-9) * 0.5,
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7) * 0.5,
    }
}
