//! Softmax over attention scores, under the causal mask and the sliding window.

use super::mask::{Mask, Masks};
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use gogrid_model::exp;
use rayon::prelude::*;

/// Scores that are worth a second thread: some tens of microseconds of work.
const PARALLEL_SCORES: usize = 1 << 15;

/// softmax(scale × scores), what the mask hides left out. `// (kv_heads, group × tokens, columns)`
pub(crate) fn masked_softmax(scores: Tensor, mask: Mask, masks: &mut Masks, scale: f32) -> Result<Tensor> {
    let (kv_heads, rows, columns) = scores.dims3()?;
    if scores.device().is_cpu() && scores.dtype() == DType::F32 {
        scores.inplace_op1(&MaskedSoftmax { mask, scale })?;
        return Ok(scores);
    }
    let scores = scores.affine(f64::from(scale), 0.0)?;
    if mask.is_trivial() {
        return softmax_last_dim(&scores);
    }
    let hidden = masks.of(mask, scores.dtype(), scores.device())?;
    let scores = scores.reshape((kv_heads * (rows / mask.tokens), mask.tokens, columns))?;
    softmax_last_dim(&scores.broadcast_add(&hidden)?)?.reshape((kv_heads, rows, columns))
}

/// The same in place for f32 on the CPU, without a mask in memory.
struct MaskedSoftmax {
    mask: Mask,
    scale: f32,
}

impl InplaceOp1 for MaskedSoftmax {
    fn name(&self) -> &'static str {
        "masked-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(scores), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("masked-softmax takes contiguous f32 scores");
        };
        let columns = layout.dims().last().copied().unwrap_or(0);
        let scores = &mut scores[start..end];
        let each = |(row, scores): (usize, &mut [f32])| {
            let (low, high) = self.mask.columns(row);
            scores[..low].fill(0.0);
            scores[high..].fill(0.0);
            softmax(&mut scores[low..high], self.scale);
        };
        if scores.len() < PARALLEL_SCORES {
            scores.chunks_exact_mut(columns).enumerate().for_each(each);
        } else {
            scores.par_chunks_exact_mut(columns).enumerate().for_each(each);
        }
        Ok(())
    }
}

/// softmax(scale × row) of one row, with a positive scale.
pub(crate) fn softmax(row: &mut [f32], scale: f32) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in row.iter_mut() {
        *score = exp((*score - max) * scale);
    }
    let sum: f32 = row.iter().sum();
    for score in row.iter_mut() {
        *score /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Rows of two heads and three tokens, computed in both ways.
    #[test]
    fn the_in_place_softmax_is_the_one_with_a_mask() {
        let mut masks = Masks::default();
        for window in [1, 2, 4, usize::MAX] {
            let mask = Mask { tokens: 3, first: 2, window };
            let values: Vec<f32> = (0..2 * 6 * 5).map(|i| ((i * 37) % 23) as f32 * 0.4 - 3.0).collect();
            let scores = Tensor::from_vec(values, (2, 6, 5), &Device::Cpu).unwrap();
            let wide = scores.to_dtype(DType::F64).unwrap();
            let expected = masked_softmax(wide, mask, &mut masks, 0.25).unwrap().to_dtype(DType::F32).unwrap();
            let found = masked_softmax(scores, mask, &mut masks, 0.25).unwrap();
            let worst = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(worst < 1e-6, "window {window}: {worst}");
        }
    }
}
