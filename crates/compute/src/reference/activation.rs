//! Gated activations: gate and up of a feed-forward network become one inner row.

use super::linear::Shared;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use candle_nn::ops::sigmoid;
use gogrid_model::{Activation, exp};
use rayon::prelude::*;

/// Elements that are worth a second thread: some tens of microseconds of work.
const PARALLEL_ELEMENTS: usize = 1 << 15;

/// The inner rows of a network with these matrices for gate and up. `// (rows, hidden) → (rows, width)`
pub(super) fn gated(gate_up: &Shared, rows: &Tensor, activation: Activation) -> Result<Tensor> {
    let on_cpu = rows.device().is_cpu() && rows.dtype() == DType::F32;
    match gate_up.forward_whole(rows).filter(|_| on_cpu) {
        Some(whole) => whole?.apply_op1_no_bwd(&Glu(activation)),
        None => {
            let [gate, up] = gate_up.forward(rows)?.try_into().map_err(|_| candle_core::Error::msg("gate and up"))?;
            of_tensors(&gate, &up, activation)
        }
    }
}

/// The same as tensor operations. `// (rows, width) and (rows, width) → (rows, width)`
pub(super) fn of_tensors(gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Silu => gate.silu()? * up,
        Activation::GeluTanh => gate.gelu()? * up,
        Activation::ClampedSilu { alpha, limit } => {
            let (gate, up) = (gate.minimum(limit)?, up.clamp(-limit, limit)?);
            let swish = (&gate * sigmoid(&(&gate * f64::from(alpha))?)?)?;
            swish * (up + 1.0)?
        }
    }
}

/// Of rows that hold gate and up, for f32 on the CPU. `// (rows, 2 × width) → (rows, width)`
struct Glu(Activation);

impl CustomOp1 for Glu {
    fn name(&self) -> &'static str {
        "glu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("glu takes contiguous f32 rows");
        };
        let (rows, both) = layout.shape().dims2()?;
        let width = both / 2;
        let values = &values[start..end];
        let out = match self.0 {
            Activation::Silu => each(values, width, |gate, up| gate / (1.0 + exp(-gate)) * up),
            Activation::GeluTanh => each(values, width, |gate, up| gelu(gate) * up),
            Activation::ClampedSilu { alpha, limit } => each(values, width, |gate, up| {
                let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
                gate / (1.0 + exp(-alpha * gate)) * (up + 1.0)
            }),
        };
        Ok((CpuStorage::F32(out), (rows, width).into()))
    }
}

/// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), of which (1 + tanh u)/2 is σ(2u).
fn gelu(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    x / (1.0 + exp(-2.0 * ROOT * (x + 0.044_715 * x * x * x)))
}

fn each(values: &[f32], width: usize, activation: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0f32; values.len() / 2];
    let row = |(out, row): (&mut [f32], &[f32])| {
        let (gate, up) = row.split_at(width);
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            *out = activation(gate, up);
        }
    };
    if out.len() < PARALLEL_ELEMENTS {
        out.chunks_exact_mut(width).zip(values.chunks_exact(2 * width)).for_each(row);
    } else {
        out.par_chunks_exact_mut(width).zip(values.par_chunks_exact(2 * width)).for_each(row);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};

    #[test]
    fn the_fused_activations_are_those_of_tensors() {
        let values: Vec<f32> = (0..3 * 8).map(|i| (i as f32 - 12.0) * 0.7).collect();
        let rows = Tensor::from_vec(values, (3, 8), &Device::Cpu).unwrap();
        let (gate, up) = (rows.narrow(D::Minus1, 0, 4).unwrap(), rows.narrow(D::Minus1, 4, 4).unwrap());
        let clamped = Activation::ClampedSilu { alpha: 1.702, limit: 5.0 };
        for activation in [Activation::Silu, Activation::GeluTanh, clamped] {
            let expected = of_tensors(&gate, &up, activation).unwrap();
            let found = rows.apply_op1_no_bwd(&Glu(activation)).unwrap();
            let worst = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(worst < 1e-5, "{activation:?}: {worst}");
        }
    }
}
