//! Softmax over attention scores, under the causal mask and the sliding window.

use super::mask::{Mask, Masks};
use candle_core::{CpuStorage, D, DType, InplaceOp1, Layout, Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use gogrid_model::exp;
use rayon::prelude::*;

/// Scores that are worth a second thread: some tens of microseconds of work.
const PARALLEL_SCORES: usize = 1 << 15;

/// What becomes of scores before they are weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scores<'a> {
    /// What they are multiplied by.
    pub(crate) scale: f32,
    /// One more score for each head that takes its part of the weights and belongs to no token; empty where there are
    /// none.
    pub(crate) sinks: &'a [f32],
}

/// softmax(scale × scores), what the mask hides left out. `// (kv_heads, group × tokens, columns)`
pub(crate) fn masked_softmax(scores: Tensor, mask: Mask, masks: &mut Masks, of: Scores<'_>) -> Result<Tensor> {
    let (kv_heads, rows, columns) = scores.dims3()?;
    if scores.device().is_cpu() && scores.dtype() == DType::F32 {
        scores.inplace_op1(&MaskedSoftmax { mask, of })?;
        return Ok(scores);
    }
    let heads = kv_heads * (rows / mask.tokens);
    let mut scores = scores.affine(f64::from(of.scale), 0.0)?.reshape((heads, mask.tokens, columns))?;
    if !mask.is_trivial() {
        scores = scores.broadcast_add(&masks.of(mask, scores.dtype(), scores.device())?)?;
    }
    if of.sinks.is_empty() {
        return softmax_last_dim(&scores)?.reshape((kv_heads, rows, columns));
    }
    let sinks = Tensor::from_vec(of.sinks.to_vec(), (heads, 1, 1), scores.device())?.to_dtype(scores.dtype())?;
    let scores = Tensor::cat(&[scores, sinks.broadcast_as((heads, mask.tokens, 1))?.contiguous()?], D::Minus1)?;
    softmax_last_dim(&scores)?.narrow(D::Minus1, 0, columns)?.reshape((kv_heads, rows, columns))
}

/// The same in place for f32 on the CPU, without a mask in memory.
struct MaskedSoftmax<'a> {
    mask: Mask,
    of: Scores<'a>,
}

impl InplaceOp1 for MaskedSoftmax<'_> {
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
            // A head's rows are as many as the tile's tokens.
            let sink = self.of.sinks.get(row / self.mask.tokens).copied();
            softmax(&mut scores[low..high], self.of.scale, sink);
        };
        if scores.len() < PARALLEL_SCORES {
            scores.chunks_exact_mut(columns).enumerate().for_each(each);
        } else {
            scores.par_chunks_exact_mut(columns).enumerate().for_each(each);
        }
        Ok(())
    }
}

/// softmax(scale × row) of one row, with a positive scale, beside a sink.
pub(crate) fn softmax(row: &mut [f32], scale: f32, sink: Option<f32>) {
    let sink = sink.map_or(f32::NEG_INFINITY, |sink| sink / scale);
    let max = row.iter().copied().fold(sink, f32::max);
    for score in row.iter_mut() {
        *score = exp((*score - max) * scale);
    }
    let sum: f32 = row.iter().sum::<f32>() + exp((sink - max) * scale);
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
            for sinks in [&[][..], &[0.5, -1.0, 2.0, 0.0]] {
                let (scores, of) = (scores.copy().unwrap(), Scores { scale: 0.25, sinks });
                let wide = scores.to_dtype(DType::F64).unwrap();
                let expected = masked_softmax(wide, mask, &mut masks, of).unwrap().to_dtype(DType::F32).unwrap();
                let found = masked_softmax(scores, mask, &mut masks, of).unwrap();
                let worst = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(worst < 1e-6, "window {window}, {} sinks: {worst}", sinks.len());
            }
        }
    }
}
