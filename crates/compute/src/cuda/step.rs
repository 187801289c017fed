//! What kernels read of a step: tokens, sequences and positions of its rows, which rows' logits are wanted, which
//! candidates, and the tiles of prompts. It lies in one piece of memory, at places that depend on the number of rows
//! alone, so that a captured graph finds it.

use super::kernels::{MOST_TOP, TILE};
use gogrid_model::{CandidateRequest, Span};

/// Token ids that steps ask for besides the best ones, at most; with more, the logits are looked at in main memory.
pub(super) const MOST_ALSO: usize = 8192;

/// Where the parts of a step lie, in words of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    /// Rows that fit.
    pub(super) rows: usize,
}

impl Places {
    pub(super) fn tokens(self) -> usize {
        0
    }
    pub(super) fn slots(self) -> usize {
        self.rows
    }
    pub(super) fn positions(self) -> usize {
        2 * self.rows
    }
    pub(super) fn wanted(self) -> usize {
        3 * self.rows
    }
    pub(super) fn tops(self) -> usize {
        4 * self.rows
    }
    /// One more than rows.
    pub(super) fn also_from(self) -> usize {
        5 * self.rows
    }
    /// Four words for each, at a multiple of four.
    pub(super) fn tiles(self) -> usize {
        (6 * self.rows + 1).next_multiple_of(4)
    }
    pub(super) fn also(self) -> usize {
        self.tiles() + 4 * self.rows
    }
    /// Words of all.
    pub(super) fn words(self) -> usize {
        self.also() + MOST_ALSO
    }
}

/// A step, written out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) rows: usize,
    /// Rows whose logits are wanted.
    pub(super) wanted: usize,
    pub(super) tiles: usize,
    /// Whether every sequence has one row.
    pub(super) decodes: bool,
    /// Whether kernels find the candidates; else the logits are looked at in main memory.
    pub(super) found_on_device: bool,
    /// Each wanted row's ids besides the best ones, where they begin.
    pub(super) also_from: Vec<usize>,
    pub(super) words: Vec<i32>,
}

impl Step {
    /// Writes a step out for memory that has these places, padded to `padded` rows that are not there. `tokens` is empty
    /// if activations came.
    pub(super) fn new(
        places: Places,
        padded: usize,
        spans: &[Span],
        slots: &[usize],
        tokens: &[u32],
        vocabulary: usize,
        head: bool,
    ) -> Self {
        let mut words = vec![0i32; places.also()];
        let rows: usize = spans.iter().map(|span| span.tokens).sum();
        for row in rows..padded {
            words[places.tokens() + row] = -1;
            words[places.positions() + row] = -1;
        }
        for (row, token) in tokens.iter().enumerate() {
            words[places.tokens() + row] = *token as i32;
        }
        let (mut row, mut tiles, mut wanted) = (0, 0, 0);
        let (mut also, mut also_from, mut found_on_device) = (Vec::new(), vec![0], true);
        for (span, &slot) in spans.iter().zip(slots) {
            for start in (0..span.tokens).step_by(TILE) {
                let tile = [row + start, TILE.min(span.tokens - start), slot, span.position + start];
                for (at, value) in tile.into_iter().enumerate() {
                    words[places.tiles() + 4 * tiles + at] = value as i32;
                }
                tiles += 1;
            }
            for token in 0..span.tokens {
                words[places.slots() + row + token] = slot as i32;
                words[places.positions() + row + token] = (span.position + token) as i32;
            }
            row += span.tokens;
            let Some(CandidateRequest { top, also: more, .. }) = span.want.as_ref().filter(|_| head) else { continue };
            let top = (*top).min(vocabulary);
            found_on_device &= top <= MOST_TOP;
            words[places.wanted() + wanted] = row as i32 - 1;
            words[places.tops() + wanted] = top as i32;
            also.extend(more.iter().filter(|id| (**id as usize) < vocabulary).map(|id| *id as i32));
            wanted += 1;
            also_from.push(also.len());
        }
        if also.len() > MOST_ALSO {
            found_on_device = false;
            also.clear();
            also_from = vec![0; wanted + 1];
        }
        for at in 0..=places.rows {
            words[places.also_from() + at] = also_from[at.min(wanted)] as i32;
        }
        words.extend(also);
        let decodes = spans.iter().all(|span| span.tokens == 1);
        Step { rows, wanted, tiles, decodes, found_on_device, also_from, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::SessionKey;

    fn span(position: usize, tokens: usize, want: Option<CandidateRequest>) -> Span {
        Span { session: SessionKey(1), position, tokens, want }
    }

    #[test]
    fn a_step_is_written_at_its_places() {
        let want = CandidateRequest { top: 3, also: vec![7, 9, 5000], allowed: None };
        let spans = [span(10, 70, None), span(4, 1, Some(want))];
        let places = Places { rows: 128 };
        let tokens: Vec<u32> = (0..71).collect();
        let step = Step::new(places, 71, &spans, &[2, 5], &tokens, 1000, true);
        assert_eq!((step.rows, step.wanted, step.tiles, step.decodes), (71, 1, 3, false));
        let words = &step.words;
        assert_eq!(words[places.tokens() + 70], 70);
        assert_eq!(words[places.slots() + 69..places.slots() + 71], [2, 5]);
        assert_eq!(words[places.positions() + 69..places.positions() + 71], [79, 4]);
        assert_eq!(words[places.tiles()..places.tiles() + 12], [0, 64, 2, 10, 64, 6, 2, 74, 70, 1, 5, 4]);
        assert_eq!((words[places.wanted()], words[places.tops()]), (70, 3));
        assert_eq!(words[places.also()..], [7, 9], "ids outside the vocabulary are left out");
        assert_eq!(words[places.also_from()..places.also_from() + 3], [0, 2, 2]);
        assert!(step.found_on_device);
    }

    #[test]
    fn rows_that_are_not_there_are_marked() {
        let places = Places { rows: 64 };
        let step = Step::new(places, 4, &[span(0, 1, None)], &[0], &[3], 10, true);
        assert_eq!(step.words[places.positions()..places.positions() + 5], [0, -1, -1, -1, 0]);
        assert_eq!(step.words[places.tokens()..places.tokens() + 4], [3, -1, -1, -1]);
        assert!(step.decodes && step.wanted == 0);
    }

    #[test]
    fn whole_vocabularies_are_looked_at_elsewhere() {
        let want = CandidateRequest { top: usize::MAX, ..CandidateRequest::default() };
        let step = |vocabulary| {
            Step::new(Places { rows: 64 }, 1, &[span(0, 1, Some(want.clone()))], &[0], &[3], vocabulary, true)
        };
        assert!(step(384).found_on_device && !step(32_000).found_on_device);
    }
}
