//! Blocks of 256 values that are −1, 0 or 1 times a scale: TQ1_0 and TQ2_0.

use super::bytes::f16_at;

/// Powers of three, which move a digit of a byte to the front.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// Five digits to the base of three in a byte, as a fraction of 256; in the last four bytes four.
pub(super) fn tq1_0(block: &[u8], target: &mut [f32]) {
    let scale = f16_at(block, 52);
    let digit = |byte: u8, power: u8| scale * (f32::from((u16::from(byte.wrapping_mul(power)) * 3) >> 8) - 1.0);
    let (first, rest) = target.split_at_mut(160);
    let (second, third) = rest.split_at_mut(80);
    for (bytes, target, width) in [(&block[..32], first, 32), (&block[32..48], second, 16), (&block[48..52], third, 4)]
    {
        for (target, power) in target.chunks_exact_mut(width).zip(POWERS) {
            target.iter_mut().zip(bytes).for_each(|(target, byte)| *target = digit(*byte, power));
        }
    }
}

pub(super) fn tq2_0(block: &[u8], target: &mut [f32]) {
    let scale = f16_at(block, 64);
    for (bytes, target) in block[..64].chunks_exact(32).zip(target.chunks_exact_mut(128)) {
        for (shift, target) in target.chunks_exact_mut(32).enumerate() {
            for (target, byte) in target.iter_mut().zip(bytes) {
                *target = scale * (f32::from(byte >> (2 * shift) & 3) - 1.0);
            }
        }
    }
}
