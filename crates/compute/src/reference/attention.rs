//! Grouped-query attention over the KV cache (<https://arxiv.org/abs/2305.13245>), for the spans of one step.
//!
//! Projections run for all spans at once; scores, softmax and the weighted sum run span by span, because each has a
//! cache of its own length. Instead of repeating keys and values for the query heads that share them, those heads'
//! queries are rows of one product: `// (kv_heads, group × tokens, head_dim)` by `(kv_heads, head_dim, cached)`. Decode
//! steps of short sequences on a CPU go another way ([`decode`]): there these products cost more to set
//! up than to compute.

use super::cache::Caches;
use super::decode;
use super::linear::{Linear, Shared};
use super::mask::{Mask, Masks};
use super::norm::Norm;
use super::rope::{Angles, Ropes};
use super::softmax::masked_softmax;
use super::weights::{Loader, Part};
use crate::LoadError;
use candle_core::{Result, Tensor};
use candle_nn::rotary_emb::rope_thd;
use gogrid_model::{AttentionSpec, MAX_SCORES, QkNorm, Span, tensors};

/// What all layers of a step share.
pub(crate) struct Step<'a> {
    pub(crate) spans: &'a [Span],
    /// Rows of all spans.
    pub(crate) rows: usize,
    /// One for each of the stage's position embeddings.
    pub(crate) angles: &'a [Angles],
    pub(crate) masks: &'a mut Masks,
    pub(crate) caches: &'a mut Caches,
}

