//! Work whose slices launch the same kernels.

use gogrid_wire::Epoch;

/// Up to this many rows, quantized matrices are multiplied by other kernels than above.
pub(super) const FEW_ROWS: usize = 8;
/// With this many rows of a session, its own kernels weigh little beside those for the rows.
const ROWS_OF_SESSION: usize = 256;

/// Stage, rows and sessions determine the kernels that a slice launches. Each small number of rows is a kind of its own,
/// as it has kernels of its own; larger numbers are one kind if they are less than an eighth apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    stage: Epoch,
    rows: usize,
    sessions: usize,
}

impl Kind {
    pub(crate) fn new(stage: Epoch, rows: usize, sessions: usize) -> Self {
        Self { stage, rows: about(rows), sessions: about(sessions.max(rows.div_ceil(ROWS_OF_SESSION))) }
    }

    /// The least part of the device time of the other's unit that a unit of this takes: all of it with as many rows and
    /// sessions or more; else the proportion at least, as weights are read and kernels launched for fewer rows, too. 0
    /// across different kernels, of which nothing is known.
    pub(super) fn at_least(self, other: Self) -> f64 {
        let part = |own: usize, other: usize| (own as f64 / other as f64).min(1.0);
        match self.stage == other.stage && (self.rows <= FEW_ROWS) == (other.rows <= FEW_ROWS) {
            true => part(self.rows, other.rows).min(part(self.sessions, other.sessions)),
            false => 0.0,
        }
    }

    /// Whether a unit of this takes at least as long as one of the other.
    pub(super) fn covers(self, other: Self) -> bool {
        self.at_least(other) >= 1.0
    }
}

/// Rounded down to four binary digits.
fn about(count: usize) -> usize {
    const DIGITS: u32 = 4;
    let rest = (usize::BITS - count.leading_zeros()).saturating_sub(DIGITS);
    (count >> rest) << rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(rows: usize, sessions: usize) -> Kind {
        Kind::new(Epoch(1), rows, sessions)
    }

    #[test]
    fn few_rows_are_kinds_of_their_own_and_many_are_an_eighth_apart() {
        for rows in 1..16 {
            assert_ne!(kind(rows, 1), kind(rows + 1, 1));
        }
        assert_eq!(kind(511, 1), kind(480, 1));
        assert_ne!(kind(512, 1), kind(511, 1));
        assert_ne!(kind(4, 4), kind(4, 1));
        assert_ne!(Kind::new(Epoch(2), 4, 1), kind(4, 1));
        assert_eq!(kind(512, 2), kind(512, 1), "sessions of long prompts weigh nothing");
    }

    #[test]
    fn less_work_costs_no_more_and_is_no_less_than_in_proportion() {
        assert!(kind(4, 4).covers(kind(3, 2)) && !kind(3, 4).covers(kind(4, 4)));
        assert_eq!(kind(3, 2).at_least(kind(4, 4)), 0.5);
        // Other kernels, and another model.
        assert_eq!(kind(16, 16).at_least(kind(8, 8)), 0.0);
        assert_eq!(Kind::new(Epoch(2), 4, 4).at_least(kind(4, 4)), 0.0);
    }
}
