//! Grouped-query attention (<https://arxiv.org/abs/2305.13245>): projections, norms and position embedding, for all spans
//! of a step at once.

use super::attend::{Attend, New, Step};
use super::linear::{Linear, Shared};
use super::norm::Norm;
use super::rope::Ropes;
use super::weights::{Loader, Part, Rotated};
use crate::LoadError;
use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;
use gogrid_model::{AttentionSpec, PositionScale, QkNorm, Values, tensors};

/// Where a layer's attention is in its model and its stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) layer: usize,
    /// The place of the cache that it looks at.
    pub(crate) cache: usize,
    /// Whether its keys and values go on to the next machine.
    pub(crate) kept: bool,
}

/// One layer's attention.
#[derive(Debug)]
pub(crate) struct Attention {
    qkv: Shared,
    /// Of q and k: of each head, or of all heads together.
    norms: (Option<Norm>, Option<Norm>),
    /// Whether the norms are of all heads together.
    whole_norms: bool,
    values: Values,
    norm_eps: f32,
    /// The layer, if its keys and values go on to the next machine.
    kept: Option<usize>,
    position_scale: Option<PositionScale>,
    /// The position embedding among those of the stage.
    rope: Option<usize>,
    attend: Attend,
    o: Linear,
    /// Whether q comes with the output's gate.
    gated: bool,
}

impl Attention {
    /// Loads the attention of a layer.
    pub(crate) fn load(
        loader: &Loader<'_>,
        spec: &AttentionSpec,
        ropes: &Ropes,
        place: Place,
    ) -> std::result::Result<Self, LoadError> {
        let Place { layer, cache: index, .. } = place;
        let name = |part: &str| tensors::layer_tensor(layer, &format!("self_attn.{part}"));
        let (q, k, v, o) = (name("q_proj"), name("k_proj"), name("v_proj"), name("o_proj"));
        let interleaved = |heads: usize| {
            let rope = spec.rope.as_ref().filter(|rope| rope.interleaved)?;
            Some(Rotated { heads, before: 0, elements: rope.rotated_of(spec.head_dim) })
        };
        let kinds = [spec.head_dim; 2];
        let queries = match spec.gated {
            true => Part { grouped: Some((spec.heads, &kinds)), ..Part::new(&q, spec.qkv_bias) },
            false => Part { interleaved: interleaved(spec.heads), ..Part::new(&q, spec.qkv_bias) },
        };
        let parts = [
            queries,
            Part { interleaved: interleaved(spec.kv_heads), ..Part::new(&k, spec.qkv_bias) },
            Part::new(&v, spec.qkv_bias),
        ];
        let (qkv, widths) = (name("qkv_proj"), [spec.q_width(), spec.kv_width(), spec.kv_width()]);
        let qkv = match spec.fused {
            true => loader.shared(&[Part { fused: &widths, ..Part::new(&qkv, spec.qkv_bias) }])?,
            false => loader.shared(&parts[..spec.products()])?,
        };
        let norm = |part: &str, there: bool| there.then(|| loader.norm(&name(part))).transpose();
        let normed = spec.qk_norm != QkNorm::None;
        let norms = (norm("q_norm.weight", normed)?, norm("k_norm.weight", normed && spec.shares.is_none())?);
        let attend = Attend {
            index,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            key_dim: spec.head_dim,
            value_dim: spec.head_dim,
            scale: spec.scale.unwrap_or(1.0 / (spec.head_dim as f32).sqrt()),
            sinks: if spec.sinks { loader.numbers(&name("sinks"))? } else { Vec::new() },
            window: spec.window.unwrap_or(usize::MAX),
        };
        Ok(Attention {
            qkv,
            norms,
            values: spec.values,
            kept: place.kept.then_some(layer),
            norm_eps: loader.config().norm_eps as f32,
            whole_norms: spec.qk_norm == QkNorm::Whole,
            position_scale: spec.position_scale,
            rope: spec.rope.as_ref().and_then(|rope| ropes.index(rope, spec.head_dim)),
            attend,
            o: loader.linear(Part::new(&o, spec.o_bias))?,
            gated: spec.gated,
        })
    }

    /// `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn forward(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let products = self.qkv.forward(hidden)?;
        let (rows_of_step, angles) = (step.rows, self.rope.and_then(|rope| step.angles.get(rope)));
        let width = self.attend.heads * self.attend.key_dim;
        let rotate = |rows: Tensor, heads: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let by_head = (rows_of_step, heads, self.attend.key_dim);
            let rows = match norm {
                Some(norm) if self.whole_norms => norm.forward(&rows.contiguous()?)?.reshape(by_head)?,
                Some(norm) => norm.forward(&rows.reshape(by_head)?)?,
                None => rows.reshape(by_head)?,
            };
            angles.map_or(Ok(rows.clone()), |angles| angles.rotate(&rows))
        };
        let [q, others @ ..] = products.as_slice() else { candle_core::bail!("a layer without queries") };
        let gate = if self.gated { Some(q.narrow(1, width, width)?.contiguous()?) } else { None };
        let mut q = rotate(q.narrow(1, 0, width)?, self.attend.heads, self.norms.0.as_ref())?; // (rows, heads, head_dim)
        if let Some(scale) = self.position_scale {
            q = q.broadcast_mul(&factors(scale, step, &q)?)?;
        }
        let Some(k) = others.first() else {
            return self.o.forward(&self.attend.forward(&q, New::Nothing, step)?);
        };
        let v = others.get(1).unwrap_or(k).reshape((step.rows, self.attend.kv_heads, self.attend.value_dim))?;
        let k = rotate(k.clone(), self.attend.kv_heads, self.norms.1.as_ref())?; // (rows, kv_heads, head_dim)
        let v = match self.values {
            Values::Own => v,
            Values::Normed | Values::NormedKeys => {
                Norm::plain(self.attend.value_dim, self.norm_eps, &v)?.forward(&v)?
            }
        };
        if let Some(layer) = self.kept {
            step.kept.insert(layer, (k.clone(), v.clone()));
        }
        let mixed = self.attend.forward(&q, New::Both(&k, &v), step)?;
        match gate {
            Some(gate) => self.o.forward(&(mixed * sigmoid(&gate)?)?),
            None => self.o.forward(&mixed),
        }
    }
}

/// What the queries of a step are multiplied by, `// (rows, 1, 1)`.
fn factors(scale: PositionScale, step: &Step<'_>, q: &Tensor) -> Result<Tensor> {
    let positions = step.spans.iter().flat_map(|span| span.position..span.position + span.tokens);
    let factor = |position: usize| 1.0 + scale.beta * ((position / scale.every) as f32).ln_1p();
    let factors: Vec<f32> = positions.map(factor).collect();
    Tensor::from_vec(factors, (step.rows, 1, 1), q.device())?.to_dtype(q.dtype())
}
