//! How a matrix lies in memory: the blocks of 16 rows side by side, number by number.
//!
//! A block is a run of units (a scale of two bytes, four bytes of codes). Where a row has its unit at byte `b` of a block,
//! the 16 rows of a group have theirs one behind the other at byte `16 b` of the group's block. So one load brings a
//! unit of each row, and the matrix takes as many bytes as before.

use gogrid_model::WeightType;

/// Rows of a group.
pub(crate) const ROWS: usize = 16;

/// The units of a type's block, `(bytes, count)` in their order; `None` for types that have no kernel.
fn units(of: WeightType) -> Option<&'static [(usize, usize)]> {
    Some(match of {
        WeightType::Q8_0 => &[(2, 1), (4, 8)],
        WeightType::Q4_0 | WeightType::Iq4Nl => &[(2, 1), (4, 4)],
        WeightType::Q4_1 => &[(2, 2), (4, 4)],
        WeightType::Q5_0 => &[(2, 1), (4, 5)],
        WeightType::Q5_1 => &[(2, 2), (4, 5)],
        WeightType::Q2K => &[(4, 20), (2, 2)],
        WeightType::Q3K => &[(4, 27), (2, 1)],
        WeightType::Q4K => &[(2, 2), (4, 35)],
        WeightType::Q5K => &[(2, 2), (4, 43)],
        WeightType::Q6K => &[(4, 52), (2, 1)],
        WeightType::Iq4Xs => &[(2, 2), (4, 33)],
        WeightType::Mxfp4 => &[(1, 1), (4, 4)],
        _ => return None,
    })
}

/// Whether there is a kernel for matrices of this type.
pub(crate) fn is_multiplied(of: WeightType) -> bool {
    units(of).is_some()
}

/// Calls `each` with the bytes of every unit in the rows (row by row) and in the group.
fn each_unit(of: WeightType, row_bytes: usize, mut each: impl FnMut(std::ops::Range<usize>, usize)) {
    let block = of.block_bytes();
    for start in (0..row_bytes).step_by(block) {
        let mut at = start;
        for &(bytes, count) in units(of).unwrap_or_default() {
            for _ in 0..count {
                for row in 0..ROWS {
                    let from = row * row_bytes + at;
                    each(from..from + bytes, ROWS * at + row * bytes);
                }
                at += bytes;
            }
        }
    }
}

/// Puts the rows of a group side by side. `spare` is for a copy of them.
pub(super) fn interleave(of: WeightType, group: &mut [u8], spare: &mut Vec<u8>) {
    spare.clear();
    spare.extend_from_slice(group);
    each_unit(of, group.len() / ROWS, |from, to| {
        let bytes = from.len();
        group[to..to + bytes].copy_from_slice(&spare[from]);
    });
}

/// One row of a group as it was before.
pub(super) fn row(of: WeightType, group: &[u8], row: usize, target: &mut [u8]) {
    let row_bytes = group.len() / ROWS;
    let mut at = 0;
    for _ in (0..row_bytes).step_by(of.block_bytes()) {
        for &(bytes, count) in units(of).unwrap_or_default() {
            for _ in 0..count {
                let from = ROWS * at + row * bytes;
                target[at..at + bytes].copy_from_slice(&group[from..from + bytes]);
                at += bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_their_group() {
        for of in WeightType::ALL.into_iter().filter(|of| is_multiplied(*of)) {
            let units: usize = units(of).unwrap().iter().map(|(bytes, count)| bytes * count).sum();
            assert_eq!(units, of.block_bytes(), "{of}");
            let row_bytes = 2 * of.block_bytes();
            let rows: Vec<u8> = (0..ROWS * row_bytes).map(|at| (at * 89 % 253) as u8).collect();
            let mut group = rows.clone();
            interleave(of, &mut group, &mut Vec::new());
            assert_ne!(group, rows, "{of}");
            for at in 0..ROWS {
                let mut found = vec![0; row_bytes];
                row(of, &group, at, &mut found);
                assert_eq!(found, rows[at * row_bytes..(at + 1) * row_bytes], "{of}");
            }
        }
    }
}