/// One layer's attention.
#[derive(Debug)]
pub(crate) struct Attention {
    /// Index of the layer within the stage.
    index: usize,
    qkv: Shared,
    /// Of each head of q and k.
    norms: Option<(Norm, Norm)>,
    /// The position embedding among those of the stage.
    rope: Option<usize>,
    o: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Tokens that a token sees, itself included.
    window: usize,
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
        let interleaved = |heads: usize| spec.rope.as_ref().filter(|rope| rope.interleaved).map(|_| heads);
        let parts = [
            Part { interleaved_heads: interleaved(spec.heads), ..Part::new(&q, spec.qkv_bias) },
            Part { interleaved_heads: interleaved(spec.kv_heads), ..Part::new(&k, spec.qkv_bias) },
            Part::new(&v, spec.qkv_bias),
        ];
        let norms = match spec.qk_norm {
            QkNorm::None => None,
            QkNorm::Head => Some((loader.norm(&name("q_norm.weight"))?, loader.norm(&name("k_norm.weight"))?)),
        };
        Ok(Attention {
            index,
            qkv: loader.shared(&parts)?,
            norms,
            rope: spec.rope.as_ref().and_then(|rope| ropes.index(rope, spec.head_dim)),
            o: loader.linear(Part::new(&o, spec.o_bias))?,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            window: spec.window.unwrap_or(usize::MAX),
        })
    }

    /// `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn forward(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let [q, k, v] = self.qkv.forward(hidden)?.try_into().map_err(|_| candle_core::Error::msg("q, k and v"))?;
        let angles = self.rope.and_then(|rope| step.angles.get(rope));
        let rotate = |rows: Tensor, heads: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let rows = rows.reshape((step.rows, heads, self.head_dim))?;
            let rows = match norm {
                Some(norm) => norm.forward(&rows)?,
                None => rows,
            };
            match angles {
                Some(angles) => rope_thd(&rows.unsqueeze(0)?, &angles.cos, &angles.sin)?.squeeze(0),
                None => Ok(rows),
            }
        };
        let (q_norm, k_norm) = self.norms.as_ref().map(|(q, k)| (q, k)).unzip();
        let q = rotate(q, self.heads, q_norm)?; // (rows, heads, head_dim)
        let k = rotate(k, self.kv_heads, k_norm)?; // (rows, kv_heads, head_dim)
        let v = v.reshape((step.rows, self.kv_heads, self.head_dim))?;
        let all = step.spans;
        let mut mixed = Vec::with_capacity(all.len());
        let mut start = 0;
        let short = |span: &Span| decode::applies(&q, span.tokens, span.position + 1);
        for spans in all.chunk_by(|a, b| short(a) && short(b)) {
            let tokens = spans.iter().map(|span| span.tokens).sum();
            let rows = |tensor: &Tensor| tensor.narrow(0, start, tokens);
            let (q, k, v) = (rows(&q)?, rows(&k)?, rows(&v)?);
            mixed.push(match spans {
                [span] if !short(span) => self.span(span, &q, &k, &v, step)?,
                spans => self.decode(spans, &q, &k, &v, step.caches)?,
            });
            start += tokens;
        }
        let mixed = match mixed.as_slice() {
            [one] => one.clone(),
            several => Tensor::cat(several, 0)?,
        };
        self.o.forward(&mixed)
    }

    /// Attention of spans of one token each: q `// (spans, heads, head_dim)`, k and v `// (spans, kv_heads, head_dim)`;
    /// the result `// (spans, heads × head_dim)`.
    fn decode(&self, spans: &[Span], q: &Tensor, k: &Tensor, v: &Tensor, held: &mut Caches) -> Result<Tensor> {
        let mut caches = Vec::with_capacity(spans.len());
        for (row, span) in spans.iter().enumerate() {
            let by_head = |new: &Tensor| new.narrow(0, row, 1)?.reshape((self.kv_heads, 1, self.head_dim));
            caches.push(held.append(span.session, self.index, span.position, &by_head(k)?, &by_head(v)?)?);
        }
        decode::attention(q, &caches, 1.0 / (self.head_dim as f32).sqrt())
    }

    /// The first position that the span's first token sees: those before its window matter to none.
    fn first_seen(&self, span: &Span) -> usize {
        (span.position + 1).saturating_sub(self.window)
    }

    /// Attention of one span: q `// (tokens, heads, head_dim)`, k and v `// (tokens, kv_heads, head_dim)`; the result
    /// `// (tokens, heads × head_dim)`.
    fn span(&self, span: &Span, q: &Tensor, k: &Tensor, v: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let by_head = |new: &Tensor| new.transpose(0, 1)?.contiguous();
        let first = self.first_seen(span);
        let (keys, values) = step.caches.append(span.session, self.index, span.position, &by_head(k)?, &by_head(v)?)?;
        let cached = keys.dim(1)?;
        let tile = (MAX_SCORES / (self.heads * cached)).clamp(1, span.tokens);
        let mut tiles = Vec::with_capacity(span.tokens.div_ceil(tile));
        for start in (0..span.tokens).step_by(tile) {
            let tokens = tile.min(span.tokens - start);
            let position = span.position + start;
            // this tile sees positions low..high, counted from `first` on
            let low = (position + 1).saturating_sub(self.window) - first;
            let high = position + tokens - first;
            let keys = keys.narrow(1, low, high - low)?;
            let values = values.narrow(1, low, high - low)?;
            let q = q
                .narrow(0, start, tokens)?
                .reshape((tokens, self.kv_heads, group, self.head_dim))?
                .permute((1, 2, 0, 3))?
                .contiguous()?
                .reshape((self.kv_heads, group * tokens, self.head_dim))?;
            let scores = q.matmul(&keys.transpose(1, 2)?)?; // (kv_heads, group × tokens, high - low)
            let mask = Mask { tokens, first: position - (low + first), window: self.window };
            let weights = masked_softmax(scores, mask, step.masks, 1.0 / (self.head_dim as f32).sqrt())?;
            let mixed = weights
                .matmul(&values)? // (kv_heads, group × tokens, head_dim)
                .reshape((self.kv_heads, group, tokens, self.head_dim))?
                .permute((2, 0, 1, 3))?
                .reshape((tokens, self.heads * self.head_dim))?;
            tiles.push(mixed);
        }
        match tiles.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        }
    }
}
