//! Rows of activations in 8 bits.

use rayon::prelude::*;

/// Elements of a block.
pub(super) const BLOCK: usize = 32;
/// Elements that are worth a second thread: some tens of microseconds of work.
const PARALLEL: usize = 1 << 17;
/// What weights of 8 bits are raised by, so that they have no sign.
const RAISED: i32 = 128;
/// The greatest code.
const MOST: f32 = 127.0;
/// Below this greatest value a block is nothing: 127 divided by it would be no number.
const LEAST: f32 = 1e-30;
/// Added to a number and taken from it again, this rounds the number to an integer, ties to even.
const ROUNDING: f32 = 12_582_912.0;

/// 32 elements.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Block {
    /// Codes from -127 to 127, by four.
    pub(super) quads: [[i8; 4]; BLOCK / 4],
    /// What codes are multiplied by.
    pub(super) scale: f32,
    /// The sum of the elements as they are coded.
    pub(super) sum: f32,
    /// The sums of both halves.
    pub(super) sums: [f32; 2],
    /// The sum of the codes times -128: what is too much where weights are raised by 128.
    pub(super) raised: i32,
}

/// Rows in blocks of 32 codes with a scale each, as ggml's Q8_0, whose scale is rounded to 16 bits.
#[derive(Debug)]
pub(crate) struct Quantized {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `// (rows, columns / 32)`
    pub(super) blocks: Vec<Block>,
}

impl Quantized {
    /// Of rows `// (rows, columns)` whose width is a multiple of 32.
    pub(crate) fn new(values: &[f32], columns: usize) -> Self {
        let quantize = |values: &[f32]| block(values.as_chunks::<BLOCK>().0.first().unwrap_or(&[0.0; BLOCK]));
        let blocks = match values.len() < PARALLEL {
            true => values.chunks_exact(BLOCK).map(quantize).collect(),
            false => values.par_chunks_exact(BLOCK).with_min_len(PARALLEL / BLOCK / 4).map(quantize).collect(),
        };
        Quantized { rows: values.len() / columns.max(1), columns, blocks }
    }

    /// The blocks of one row.
    pub(super) fn row(&self, row: usize) -> &[Block] {
        let blocks = self.columns / BLOCK;
        &self.blocks[row * blocks..(row + 1) * blocks]
    }
}

fn block(values: &[f32; BLOCK]) -> Block {
    // Bits of positive numbers are in the numbers' order, and what is no number comes behind all: it stays seen.
    let greatest = values.iter().map(|value| value.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
    let greatest = f32::from_bits(greatest);
    let inverse = if greatest < LEAST { 0.0 } else { MOST / greatest };
    let mut codes = [0i8; BLOCK];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (value * inverse + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits()) as i8;
    }
    let mut quads = [[0; 4]; BLOCK / 4];
    quads.as_flattened_mut().copy_from_slice(&codes);
    let (low, high) = codes.split_at(BLOCK / 2);
    let sums = [low, high].map(|half| half.iter().map(|code| i32::from(*code)).sum::<i32>());
    let scale = greatest / MOST;
    let of = |sum: i32| sum as f32 * scale;
    Block { quads, scale, sum: of(sums[0] + sums[1]), sums: sums.map(of), raised: -RAISED * (sums[0] + sums[1]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_as_near_as_eight_bits_allow() {
        let values: [f32; BLOCK] = std::array::from_fn(|at| ((at * 37 % 64) as f32 - 31.0) * 0.21);
        let block = block(&values);
        for (code, value) in block.quads.as_flattened().iter().zip(values) {
            assert!((f32::from(*code) * block.scale - value).abs() <= 0.501 * block.scale);
        }
        let sum: i32 = block.quads.as_flattened().iter().map(|code| i32::from(*code)).sum();
        assert_eq!(block.raised, -128 * sum);
        assert!((block.sums[0] + block.sums[1] - block.sum).abs() < 1e-5);
    }

    #[test]
    fn nothing_stays_nothing_and_what_is_no_number_is_seen() {
        assert_eq!(block(&[0.0; BLOCK]).scale, 0.0);
        let mut values = [1e-36; BLOCK];
        assert!(block(&values).quads.as_flattened().iter().all(|code| *code == 0));
        values[7] = f32::NAN;
        assert!(block(&values).scale.is_nan());
    }
}
