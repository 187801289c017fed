//! Blocks of 256 values that are vectors of a grid with signs: IQ1, IQ2 and IQ3.

use super::bytes::{f16_at, u16_at, u32_at};
use super::grids::{IQ1, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};

/// What IQ1's vectors are moved by.
const DELTA: f32 = 0.125;

/// Signs by index of 7 bits: the eighth makes their number even.
fn even_signs(index: u32) -> u8 {
    let index = (index & 0x7f) as u8;
    index | (index.count_ones() as u8 & 1) << 7
}

/// Writes a vector times a scale, negative where a bit of `signs` is set.
fn write(target: &mut [f32], vector: &[f32], scale: f32, signs: u8) {
    for (at, (target, value)) in target.iter_mut().zip(vector).enumerate() {
        let scaled = scale * value;
        *target = if signs >> at & 1 == 0 { scaled } else { -scaled };
    }
}

pub(super) fn iq2_xxs(block: &[u8], target: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (part, target) in target.chunks_exact_mut(32).enumerate() {
        let codes = &block[2 + 8 * part..];
        let rest = u32_at(codes, 4);
        let scale = scale * (0.5 + (rest >> 28) as f32) * 0.25;
        for (at, target) in target.chunks_exact_mut(8).enumerate() {
            write(target, &IQ2_XXS[usize::from(codes[at])], scale, even_signs(rest >> (7 * at)));
        }
    }
}

pub(super) fn iq2_xs(block: &[u8], target: &mut [f32]) {
    let (scale, scales) = (f16_at(block, 0), &block[66..]);
    for (at, target) in target.chunks_exact_mut(8).enumerate() {
        let code = u16_at(block, 2 + 2 * at);
        let scale = scale * (0.5 + nibble(scales, at / 2)) * 0.25;
        write(target, &IQ2_XS[usize::from(code & 511)], scale, even_signs(u32::from(code >> 9)));
    }
}

pub(super) fn iq2_s(block: &[u8], target: &mut [f32]) {
    let (scale, codes, signs, high, scales) = (f16_at(block, 0), &block[2..], &block[34..], &block[66..], &block[74..]);
    for (at, target) in target.chunks_exact_mut(8).enumerate() {
        let code = usize::from(codes[at]) | usize::from(high[at / 4] >> (2 * (at % 4)) & 3) << 8;
        let scale = scale * (0.5 + nibble(scales, at / 2)) * 0.25;
        write(target, &IQ2_S[code], scale, signs[at]);
    }
}

pub(super) fn iq3_xxs(block: &[u8], target: &mut [f32]) {
    let (scale, codes, rest) = (f16_at(block, 0), &block[2..], &block[66..]);
    for (part, target) in target.chunks_exact_mut(32).enumerate() {
        let rest = u32_at(rest, 4 * part);
        let scale = scale * (0.5 + (rest >> 28) as f32) * 0.5;
        for (at, target) in target.chunks_exact_mut(4).enumerate() {
            let signs = even_signs(rest >> (7 * (at / 2))) >> (4 * (at % 2));
            write(target, &IQ3_XXS[usize::from(codes[8 * part + at])], scale, signs);
        }
    }
}

pub(super) fn iq3_s(block: &[u8], target: &mut [f32]) {
    let (scale, codes, high, signs, scales) =
        (f16_at(block, 0), &block[2..], &block[66..], &block[74..], &block[106..]);
    for (at, target) in target.chunks_exact_mut(4).enumerate() {
        let code = usize::from(codes[at]) | usize::from(high[at / 8] >> (at % 8) & 1) << 8;
        let scale = scale * (1.0 + 2.0 * nibble(scales, at / 8));
        write(target, &IQ3_S[code], scale, signs[at / 2] >> (4 * (at % 2)));
    }
}

pub(super) fn iq1_s(block: &[u8], target: &mut [f32]) {
    let (scale, codes) = (f16_at(block, 0), &block[2..]);
    for (part, target) in target.chunks_exact_mut(32).enumerate() {
        let high = u16_at(block, 34 + 2 * part);
        let scale = scale * f32::from(2 * (high >> 12 & 7) + 1);
        let delta = if high & 0x8000 == 0 { DELTA } else { -DELTA };
        for (at, target) in target.chunks_exact_mut(8).enumerate() {
            let code = usize::from(codes[4 * part + at]) | usize::from(high >> (3 * at) & 7) << 8;
            target.iter_mut().zip(&IQ1[code]).for_each(|(target, value)| *target = scale * (value + delta));
        }
    }
}

/// Its scale's bits are in four parts, behind those of 16 values each.
pub(super) fn iq1_m(block: &[u8], target: &mut [f32]) {
    let (codes, high) = (block, &block[32..]);
    let words: [u16; 4] = std::array::from_fn(|at| u16_at(block, 48 + 2 * at));
    let bits = words.iter().enumerate().fold(0, |bits, (at, word)| bits | (word >> 12) << (4 * at));
    let scale = half::f16::from_bits(bits).to_f32();
    for (at, target) in target.chunks_exact_mut(8).enumerate() {
        let high = high[at / 2] >> (4 * (at % 2));
        let code = usize::from(codes[at]) | usize::from(high & 7) << 8;
        let scale = scale * f32::from(2 * (words[at / 8] >> (3 * (at / 2 % 4)) & 7) + 1);
        let delta = if high & 8 == 0 { DELTA } else { -DELTA };
        target.iter_mut().zip(&IQ1[code]).for_each(|(target, value)| *target = scale * (value + delta));
    }
}

/// The number of 4 bits at this place, the low half of a byte first.
fn nibble(bytes: &[u8], at: usize) -> f32 {
    f32::from(bytes[at / 2] >> (4 * (at % 2)) & 15)
}
