//! The grids of IQ1, IQ2 and IQ3: the vectors of 8 or 4 values that codes stand for.

use std::sync::LazyLock;

/// The codes of all grids, made by fixtures/make.py.
const CODES: &[u8] = include_bytes!("grids.bin");
/// The values of codes.
const OF_IQ1: [f32; 3] = [-1.0, 0.0, 1.0];
const OF_IQ2: [f32; 3] = [8.0, 25.0, 43.0];
const OF_IQ3_XXS: [f32; 8] = [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0];
const OF_IQ3_S: [f32; 8] = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0];

/// Vectors of each grid.
const IQ1_COUNT: usize = 2048;
const IQ2_XXS_COUNT: usize = 256;
const IQ2_XS_COUNT: usize = 512;
const IQ2_S_COUNT: usize = 1024;
const IQ3_XXS_COUNT: usize = 256;
const IQ3_S_COUNT: usize = 512;

/// Bytes of a vector of 8 codes of 2 bits, or of 4 of 4 bits.
const BYTES: usize = 2;

const IQ2_XXS_AT: usize = BYTES * IQ1_COUNT;
const IQ2_XS_AT: usize = IQ2_XXS_AT + BYTES * IQ2_XXS_COUNT;
const IQ2_S_AT: usize = IQ2_XS_AT + BYTES * IQ2_XS_COUNT;
const IQ3_XXS_AT: usize = IQ2_S_AT + BYTES * IQ2_S_COUNT;
const IQ3_S_AT: usize = IQ3_XXS_AT + BYTES * IQ3_XXS_COUNT;

/// Also those of IQ1_M.
pub(super) static IQ1: LazyLock<Vec<[f32; 8]>> = LazyLock::new(|| eights(0, IQ1_COUNT, &OF_IQ1));
pub(super) static IQ2_XXS: LazyLock<Vec<[f32; 8]>> = LazyLock::new(|| eights(IQ2_XXS_AT, IQ2_XXS_COUNT, &OF_IQ2));
pub(super) static IQ2_XS: LazyLock<Vec<[f32; 8]>> = LazyLock::new(|| eights(IQ2_XS_AT, IQ2_XS_COUNT, &OF_IQ2));
pub(super) static IQ2_S: LazyLock<Vec<[f32; 8]>> = LazyLock::new(|| eights(IQ2_S_AT, IQ2_S_COUNT, &OF_IQ2));
pub(super) static IQ3_XXS: LazyLock<Vec<[f32; 4]>> = LazyLock::new(|| fours(IQ3_XXS_AT, IQ3_XXS_COUNT, &OF_IQ3_XXS));
pub(super) static IQ3_S: LazyLock<Vec<[f32; 4]>> = LazyLock::new(|| fours(IQ3_S_AT, IQ3_S_COUNT, &OF_IQ3_S));

fn eights(start: usize, count: usize, of: &[f32; 3]) -> Vec<[f32; 8]> {
    let vector = |codes: &[u8; BYTES]| {
        let word = u16::from_le_bytes(*codes);
        std::array::from_fn(|at| of[usize::from(word >> (2 * at) & 3)])
    };
    CODES[start..start + BYTES * count].as_chunks().0.iter().map(vector).collect()
}

fn fours(start: usize, count: usize, of: &[f32; 8]) -> Vec<[f32; 4]> {
    let vector = |codes: &[u8; BYTES]| {
        let word = u16::from_le_bytes(*codes);
        std::array::from_fn(|at| of[usize::from(word >> (4 * at) & 7)])
    };
    CODES[start..start + BYTES * count].as_chunks().0.iter().map(vector).collect()
}
