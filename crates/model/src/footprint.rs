//! Rearranged copies of quantized matrices that a CPU computes with.

use crate::WeightType;

/// Rows of one tile of a rearranged matrix; only matrices of whole tiles are rearranged.
const TILE_ROWS: usize = 16;
/// Columns that a rearranged matrix has a multiple of.
const TILE_COLUMNS: usize = 256;

/// Bytes of the rearranged copy of a matrix that a CPU computes with; `None` where there is none. The coordinator does
/// not know its workers' instructions: it counts the copy for every CPU.
pub fn copy_bytes(held: WeightType, shape: &[usize]) -> Option<u64> {
    let tile = match held {
        WeightType::Q8_0 => TILE_ROWS * 272, // as in the original: 32 numbers in 34 bytes
        WeightType::Q4K => 2 * 8 * TILE_ROWS * 4 + TILE_ROWS * 128, // f32 scales and minima of 8 parts, packed nibbles
        WeightType::Q6K => 16 * TILE_ROWS * 4 + TILE_ROWS * 256, // f32 scales of 16 parts, whole bytes
        _ => return None,
    };
    let &[rows, columns] = shape else { return None };
    let whole = rows.is_multiple_of(TILE_ROWS) && columns.is_multiple_of(TILE_COLUMNS);
    whole.then(|| (rows / TILE_ROWS * (columns / TILE_COLUMNS) * tile) as u64)
}

/// Whether all products are computed with copies, so that the original can go. Of q6k a single row is not.
pub fn copies_suffice(held: WeightType) -> bool {
    matches!(held, WeightType::Q8_0 | WeightType::Q4K)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_as_large_as_their_tiles() {
        assert_eq!(copy_bytes(WeightType::Q8_0, &[32, 512]), WeightType::Q8_0.bytes_of(&[32, 512]));
        assert_eq!(copy_bytes(WeightType::Q4K, &[16, 256]), Some(3072));
        assert_eq!(copy_bytes(WeightType::Q6K, &[32, 256]), Some(2 * 5120));
        assert_eq!(copy_bytes(WeightType::Q8_0, &[40, 512]), None);
        assert_eq!(copy_bytes(WeightType::Q8_0, &[32, 96]), None);
        assert_eq!(copy_bytes(WeightType::Q4_0, &[32, 512]), None);
    }
}
