//! Scores, softmax and weighted sum over the KV cache, for the spans of one step.
//!
//! They run span by span, because each has a cache of its own length. Instead of repeating keys and values for the query
//! heads that share them, those heads' queries are rows of one product: `// (kv_heads, group × tokens, key_dim)` by
//! `(kv_heads, key_dim, cached)`. Decode steps of short sequences on a CPU go another way ([`decode`]): there these
//! products cost more to set up than to compute.

use super::cache::Caches;
use super::decode;
use super::mask::{Mask, Masks};
use super::rope::Angles;
use super::softmax::{Scores, masked_softmax};
use candle_core::{Result, Tensor};
use gogrid_model::{MAX_SCORES, Span};

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

/// One layer's look at its cache.
#[derive(Debug)]
pub(super) struct Attend {
    /// Index of the layer within the stage.
    pub(super) index: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    /// Width of a query and a key of one head.
    pub(super) key_dim: usize,
    /// Width of a value of one head.
    pub(super) value_dim: usize,
    /// What scores are multiplied by.
    pub(super) scale: f32,
    /// A score of each head that belongs to no token; empty where there are none.
    pub(super) sinks: Vec<f32>,
    /// Tokens that a token sees, itself included.
    pub(super) window: usize,
}

impl Attend {
    /// q `// (rows, heads, key_dim)`, k `// (rows, kv_heads, key_dim)`, v `// (rows, kv_heads, value_dim)`, or none where
    /// keys begin with the values; the result `// (rows, heads × value_dim)`.
    pub(super) fn forward(&self, q: &Tensor, k: &Tensor, v: Option<&Tensor>, step: &mut Step<'_>) -> Result<Tensor> {
        let all = step.spans;
        let mut mixed = Vec::with_capacity(all.len());
        let mut start = 0;
        let short = |span: &Span| decode::applies(q, span.tokens, span.position + 1);
        for spans in all.chunk_by(|a, b| short(a) && short(b)) {
            let tokens = spans.iter().map(|span| span.tokens).sum();
            let rows = |tensor: &Tensor| tensor.narrow(0, start, tokens);
            let (q, k, v) = (rows(q)?, rows(k)?, v.map(rows).transpose()?);
            mixed.push(match spans {
                [span] if !short(span) => self.span(span, &q, &k, v.as_ref(), step)?,
                spans => self.decode(spans, &q, &k, v.as_ref(), step.caches)?,
            });
            start += tokens;
        }
        match mixed.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        }
    }

    /// Of spans of one token each.
    fn decode(&self, spans: &[Span], q: &Tensor, k: &Tensor, v: Option<&Tensor>, held: &mut Caches) -> Result<Tensor> {
        let mut caches = Vec::with_capacity(spans.len());
        for (row, span) in spans.iter().enumerate() {
            let by_head = |new: &Tensor| new.narrow(0, row, 1)?.reshape((self.kv_heads, 1, new.dim(2)?));
            let (keys, values) = (by_head(k)?, v.map(by_head).transpose()?);
            let seen = held.append(span.session, self.index, span.position, &keys, values.as_ref())?;
            caches.push(self.keys_and_values(seen)?);
        }
        decode::attention(q, &caches, self.scale, &self.sinks)
    }

    /// Where keys begin with the values, these are a view of those.
    fn keys_and_values(&self, (keys, values): (Tensor, Option<Tensor>)) -> Result<(Tensor, Tensor)> {
        let values = values.map_or_else(|| keys.narrow(2, 0, self.value_dim), Ok)?;
        Ok((keys, values))
    }

    /// The first position that the span's first token sees: those before its window matter to none.
    fn first_seen(&self, span: &Span) -> usize {
        (span.position + 1).saturating_sub(self.window)
    }

    /// Of one span of any length.
    fn span(&self, span: &Span, q: &Tensor, k: &Tensor, v: Option<&Tensor>, step: &mut Step<'_>) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let by_head = |new: &Tensor| new.transpose(0, 1)?.contiguous();
        let first = self.first_seen(span);
        let (keys, values) = (by_head(k)?, v.map(by_head).transpose()?);
        let seen = step.caches.append(span.session, self.index, span.position, &keys, values.as_ref())?;
        let (keys, values) = self.keys_and_values(seen)?;
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
            let values = if v.is_some() { values } else { values.contiguous()? };
            let q = q
                .narrow(0, start, tokens)?
                .reshape((tokens, self.kv_heads, group, self.key_dim))?
                .permute((1, 2, 0, 3))?
                .contiguous()?
                .reshape((self.kv_heads, group * tokens, self.key_dim))?;
            let scores = q.matmul(&keys.transpose(1, 2)?)?; // (kv_heads, group × tokens, high - low)
            let mask = Mask { tokens, first: position - (low + first), window: self.window };
            let weights = masked_softmax(scores, mask, step.masks, Scores { scale: self.scale, sinks: &self.sinks })?;
            let mixed = weights
                .matmul(&values)? // (kv_heads, group × tokens, value_dim)
                .reshape((self.kv_heads, group, tokens, self.value_dim))?
                .permute((2, 0, 1, 3))?
                .reshape((tokens, self.heads * self.value_dim))?;
            tiles.push(mixed);
        }
        match tiles.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        }
    }
}
