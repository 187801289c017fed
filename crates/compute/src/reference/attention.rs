//! Grouped-query attention (<https://arxiv.org/abs/2305.13245>): projections, norms and position embedding, for all spans
//! of a step at once.

use super::attend::{Attend, Step};
use super::linear::{Linear, Shared};
use super::norm::Norm;
use super::rope::Ropes;
use super::weights::{Loader, Part, Rotated};
use crate::LoadError;
use candle_core::{Result, Tensor};
use gogrid_model::{AttentionSpec, PositionScale, QkNorm, Values, tensors};

/// One layer's attention.
#[derive(Debug)]
pub(crate) struct Attention {
    qkv: Shared,
    /// Of q and k: of each head, or of all heads together.
    norms: Option<(Norm, Norm)>,
    /// Whether the norms are of all heads together.
    whole_norms: bool,
    values: Values,
    norm_eps: f32,
    position_scale: Option<PositionScale>,
    /// The position embedding among those of the stage.
    rope: Option<usize>,
    attend: Attend,
    o: Linear,
}

impl Attention {
    /// Loads the attention of a layer; `index` is its place within the stage.
    pub(crate) fn load(
        loader: &Loader<'_>,
        spec: &AttentionSpec,
        ropes: &Ropes,
        layer: usize,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("self_attn.{part}"));
        let (q, k, v, o) = (name("q_proj"), name("k_proj"), name("v_proj"), name("o_proj"));
        let interleaved = |heads: usize| {
            let rope = spec.rope.as_ref().filter(|rope| rope.interleaved)?;
            Some(Rotated { heads, before: 0, elements: rope.rotated_of(spec.head_dim) })
        };
        let parts = [
            Part { interleaved: interleaved(spec.heads), ..Part::new(&q, spec.qkv_bias) },
            Part { interleaved: interleaved(spec.kv_heads), ..Part::new(&k, spec.qkv_bias) },
            Part::new(&v, spec.qkv_bias),
        ];
        let (qkv, widths) = (name("qkv_proj"), [spec.q_width(), spec.kv_width(), spec.kv_width()]);
        let qkv = match spec.fused {
            true => loader.shared(&[Part { fused: &widths, ..Part::new(&qkv, spec.qkv_bias) }])?,
            false if spec.values == Values::NormedKeys => loader.shared(&parts[..2])?,
            false => loader.shared(&parts)?,
        };
        let norms = match spec.qk_norm {
            QkNorm::None => None,
            QkNorm::Head | QkNorm::Whole => {
                Some((loader.norm(&name("q_norm.weight"))?, loader.norm(&name("k_norm.weight"))?))
            }
        };
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
            norm_eps: loader.config().norm_eps as f32,
            whole_norms: spec.qk_norm == QkNorm::Whole,
            position_scale: spec.position_scale,
            rope: spec.rope.as_ref().and_then(|rope| ropes.index(rope, spec.head_dim)),
            attend,
            o: loader.linear(Part::new(&o, spec.o_bias))?,
        })
    }

    /// `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn forward(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let products = self.qkv.forward(hidden)?;
        let (q, k, v) = match products.as_slice() {
            [q, k, v] => (q.clone(), k.clone(), v.clone()),
            [q, k] => (q.clone(), k.clone(), k.clone()),
            _ => candle_core::bail!("q, k and v"),
        };
        let angles = self.rope.and_then(|rope| step.angles.get(rope));
        let rotate = |rows: Tensor, heads: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let by_head = (step.rows, heads, self.attend.key_dim);
            let rows = match norm {
                Some(norm) if self.whole_norms => norm.forward(&rows.contiguous()?)?.reshape(by_head)?,
                Some(norm) => norm.forward(&rows.reshape(by_head)?)?,
                None => rows.reshape(by_head)?,
            };
            angles.map_or(Ok(rows.clone()), |angles| angles.rotate(&rows))
        };
        let (q_norm, k_norm) = self.norms.as_ref().map(|(q, k)| (q, k)).unzip();
        let mut q = rotate(q, self.attend.heads, q_norm)?; // (rows, heads, head_dim)
        if let Some(scale) = self.position_scale {
            q = q.broadcast_mul(&factors(scale, step, &q)?)?;
        }
        let k = rotate(k, self.attend.kv_heads, k_norm)?; // (rows, kv_heads, head_dim)
        let v = v.reshape((step.rows, self.attend.kv_heads, self.attend.value_dim))?;
        let v = match self.values {
            Values::Own => v,
            Values::Normed | Values::NormedKeys => {
                Norm::plain(self.attend.value_dim, self.norm_eps, &v)?.forward(&v)?
            }
        };
        self.o.forward(&self.attend.forward(&q, &k, Some(&v), step)?)
    }
}

/// What the queries of a step are multiplied by, `// (rows, 1, 1)`.
fn factors(scale: PositionScale, step: &Step<'_>, q: &Tensor) -> Result<Tensor> {
    let positions = step.spans.iter().flat_map(|span| span.position..span.position + span.tokens);
    let factor = |position: usize| 1.0 + scale.beta * ((position / scale.every) as f32).ln_1p();
    let factors: Vec<f32> = positions.map(factor).collect();
    Tensor::from_vec(factors, (step.rows, 1, 1), q.device())?.to_dtype(q.dtype())
}
