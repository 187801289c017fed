//! Gated DeltaNet (<https://arxiv.org/abs/2412.06464>), as Qwen3-Next and Qwen3.5 have it: projections, a short
//! convolution of queries, keys and values, the [delta rule](super::delta_rule), and a norm under a gate.
//!
//! Between the projections everything is f32. Convolution and delta rule run span by span, because each has a state of
//! its own; the rest runs for all rows at once.

use super::attend::Step;
use super::conv::ShortConv;
use super::delta_rule::{Tokens, delta_rule};
use super::linear::{Linear, Shared};
use super::norm::Norm;
use super::recurrence::State;
use super::weights::{Loader, Part};
use crate::LoadError;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::sigmoid;
use gogrid_model::{DeltaNetSpec, Span, tensors};

/// Added to the sum of squares of a query or key before it is scaled to length 1.
const LENGTH_EPS: f64 = 1e-6;

/// One layer's mixer.
#[derive(Debug)]
pub(crate) struct DeltaNet {
    /// Index of the layer within the stage.
    index: usize,
    spec: DeltaNetSpec,
    /// The convolution's channels, and the output's gate.
    qkvz: Shared,
    /// Strength and decay of each head.
    ba: Shared,
    conv: ShortConv,
    /// The factor of each head's decay, −exp(A), `// (heads)`.
    decay: Tensor,
    /// Added to what the tokens bring to the decay, `// (heads)`.
    decay_bias: Tensor,
    /// Of each head's result, in f32.
    norm: Norm,
    output: Linear,
}

impl DeltaNet {
    /// Loads the mixer of a layer; `index` is its place within the stage.
    pub(crate) fn load(
        loader: &Loader<'_>,
        spec: &DeltaNetSpec,
        layer: usize,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("linear_attn.{part}"));
        let (group, q) = (spec.heads / spec.key_heads, spec.key_dim);
        let matrices = |fused: bool, whole: &str, widths: &[usize], parts: [&str; 2]| match fused {
            true => {
                loader.shared(&[Part { grouped: Some((spec.key_heads, widths)), ..Part::new(&name(whole), false) }])
            }
            false => loader.shared(&[Part::new(&name(parts[0]), false), Part::new(&name(parts[1]), false)]),
        };
        let of_key_head = [q, q, group * spec.value_dim, group * spec.value_dim];
        let factor = loader.floats(&name("A_log"))?;
        Ok(DeltaNet {
            index,
            spec: spec.clone(),
            qkvz: matrices(spec.fused_qkvz, "in_proj_qkvz", &of_key_head, ["in_proj_qkv", "in_proj_z"])?,
            ba: matrices(spec.fused_ba, "in_proj_ba", &[group, group], ["in_proj_b", "in_proj_a"])?,
            conv: loader.short_conv(&name("conv1d"), false)?,
            decay: if spec.plain_decay { factor } else { factor.exp()?.neg()? },
            decay_bias: loader.floats(&name("dt_bias"))?,
            norm: Norm { weight: loader.floats(&name("norm.weight"))?, eps: loader.config().norm_eps as f32 },
            output: loader.linear(Part::new(&name("out_proj"), false))?,
        })
    }

    /// `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn forward(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let DeltaNetSpec { heads, value_dim, .. } = self.spec;
        let rows = step.rows;
        let float = |of: Result<Tensor>| of?.to_dtype(DType::F32)?.contiguous();
        let qkvz = whole(&self.qkvz, hidden)?;
        let channels = float(qkvz.narrow(1, 0, self.spec.channels()))?;
        let gate = float(qkvz.narrow(1, self.spec.channels(), self.spec.value_width()))?;
        let ba = whole(&self.ba, hidden)?;
        let strength = sigmoid(&float(ba.narrow(1, 0, heads))?)?;
        let decay = self.decay(&float(ba.narrow(1, heads, heads))?)?;
        let mut mixed = Vec::with_capacity(step.spans.len());
        let mut start = 0;
        for span in step.spans {
            let of_span = |tensor: &Tensor| tensor.narrow(0, start, span.tokens);
            let new = (of_span(&channels)?, of_span(&decay)?, of_span(&strength)?);
            mixed.push(self.span(span, &new.0, &new.1, &new.2, step)?);
            start += span.tokens;
        }
        let mixed = self.norm.forward(&Tensor::cat(&mixed, 0)?)?; // (rows, heads, value_dim)
        let gated = (mixed.reshape((rows, heads * value_dim))? * gate.silu()?)?;
        self.output.forward(&gated.to_dtype(hidden.dtype())?)
    }

    /// α = exp(−exp(A) · softplus(a + bias)), `// (rows, heads)`.
    fn decay(&self, a: &Tensor) -> Result<Tensor> {
        let a = a.broadcast_add(&self.decay_bias)?;
        // ln(1 + eᵃ), written such that no power overflows.
        let softplus = (a.relu()? + (a.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
        softplus.broadcast_mul(&self.decay)?.exp()
    }

    /// One span's convolution and delta rule: channels `// (tokens, channels)`, decay and strength
    /// `// (tokens, heads)`; the result `// (tokens, heads, value_dim)`.
    fn span(
        &self,
        span: &Span,
        channels: &Tensor,
        decay: &Tensor,
        strength: &Tensor,
        step: &mut Step<'_>,
    ) -> Result<Tensor> {
        let DeltaNetSpec { key_heads, key_dim, heads, value_dim, tiled_heads, .. } = self.spec;
        let (tokens, keys) = (span.tokens, key_heads * key_dim);
        let begun = step.recurrences.begin(span.session, self.index, span.position, tokens)?;
        let (tail, matrix) = begun.state.as_ref().map(|state| (&state.tail, state.matrix.as_ref())).unzip();
        let (rows, inputs) = self.conv.forward(channels, tail)?;
        let rows = rows.silu()?;
        let key = |at: usize| unit(&rows.narrow(1, at * keys, keys)?.reshape((tokens, key_heads, key_dim))?);
        let q = (key(0)? * (1.0 / (key_dim as f64).sqrt()))?;
        let k = key(1)?;
        let v = rows.narrow(1, 2 * keys, heads * value_dim)?.contiguous()?.reshape((tokens, heads, value_dim))?;
        let new = Tokens { q: &q, k: &k, v: &v, decay, strength, tiled_heads };
        let (mixed, matrices) = delta_rule(matrix.flatten(), &new, &begun.wanted)?;
        let state = |(tokens, matrix): (&usize, Tensor)| {
            Ok(State { tail: self.conv.tail(&inputs, *tokens)?, matrix: Some(matrix) })
        };
        let states = begun.wanted.iter().zip(matrices).map(state).collect::<Result<_>>()?;
        step.recurrences.put(span.session, self.index, &begun.wanted, states)?;
        Ok(mixed)
    }
}

/// All parts' results side by side, `// (rows, sum of outs)`.
fn whole(shared: &Shared, rows: &Tensor) -> Result<Tensor> {
    match shared.forward_whole(rows) {
        Some(whole) => whole,
        None => Tensor::cat(&shared.forward(rows)?, 1),
    }
}

/// Scales each row to length 1, `// (.., width)`.
fn unit(rows: &Tensor) -> Result<Tensor> {
    let squares = rows.sqr()?.sum_keepdim(D::Minus1)?;
    rows.broadcast_div(&(squares + LENGTH_EPS)?.sqrt()?)
}
