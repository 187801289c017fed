//! How rows of weights lie in the GPU's memory: as `kernels/weights.cuh` reads them, in pieces of 16 bytes.
//!
//! Blocks of 34, 18 and 210 bytes would make every read of 16 bytes an unaligned one. So a row of such a type lies in
//! planes: first the numbers of all its blocks, then their scales. It takes as many bytes as before, and up to 15 at its
//! end.

use gogrid_model::WeightType;

/// Rows begin at multiples of this many bytes.
const ALIGNED: usize = 16;

/// Bytes from one row to the next; `None` for a type that has no kernels.
pub(crate) fn stride(of: WeightType, columns: usize) -> Option<usize> {
    use WeightType::{Bf16, F16, F32, Q4_0, Q4K, Q5K, Q6K, Q8_0};
    match of {
        F32 | F16 | Bf16 | Q8_0 | Q4_0 | Q4K | Q5K | Q6K => {}
        _ => return None,
    }
    Some((of.bytes_of(&[columns])? as usize).next_multiple_of(ALIGNED))
}

/// Puts a row of blocks into `to`, which has [`stride`] bytes.
pub(crate) fn lay_out(of: WeightType, row: &[u8], to: &mut [u8]) {
    match of {
        WeightType::Q8_0 => scales_last(row, 34, to),
        WeightType::Q4_0 => scales_last(row, 18, to),
        WeightType::Q6K => q6k(row, to),
        _ => to[..row.len()].copy_from_slice(row),
    }
}

/// Blocks of a scale in two bytes and numbers: all numbers, then all scales.
fn scales_last(row: &[u8], block: usize, to: &mut [u8]) {
    let blocks = row.len() / block;
    let (numbers, scales) = to.split_at_mut(blocks * (block - 2));
    for (at, bytes) in row.chunks_exact(block).enumerate() {
        scales[2 * at..2 * at + 2].copy_from_slice(&bytes[..2]);
        numbers[at * (block - 2)..(at + 1) * (block - 2)].copy_from_slice(&bytes[2..]);
    }
}

/// Elements of a block of q6k.
const Q6K: usize = 256;

/// Low bits in 16 bytes for each 32 elements (the first 16 of them in the low halves), high bits in 8 bytes (of element
/// 4f + i of either half in bits 2f of byte i), scales of 16 elements, scales of blocks.
fn q6k(row: &[u8], to: &mut [u8]) {
    let blocks = row.len() / 210;
    let (low, rest) = to.split_at_mut(blocks * Q6K / 2);
    let (high, rest) = rest.split_at_mut(blocks * Q6K / 4);
    let (scales, of_blocks) = rest.split_at_mut(blocks * Q6K / 16);
    low.fill(0);
    high.fill(0);
    for (at, block) in row.chunks_exact(210).enumerate() {
        for element in 0..Q6K {
            let value = q6k_element(block, element);
            let (chunk, within) = (at * (Q6K / 32) + element / 32, element % 32);
            let (half, place) = (within / 16, within % 16);
            low[chunk * 16 + place] |= (value & 15) << (4 * half);
            high[chunk * 8 + half * 4 + place % 4] |= (value >> 4) << (2 * (place / 4));
        }
        scales[at * 16..(at + 1) * 16].copy_from_slice(&block[192..208]);
        of_blocks[at * 2..at * 2 + 2].copy_from_slice(&block[208..210]);
    }
}

/// An element as stored, 0 to 63: ggml holds 128 elements in 64 bytes of low bits and 32 of high bits.
fn q6k_element(block: &[u8], element: usize) -> u8 {
    let (half, within) = (element / 128, element % 128);
    let (quarter, place) = (within / 32, within % 32);
    let low = block[half * 64 + (quarter % 2) * 32 + place] >> (4 * (quarter / 2)) & 15;
    let high = block[128 + half * 32 + place] >> (2 * quarter) & 3;
    low | high << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_and_hardly_longer() {
        for of in WeightType::ALL {
            let Some(stride) = stride(of, 512) else { continue };
            let bytes = of.bytes_of(&[512]).unwrap() as usize;
            assert!(stride.is_multiple_of(16) && (bytes..bytes + 16).contains(&stride), "{of}");
        }
        assert_eq!(stride(WeightType::Q5_0, 512), None);
        assert_eq!(stride(WeightType::Q4K, 100), None);
    }

    #[test]
    fn numbers_come_before_scales() {
        let row: Vec<u8> = (0..68).collect();
        let mut to = vec![0; stride(WeightType::Q8_0, 64).unwrap()];
        lay_out(WeightType::Q8_0, &row, &mut to);
        assert_eq!(to[..32], row[2..34]);
        assert_eq!(to[32..64], row[36..68]);
        assert_eq!(to[64..68], [0, 1, 34, 35]);
    }

    #[test]
    fn six_bits_stay_what_they_are() {
        let row: Vec<u8> = (0..420u32).map(|at| (at * 37 % 251) as u8).collect();
        let mut to = vec![0; stride(WeightType::Q6K, 512).unwrap()];
        lay_out(WeightType::Q6K, &row, &mut to);
        for element in 0..512 {
            let (chunk, within) = (element / 32, element % 32);
            let (half, place) = (within / 16, within % 16);
            let low = to[chunk * 16 + place] >> (4 * half) & 15;
            let high = to[256 + chunk * 8 + half * 4 + place % 4] >> (2 * (place / 4)) & 3;
            assert_eq!(low | high << 4, q6k_element(&row[element / 256 * 210..][..210], element % 256), "{element}");
        }
        assert_eq!(to[384..400], row[192..208]);
        assert_eq!(to[416..420], [row[208], row[209], row[418], row[419]]);
    }
}
