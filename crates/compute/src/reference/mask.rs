//! Causal masks as tensors, for devices without a kernel of their own for it.
//!
//! A mask is made on the host and carried to the device, which takes longer than what a layer does with it. But which
//! columns a row sees depends only on how far they lie from the row's own. So one mask that is wide and high enough
//! holds those of all tiles of a pass, in all layers, as views.

use candle_core::{DType, Device, Result, Tensor};

/// Which columns each row of scores sees. Rows repeat the tile's tokens: row `r` is token `r % tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask {
    /// Tokens of the tile.
    pub(crate) tokens: usize,
    /// The column that is the first token itself. The tile's last column is its last token.
    pub(crate) first: usize,
    /// Columns that a token sees at most, its own included.
    pub(crate) window: usize,
}

impl Mask {
    /// The columns `low..high` that a row sees.
    pub(crate) fn columns(&self, row: usize) -> (usize, usize) {
        let high = self.first + row % self.tokens + 1;
        (high.saturating_sub(self.window), high)
    }

    /// Whether every row sees all columns.
    pub(crate) fn is_trivial(&self) -> bool {
        self.tokens == 1 && self.first < self.window
    }

    /// Columns of the tile.
    fn width(&self) -> usize {
        self.first + self.tokens
    }

    /// As numbers to add to scores, `// (tokens, width)`.
    fn tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let width = self.width();
        let mut values = vec![f32::NEG_INFINITY; self.tokens * width];
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            let (low, high) = self.columns(row);
            values[low..high].fill(0.0);
        }
        Tensor::from_vec(values, (self.tokens, width), device)?.to_dtype(dtype)
    }
}

/// The masks of a pass.
#[derive(Debug, Default)]
pub(crate) struct Masks(Vec<(Mask, Tensor)>);

impl Masks {
    /// A tile's mask as numbers to add to its scores, `// (tokens, first + tokens)`.
    pub(crate) fn of(&mut self, tile: Mask, dtype: DType, device: &Device) -> Result<Tensor> {
        let same = |(mask, tensor): &(Mask, Tensor)| mask.window == tile.window && tensor.dtype() == dtype;
        let fits = |mask: &Mask| mask.tokens >= tile.tokens && mask.first >= tile.first;
        let at = match self.0.iter().position(same) {
            Some(at) if fits(&self.0[at].0) => at,
            found => {
                // Tiles come one after another, each further into the sequence: a mask that is wider than needed serves the next ones, too.
                let tokens = found.map_or(0, |at| self.0[at].0.tokens).max(tile.tokens);
                let mask = Mask { tokens, first: tile.first.next_power_of_two(), ..tile };
                let made = (mask, mask.tensor(dtype, device)?);
                let at = found.unwrap_or(self.0.len());
                self.0.splice(at..(at + 1).min(self.0.len()), [made]);
                at
            }
        };
        let (mask, tensor) = &self.0[at];
        tensor.narrow(0, 0, tile.tokens)?.narrow(1, mask.first - tile.first, tile.width())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(tensor: &Tensor) -> Vec<Vec<f32>> {
        tensor.to_vec2().unwrap()
    }

    #[test]
    fn a_row_sees_itself_and_what_came_before_within_its_window() {
        let hidden = f32::NEG_INFINITY;
        let mask = Mask { tokens: 2, first: 2, window: 2 }.tensor(DType::F32, &Device::Cpu).unwrap();
        assert_eq!(values(&mask), [[hidden, 0.0, 0.0, hidden], [hidden, hidden, 0.0, 0.0]]);
        assert!(Mask { tokens: 1, first: 7, window: 8 }.is_trivial());
        assert!(!Mask { tokens: 1, first: 7, window: 7 }.is_trivial());
        assert!(!Mask { tokens: 2, first: 0, window: 8 }.is_trivial());
    }

    #[test]
    fn the_tiles_of_a_long_prompt_share_few_masks() {
        let (mut masks, mut tensors) = (Masks::default(), Vec::new());
        for _layer in 0..2 {
            for first in (1024..1536).step_by(87) {
                masks.of(Mask { tokens: 87, first, window: usize::MAX }, DType::F32, &Device::Cpu).unwrap();
                tensors.push(masks.0[0].1.id());
            }
        }
        tensors.dedup();
        assert_eq!((masks.0.len(), tensors.len()), (1, 2), "that of 1024 and that of up to 2048");
    }

    proptest! {
        /// Whatever tiles were asked for before, each gets its own mask.
        #[test]
        fn a_view_is_the_mask_that_would_be_made(
            tiles in prop::collection::vec((1usize..6, 0usize..40, prop::sample::select(&[1, 3, 17, usize::MAX][..])), 1..12),
        ) {
            let mut masks = Masks::default();
            for (tokens, first, window) in tiles {
                let tile = Mask { tokens, first, window };
                let found = masks.of(tile, DType::F32, &Device::Cpu).unwrap();
                prop_assert_eq!(values(&found), values(&tile.tensor(DType::F32, &Device::Cpu).unwrap()));
            }
        }
    }
}
