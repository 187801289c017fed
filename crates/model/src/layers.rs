//! Ranges of layers, and ways to cut a model.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// Contiguous layers `start..end` of a model. The stage that holds them has the embedding if they start at 0, and the
/// head (final norm and logits) if they end at the last layer. An empty range at either end is a stage with embedding
/// or head alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Layers {
    /// The first layer.
    pub start: usize,
    /// One past the last layer.
    pub end: usize,
}

/// A range that no stage can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayersError {
    /// Outside the model, or backwards.
    #[error("layers {layers} are not within a model of {of} layers")]
    OutOfRange {
        /// The range.
        layers: Layers,
        /// The model's layers.
        of: usize,
    },
    /// Empty in the middle of the model: a stage without work.
    #[error("layers {layers} are none, and at neither end of a model of {of} layers")]
    Empty {
        /// The range.
        layers: Layers,
        /// The model's layers.
        of: usize,
    },
}

impl Layers {
    /// The layers `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Layers { start, end }
    }

    /// All of a model's `of` layers.
    pub fn all(of: usize) -> Self {
        Layers { start: 0, end: of }
    }

    /// How many.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The layers as a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether the stage has the embedding.
    pub fn has_embedding(self) -> bool {
        self.start == 0
    }

    /// Whether the stage has the head of a model of `of` layers.
    pub fn has_head(self, of: usize) -> bool {
        self.end == of
    }

    /// Checks that a stage of a model of `of` layers can have this range.
    ///
    /// # Errors
    /// The range is outside the model, backwards, or empty and at neither end.
    pub fn validate(self, of: usize) -> Result<(), LayersError> {
        if self.start > self.end || self.end > of {
            return Err(LayersError::OutOfRange { layers: self, of });
        }
        if self.is_empty() && !self.has_embedding() && !self.has_head(of) {
            return Err(LayersError::Empty { layers: self, of });
        }
        Ok(())
    }

    /// Every way to cut `of` layers into stages with at least one layer each, those with fewer stages first.
    pub fn compositions(of: usize) -> Vec<Vec<Layers>> {
        let cut = |mask: u32| -> Vec<Layers> {
            let ends = (1..of).filter(|&layer| mask & 1 << (layer - 1) != 0).chain([of]);
            let mut start = 0;
            ends.map(|end| Layers::new(std::mem::replace(&mut start, end), end)).collect()
        };
        let mut cuts: Vec<_> = (0..1u32 << of.saturating_sub(1).min(31)).map(cut).collect();
        cuts.sort_by_key(Vec::len);
        cuts
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        Layers::new(0, 4).validate(4).unwrap();
        Layers::new(0, 0).validate(4).unwrap();
        Layers::new(4, 4).validate(4).unwrap();
        assert!(matches!(Layers::new(2, 2).validate(4), Err(LayersError::Empty { .. })));
        assert!(matches!(Layers::new(3, 2).validate(4), Err(LayersError::OutOfRange { .. })));
        assert!(matches!(Layers::new(0, 5).validate(4), Err(LayersError::OutOfRange { .. })));
    }

    #[test]
    fn compositions_are_all_ways_to_cut() {
        let cuts = Layers::compositions(4);
        assert_eq!(cuts.len(), 8);
        assert_eq!(cuts[0], [Layers::new(0, 4)]);
        assert_eq!(cuts.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2, 2, 3, 3, 3, 4]);
        for cut in cuts {
            assert_eq!((cut[0].start, cut[cut.len() - 1].end), (0, 4));
            assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        assert_eq!(Layers::compositions(1), [[Layers::new(0, 1)]]);
    }
}
