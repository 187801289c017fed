//! Multi-head latent attention (<https://arxiv.org/abs/2405.04434>, 2.1).
//!
//! The cache holds short rows. Instead of making every head's keys of them, each head's query is brought to their width:
//! `q · (K c) = (Kᵀ q) · c`. So all heads look at one row of each token, of which the weighted sum is a short row too, and
//! the head's values follow from that.

use super::attend::{Attend, New, Step};
use super::linear::Linear;
use super::norm::Norm;
use super::rope::Ropes;
use super::weights::{Loader, Part, Rotated};
use crate::LoadError;
use candle_core::{D, Result, Tensor};
use gogrid_model::{LatentSpec, tensors};

/// One layer's latent attention.
#[derive(Debug)]
pub(crate) struct Latent {
    /// Queries: by way of a short row with its norm, or at once.
    q_a: Option<(Linear, Norm)>,
    q: Linear,
    kv_a: Linear,
    kv_norm: Norm,
    /// Of each head, what makes keys of a short row `// (heads, plain_dim, kv_rank)`.
    keys: Tensor,
    /// Of each head, what makes values of it `// (heads, kv_rank, value_dim)`.
    values: Tensor,
    rope: Option<usize>,
    attend: Attend,
    o: Linear,
    plain_dim: usize,
    rotated_dim: usize,
}

impl Latent {
    /// Loads the attention of a layer; `index` is its place within the stage.
    pub(crate) fn load(
        loader: &Loader<'_>,
        spec: &LatentSpec,
        ropes: &Ropes,
        layer: usize,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("self_attn.{part}"));
        let rotated = |heads, before| Rotated { heads, before, elements: spec.rotated_dim };
        let interleaved = |rotated: Rotated| spec.rope.interleaved.then_some(rotated);
        let of_heads = interleaved(rotated(spec.heads, spec.plain_dim));
        let (q, q_a) = match spec.q_rank {
            Some(_) => {
                let first = loader.linear(Part::new(&name("q_a_proj"), spec.bias))?;
                ("q_b_proj", Some((first, loader.norm(&name("q_a_layernorm.weight"))?)))
            }
            None => ("q_proj", None),
        };
        let kv_a = name("kv_a_proj_with_mqa");
        let kv_a = Part { interleaved: interleaved(rotated(1, spec.kv_rank)), ..Part::new(&kv_a, spec.bias) };
        let (keys, values) = if spec.split {
            (loader.dense(&name("k_b_proj"))?.transpose(1, 2)?, loader.dense(&name("v_b_proj"))?)
        } else {
            let both = loader.dense(&name("kv_b_proj"))?;
            let both = both.reshape((spec.heads, spec.plain_dim + spec.value_dim, spec.kv_rank))?;
            (both.narrow(1, 0, spec.plain_dim)?, both.narrow(1, spec.plain_dim, spec.value_dim)?)
        };
        let attend = Attend {
            index,
            heads: spec.heads,
            kv_heads: 1,
            key_dim: spec.cached(),
            value_dim: spec.kv_rank,
            scale: spec.scale.unwrap_or(1.0 / (spec.key_dim() as f32).sqrt()),
            sinks: Vec::new(),
            window: usize::MAX,
        };
        Ok(Latent {
            q_a,
            q: loader.linear(Part { interleaved: of_heads, ..Part::new(&name(q), false) })?,
            kv_a: loader.linear(kv_a)?,
            kv_norm: loader.norm(&name("kv_a_layernorm.weight"))?,
            keys: keys.contiguous()?,
            values: values.transpose(1, 2)?.contiguous()?,
            rope: ropes.index(&spec.rope, spec.rotated_dim),
            attend,
            o: loader.linear(Part::new(&name("o_proj"), spec.bias))?,
            plain_dim: spec.plain_dim,
            rotated_dim: spec.rotated_dim,
        })
    }

    /// `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn forward(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let (rows, heads, rank) = (step.rows, self.attend.heads, self.attend.value_dim);
        let Some(angles) = self.rope.and_then(|rope| step.angles.get(rope)) else {
            candle_core::bail!("latent attention without position embedding");
        };
        let q = match &self.q_a {
            Some((first, norm)) => self.q.forward(&norm.forward(&first.forward(hidden)?)?)?,
            None => self.q.forward(hidden)?,
        };
        let q = q.reshape((rows, heads, self.plain_dim + self.rotated_dim))?;
        let rotated = angles.rotate(&q.narrow(2, self.plain_dim, self.rotated_dim)?.contiguous()?)?;
        // (heads, rows, plain_dim) by (heads, plain_dim, kv_rank)
        let plain = q.narrow(2, 0, self.plain_dim)?.transpose(0, 1)?.contiguous()?.matmul(&self.keys)?;
        let q = Tensor::cat(&[plain.transpose(0, 1)?.contiguous()?, rotated], D::Minus1)?; // (rows, heads, cached)
        let kv = self.kv_a.forward(hidden)?; // (rows, cached)
        let short = self.kv_norm.forward(&kv.narrow(1, 0, rank)?.contiguous()?)?.unsqueeze(1)?;
        let shared = angles.rotate(&kv.narrow(1, rank, self.rotated_dim)?.contiguous()?.unsqueeze(1)?)?;
        let k = Tensor::cat(&[short, shared], D::Minus1)?; // (rows, 1, cached)
        let mixed = self.attend.forward(&q, New::Keys(&k), step)?.reshape((rows, heads, rank))?;
        // (heads, rows, kv_rank) by (heads, kv_rank, value_dim)
        let values = mixed.transpose(0, 1)?.contiguous()?.matmul(&self.values)?;
        self.o.forward(&values.transpose(0, 1)?.contiguous()?.flatten_from(1)?)
    }
}
