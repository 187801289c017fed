//! Scores, softmax and weighted sum over the KV cache, for the spans of one step.
//!
//! They run span by span, because each has a cache of its own length. Instead of repeating keys and values for the query
//! heads that share them, those heads' queries are rows of one product: `// (kv_heads, group × tokens, key_dim)` by
//! `(kv_heads, key_dim, cached)`. Decode steps of short sequences on a CPU go another way ([`decode`]): there these
//! products cost more to set up than to compute.

use super::cache::Caches;
use super::decode;
use super::mask::{Mask, Masks};
use super::recurrence::Recurrences;
use super::rope::Angles;
use super::softmax::{Scores, masked_softmax};
use candle_core::{Result, Tensor};
use gogrid_model::{MAX_SCORES, Span};
use std::collections::BTreeMap;

/// What all layers of a step share.
pub(crate) struct Step<'a> {
    pub(crate) spans: &'a [Span],
    /// Rows of all spans.
    pub(crate) rows: usize,
    /// One for each of the stage's position embeddings.
    pub(crate) angles: &'a [Angles],
    pub(crate) masks: &'a mut Masks,
    pub(crate) caches: &'a mut Caches,
    /// Keys and values of the step's rows that go on to the next machine, by layer.
    pub(crate) kept: &'a mut Kept,
    pub(crate) recurrences: &'a mut Recurrences,
}

/// Keys and values of a step's rows, each `// (rows, kv_heads, head_dim)`, by layer.
pub(crate) type Kept = BTreeMap<usize, (Tensor, Tensor)>;

/// What a step adds to a cache.
#[derive(Clone, Copy)]
pub(super) enum New<'a> {
    /// Keys `// (rows, kv_heads, key_dim)` and values `// (rows, kv_heads, value_dim)`.
    Both(&'a Tensor, &'a Tensor),
    /// Keys that begin with the values.
    Keys(&'a Tensor),
    /// Nothing: an earlier layer has written them.
    Nothing,
}

impl New<'_> {
    /// Those of some rows, by head: `// (kv_heads, rows, width)`.
    fn by_head(self, start: usize, rows: usize) -> Result<Option<(Tensor, Option<Tensor>)>> {
        let by_head = |new: &Tensor| new.narrow(0, start, rows)?.transpose(0, 1)?.contiguous();
        Ok(match self {
            New::Both(keys, values) => Some((by_head(keys)?, Some(by_head(values)?))),
            New::Keys(keys) => Some((by_head(keys)?, None)),
            New::Nothing => None,
        })
    }
}

/// One layer's look at its cache.
#[derive(Debug)]
pub(super) struct Attend {
    /// The place of its cache in the stage.
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
    /// q `// (rows, heads, key_dim)`; the result `// (rows, heads × value_dim)`.
    pub(super) fn forward(&self, q: &Tensor, new: New<'_>, step: &mut Step<'_>) -> Result<Tensor> {
        let all = step.spans;
        let mut mixed = Vec::with_capacity(all.len());
        let mut start = 0;
        let short = |span: &Span| decode::applies(q, span.tokens, span.position + 1);
        for spans in all.chunk_by(|a, b| short(a) && short(b)) {
            let tokens = spans.iter().map(|span| span.tokens).sum();
            let rows = q.narrow(0, start, tokens)?;
            let mut seen = Vec::with_capacity(spans.len());
            let mut at = start;
            for span in spans {
                seen.push(self.write(span, new, at, step.caches)?);
                at += span.tokens;
            }
            mixed.push(match (spans, seen.as_slice()) {
                ([span], [(keys, values)]) if !short(span) => self.span(span, &rows, keys, values, step)?,
                _ => decode::attention(&rows, &seen, self.scale, &self.sinks)?,
            });
            start += tokens;
        }
        match mixed.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        }
    }

    /// Writes what is new of a span, whose rows begin at `start`; gives the keys and values that it sees.
    fn write(&self, span: &Span, new: New<'_>, start: usize, caches: &mut Caches) -> Result<(Tensor, Tensor)> {
        let (session, position) = (span.session, span.position);
        self.keys_and_values(match new.by_head(start, span.tokens)? {
            Some((keys, values)) => caches.append(session, self.index, position, &keys, values.as_ref())?,
            None => caches.seen(session, self.index, position, position + span.tokens)?,
        })
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

    /// Of one span of any length: q `// (tokens, heads, key_dim)`, and the keys and values that it sees.
    fn span(&self, span: &Span, q: &Tensor, keys: &Tensor, values: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let group = self.heads / self.kv_heads;
        let first = self.first_seen(span);
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
            // A view of keys is not what every device multiplies with.
            let values = if self.value_dim == self.key_dim { values } else { values.contiguous()? };
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
