//! Rows that lie in a file in another order than the computation's.

/// Heads that are stored for the rotation of neighbouring elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotated {
    pub(crate) heads: usize,
    /// Elements of a head that come before those that are rotated.
    pub(crate) before: usize,
    /// Elements of a head that are rotated.
    pub(crate) elements: usize,
}

impl Rotated {
    /// The rotated rows of each head from the order (2i, 2i+1) to (i, i + elements/2). `bytes` are the rows of all heads,
    /// of any type.
    pub(super) fn in_order(self, bytes: &[u8], rows: usize) -> Vec<u8> {
        let head_dim = rows / self.heads;
        let row = bytes.len() / rows;
        let mut out = Vec::with_capacity(bytes.len());
        for head in bytes.chunks_exact(row * head_dim) {
            let mut take = |at: usize| out.extend_from_slice(&head[at * row..(at + 1) * row]);
            (0..self.before).for_each(&mut take);
            for half in 0..2 {
                (0..self.elements / 2).for_each(|pair| take(self.before + 2 * pair + half));
            }
            (self.before + self.elements..head_dim).for_each(&mut take);
        }
        out
    }
}

/// Rows that lie group by group, by kind: all groups' rows of the first kind, then those of the next. `bytes` are groups
/// × sum of kinds rows of any type.
pub(super) fn by_kind(bytes: &[u8], groups: usize, kinds: &[usize]) -> Vec<u8> {
    let of_group: usize = kinds.iter().sum();
    let row = bytes.len() / (groups * of_group);
    let mut out = Vec::with_capacity(bytes.len());
    let mut start = 0;
    for kind in kinds {
        for group in bytes.chunks_exact(row * of_group) {
            out.extend_from_slice(&group[start * row..(start + kind) * row]);
        }
        start += kind;
    }
    out
}

/// A matrix that is stored column by column, row by row. `bytes` `// (columns, rows)` of elements of `element` bytes.
pub(super) fn transposed(bytes: &[u8], element: usize, rows: usize) -> Vec<u8> {
    let columns = bytes.len() / element / rows;
    let mut out = Vec::with_capacity(bytes.len());
    for row in 0..rows {
        for column in 0..columns {
            let start = (column * rows + row) * element;
            out.extend_from_slice(&bytes[start..start + element]);
        }
    }
    out
}

/// Rows of two matrices in turn, as the rows of the first and then those of the second.
pub(super) fn in_turn<T: Clone>(values: &[T], row: usize) -> Vec<T> {
    let rows = || values.chunks_exact(row);
    rows().step_by(2).chain(rows().skip(1).step_by(2)).flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_halves_and_what_is_not_rotated_stays() {
        let of = |before, elements| Rotated { heads: 2, before, elements };
        let bytes: Vec<u8> = (0..12).collect();
        assert_eq!(of(0, 6).in_order(&bytes, 12), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
        assert_eq!(of(0, 4).in_order(&bytes, 12), [0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11]);
        assert_eq!(of(2, 4).in_order(&bytes, 12), [0, 1, 2, 4, 3, 5, 6, 7, 8, 10, 9, 11]);
        let wide: Vec<u8> = (0..16).collect();
        assert_eq!(Rotated { heads: 1, before: 0, elements: 4 }.in_order(&wide, 4)[4..8], [8, 9, 10, 11]);
    }

    #[test]
    fn rows_are_put_in_order_by_kind() {
        // Two groups of rows of two bytes: one a, two b and one c each.
        let bytes = b"a0b0b1c0a1b2b3c1";
        assert_eq!(by_kind(bytes, 2, &[1, 2, 1]), b"a0a1b0b1b2b3c0c1");
        assert_eq!(by_kind(bytes, 4, &[1, 1]), b"a0b1a1b3b0c0b2c1");
    }

    #[test]
    fn columns_become_rows() {
        let bytes = [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121];
        let expected = [0, 1, 100, 101, 10, 11, 110, 111, 20, 21, 120, 121];
        assert_eq!(transposed(&bytes, 2, 3), expected);
        assert_eq!(in_turn(&[0, 1, 10, 11, 2, 3, 12, 13], 2), [0, 1, 2, 3, 10, 11, 12, 13]);
    }
}
