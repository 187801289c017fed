//! The gated feed-forward network, SwiGLU (<https://arxiv.org/abs/2002.05202>).

use super::linear::{Linear, Shared};
use super::weights::{Loader, Part};
use crate::LoadError;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use gogrid_model::{DenseSpec, exp, tensors};
use rayon::prelude::*;

/// Elements that are worth a second thread: some tens of microseconds of work.
const PARALLEL_ELEMENTS: usize = 1 << 15;

/// One layer's feed-forward network.
#[derive(Debug)]
pub(crate) struct Mlp {
    gate_up: Shared,
    down: Linear,
}

impl Mlp {
    pub(crate) fn load(loader: &Loader<'_>, spec: &DenseSpec, layer: usize) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("mlp.{part}"));
        let bias = spec.bias;
        let gate_up = loader.shared(&[Part::new(&name("gate_proj"), bias), Part::new(&name("up_proj"), bias)])?;
        Ok(Mlp { gate_up, down: loader.linear(Part::new(&name("down_proj"), bias))? })
    }

    /// The first half: `// (rows, hidden) → (rows, ffn)`
    pub(crate) fn up(&self, hidden: &Tensor) -> Result<Tensor> {
        let on_cpu = hidden.device().is_cpu() && hidden.dtype() == DType::F32;
        match self.gate_up.forward_whole(hidden).filter(|_| on_cpu) {
            Some(whole) => whole?.apply_op1_no_bwd(&SwiGlu),
            None => {
                let [gate, up] =
                    self.gate_up.forward(hidden)?.try_into().map_err(|_| candle_core::Error::msg("gate and up"))?;
                gate.silu()? * up
            }
        }
    }

    /// The second half: `// (rows, ffn) → (rows, hidden)`
    pub(crate) fn down(&self, gated: &Tensor) -> Result<Tensor> {
        self.down.forward(gated)
    }
}

/// silu(gate) × up of rows that hold both, for f32 on the CPU. `// (rows, 2 × width) → (rows, width)`
struct SwiGlu;

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("swiglu takes contiguous f32 rows");
        };
        let (rows, both) = layout.shape().dims2()?;
        let width = both / 2;
        let values = &values[start..end];
        let mut out = vec![0f32; rows * width];
        let each = |(out, row): (&mut [f32], &[f32])| {
            let (gate, up) = row.split_at(width);
            for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        };
        if out.len() < PARALLEL_ELEMENTS {
            out.chunks_exact_mut(width).zip(values.chunks_exact(both)).for_each(each);
        } else {
            out.par_chunks_exact_mut(width).zip(values.par_chunks_exact(both)).for_each(each);
        }
        Ok((CpuStorage::F32(out), (rows, width).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_fused_gate_is_silu_times_up() {
        let values: Vec<f32> = (0..3 * 8).map(|i| (i as f32 - 12.0) * 0.7).collect();
        let rows = Tensor::from_vec(values, (3, 8), &Device::Cpu).unwrap();
        let expected = candle_nn::ops::swiglu(&rows).unwrap();
        let found = rows.apply_op1_no_bwd(&SwiGlu).unwrap();
        let worst = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{worst}");
    }
}
