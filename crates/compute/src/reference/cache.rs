//! Keys and values of every session's tokens, for each layer of a stage.
//!
//! Memory is taken as a sequence grows: each layer's buffers start at [`FIRST_TOKENS`] and grow by half, up to what the
//! sequence reserved. A windowed layer's buffers hold the window and one step's tokens: when they are full, what the
//! next token still sees moves to the front. (A buffer exists twice while it is copied; that is one buffer of one layer
//! at a time.)

use candle_core::{DType, Device, Result, Tensor};
use gogrid_model::{LayerState, SequenceSizes, SessionKey};
use std::collections::HashMap;

/// Tokens that a session's first buffers hold: a short question and its answer.
const FIRST_TOKENS: usize = 128;
/// Buffers hold a multiple of this many tokens.
const BLOCK_TOKENS: usize = 64;

/// What the buffers of one layer look like.
#[derive(Debug, Clone)]
pub(super) struct CacheShape {
    pub(super) kv_heads: usize,
    pub(super) key_dim: usize,
    /// `None` where keys begin with the values.
    pub(super) value_dim: Option<usize>,
    pub(super) dtype: DType,
    pub(super) device: Device,
}

/// Keys and values of one session in one layer.
#[derive(Debug)]
struct LayerCache {
    /// The most tokens that are held.
    most: usize,
    /// Tokens that a token sees, itself included.
    window: usize,
    /// The position of the first row.
    start: usize,
    /// Keys `// (kv_heads, rows, key_dim)` and values `// (kv_heads, rows, value_dim)`.
    buffers: Option<(Tensor, Option<Tensor>)>,
}

/// The caches of a stage's sessions.
#[derive(Debug)]
pub(super) struct Caches {
    /// Of each layer; `None` for a recurrence.
    shapes: Vec<Option<CacheShape>>,
    sizes: SequenceSizes,
    sessions: HashMap<SessionKey, Vec<LayerCache>>,
}

impl Caches {
    /// No session yet.
    pub(super) fn new(shapes: Vec<Option<CacheShape>>, sizes: SequenceSizes) -> Self {
        Caches { shapes, sizes, sessions: HashMap::new() }
    }

    /// Takes in a session of up to `capacity` tokens; its memory is taken as it grows.
    pub(super) fn open(&mut self, session: SessionKey, capacity: usize) {
        let layers = self.empty(capacity);
        self.sessions.insert(session, layers);
    }

    fn empty(&self, capacity: usize) -> Vec<LayerCache> {
        let layer = |(index, state): (usize, &LayerState)| LayerCache {
            most: self.most(index, capacity),
            window: match *state {
                LayerState::WindowedCache { window, .. } => window,
                _ => usize::MAX,
            },
            start: 0,
            buffers: None,
        };
        self.sizes.states().iter().enumerate().map(layer).collect()
    }

    fn most(&self, layer: usize, capacity: usize) -> usize {
        self.sizes.held_tokens(layer, capacity).unwrap_or(capacity)
    }

    pub(super) fn close(&mut self, session: SessionKey) {
        self.sessions.remove(&session);
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }

    /// Session `from` goes on as `to`, which may reach `capacity` tokens.
    pub(super) fn reuse(&mut self, from: SessionKey, to: SessionKey, capacity: usize) {
        let Some(mut layers) = self.sessions.remove(&from) else { return };
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.most = layer.most.max(self.most(index, capacity));
        }
        self.sessions.insert(to, layers);
    }

    /// Opens `to`, of up to `capacity` tokens, with copies of the first `keep` tokens of another session.
    pub(super) fn fork(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> Result<()> {
        let mut layers = self.empty(capacity);
        for ((layer, source), shape) in
            layers.iter_mut().zip(self.sessions.get(&from).into_iter().flatten()).zip(&self.shapes)
        {
            let Some(shape) = shape else { continue };
            layer.start = source.start;
            let kept = keep - source.start;
            layer.buffers = source.copied(keep, layer.rows_for(kept).max(kept), shape)?;
        }
        self.sessions.insert(to, layers);
        Ok(())
    }

    /// Moves a session of `length` tokens to buffers that hold no more than these.
    pub(super) fn trim(&mut self, session: SessionKey, length: usize) -> Result<()> {
        let Some(mut layers) = self.sessions.remove(&session) else { return Ok(()) };
        for (index, (layer, shape)) in layers.iter_mut().zip(&self.shapes).enumerate() {
            let Some(shape) = shape else { continue };
            layer.most = self.most(index, length);
            layer.buffers = layer.copied(length, length - layer.start, shape)?;
        }
        self.sessions.insert(session, layers);
        Ok(())
    }

    /// The first position from which the session can go on: the one whose window begins with the first tokens that are
    /// held in every layer.
    pub(super) fn first_position(&self, session: SessionKey) -> usize {
        let layers = self.sessions.get(&session).into_iter().flatten();
        let first = |layer: &LayerCache| match layer.start {
            0 => 0,
            start => start + layer.window - 1,
        };
        layers.map(first).max().unwrap_or(0)
    }

    /// Writes the keys and values of tokens from `position` on, `// (kv_heads, tokens, width)`; gives those of
    /// all that the first of the tokens sees and of the tokens themselves, as views of the buffers, with the position
    /// of the first.
    ///
    /// Tokens before the window of the first new token may be dropped, even if the step is never completed: no step that
    /// begins at `position` needs them.
    pub(super) fn append(
        &mut self,
        session: SessionKey,
        layer: usize,
        position: usize,
        keys: &Tensor,
        values: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let Some(layers) = self.sessions.get_mut(&session) else {
            candle_core::bail!("session {session} is not open");
        };
        let Some(shape) = &self.shapes[layer] else { candle_core::bail!("the layer is a recurrence") };
        layers[layer].append(position, keys, values, shape)
    }

    /// The keys and values of all that a token at `position` sees and of the tokens up to `end`, which are written.
    pub(super) fn seen(
        &self,
        session: SessionKey,
        layer: usize,
        position: usize,
        end: usize,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let layer = self.sessions.get(&session).and_then(|layers| layers.get(layer));
        let Some((layer, (keys, values))) = layer.and_then(|layer| Some((layer, layer.buffers.as_ref()?))) else {
            candle_core::bail!("session {session} has no keys to share");
        };
        let first = (position + 1).saturating_sub(layer.window);
        let view = |buffer: &Tensor| buffer.narrow(1, first - layer.start, end - first);
        Ok((view(keys)?, values.as_ref().map(view).transpose()?))
    }
}

impl LayerCache {
    fn append(
        &mut self,
        position: usize,
        keys: &Tensor,
        values: Option<&Tensor>,
        shape: &CacheShape,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let first_seen = (position + 1).saturating_sub(self.window);
        let end = position + keys.dim(1)?;
        if end - self.start > self.most {
            self.move_to(first_seen, position, end, shape)?;
        }
        let (start, buffers) = (self.start, self.grown(end - self.start, shape)?);
        let view = |buffer: &Tensor, new: &Tensor| {
            buffer.slice_set(new, 1, position - start)?;
            buffer.narrow(1, first_seen - start, end - first_seen)
        };
        let values = buffers.1.as_ref().zip(values).map(|(buffer, new)| view(buffer, new)).transpose()?;
        Ok((view(&buffers.0, keys)?, values))
    }

    /// Drops the tokens before `first` and keeps those up to `position`, in buffers that hold tokens up to `end`.
    fn move_to(&mut self, first: usize, position: usize, end: usize, shape: &CacheShape) -> Result<()> {
        let Some((keys, values)) = self.buffers.take() else { candle_core::bail!("the step is longer than the cache") };
        let (skipped, kept) = (first - self.start, position - first);
        let moved = |old: Tensor| -> Result<Tensor> {
            let size = (shape.kv_heads, self.most.max(end - first), old.dim(2)?);
            let new = Tensor::zeros(size, shape.dtype, &shape.device)?;
            if kept > 0 {
                new.slice_set(&old.narrow(1, skipped, kept)?.contiguous()?, 1, 0)?;
            }
            Ok(new)
        };
        self.buffers = Some((moved(keys)?, values.map(moved).transpose()?));
        self.start = first;
        Ok(())
    }

    /// Copies of the tokens up to position `end`, in buffers of that many rows.
    fn copied(&self, end: usize, rows: usize, shape: &CacheShape) -> Result<Option<(Tensor, Option<Tensor>)>> {
        let Some((keys, values)) = self.buffers.as_ref().filter(|_| end > self.start) else { return Ok(None) };
        let copy = |old: &Tensor| -> Result<Tensor> {
            let new = Tensor::zeros((shape.kv_heads, rows, old.dim(2)?), shape.dtype, &shape.device)?;
            new.slice_set(&old.narrow(1, 0, end - self.start)?.contiguous()?, 1, 0)?;
            Ok(new)
        };
        Ok(Some((copy(keys)?, values.as_ref().map(copy).transpose()?)))
    }

    /// Rows of the buffers for that many tokens, with some for further ones.
    fn rows_for(&self, tokens: usize) -> usize {
        tokens.max(FIRST_TOKENS).next_multiple_of(BLOCK_TOKENS).min(self.most)
    }

    /// The buffers, of at least `needed` tokens.
    fn grown(&mut self, needed: usize, shape: &CacheShape) -> Result<&(Tensor, Option<Tensor>)> {
        let held = match &self.buffers {
            Some((keys, _)) => keys.dim(1)?,
            None => 0,
        };
        if needed > held || self.buffers.is_none() {
            let rows = self.rows_for(needed.max(held + held / 2)).max(needed);
            let grow = |old: Option<Tensor>, width: usize| -> Result<Tensor> {
                let new = Tensor::zeros((shape.kv_heads, rows, width), shape.dtype, &shape.device)?;
                if let Some(old) = old {
                    new.slice_set(&old, 1, 0)?;
                }
                Ok(new)
            };
            let (keys, values) = self.buffers.take().unzip();
            let keys = grow(keys, shape.key_dim)?;
            let values = shape.value_dim.map(|width| grow(values.flatten(), width)).transpose()?;
            self.buffers = Some((keys, values));
        }
        match &self.buffers {
            Some(buffers) => Ok(buffers),
            None => candle_core::bail!("no buffers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::FloatType;

    const SESSION: SessionKey = SessionKey(7);

    fn caches(window: Option<usize>, chunk: usize) -> Caches {
        let shape = CacheShape { kv_heads: 2, key_dim: 4, value_dim: Some(4), dtype: DType::F32, device: Device::Cpu };
        let state = match window {
            None => LayerState::Cache { elements: 16 },
            Some(window) => LayerState::WindowedCache { elements: 16, window },
        };
        Caches::new(vec![Some(shape)], SequenceSizes::new([state], FloatType::F32, chunk))
    }

    /// Keys of tokens whose elements are their positions.
    fn rows(position: usize, tokens: usize) -> Tensor {
        let values: Vec<f32> =
            (0..2).flat_map(|_| (position..position + tokens).flat_map(|at| [at as f32; 4])).collect();
        Tensor::from_vec(values, (2, tokens, 4), &Device::Cpu).unwrap()
    }

    /// The positions of what is seen, by its elements; those of both heads are the same.
    fn append(caches: &mut Caches, position: usize, tokens: usize) -> Vec<usize> {
        let new = rows(position, tokens);
        let (keys, values) = caches.append(SESSION, 0, position, &new, Some(&new)).unwrap();
        let values = values.unwrap();
        let seen = |tensor: &Tensor, head: usize| -> Vec<usize> {
            let first = tensor.get(head).unwrap().narrow(1, 0, 1).unwrap().flatten_all().unwrap();
            first.to_vec1::<f32>().unwrap().into_iter().map(|at| at as usize).collect()
        };
        let all = [seen(&keys, 0), seen(&keys, 1), seen(&values, 0), seen(&values, 1)];
        assert!(all.iter().all(|other| *other == all[0]));
        all.into_iter().next().unwrap()
    }

    fn held(caches: &Caches) -> usize {
        caches.sessions[&SESSION][0].buffers.as_ref().unwrap().0.dim(1).unwrap()
    }

    #[test]
    fn buffers_grow_and_keep_what_they_hold() {
        let mut caches = caches(None, 64);
        caches.open(SESSION, 1000);
        for position in (0..700).step_by(70) {
            assert_eq!(append(&mut caches, position, 70), (0..position + 70).collect::<Vec<_>>());
        }
        assert!(held(&caches) <= 1000);
        assert_eq!(caches.first_position(SESSION), 0);
    }

    #[test]
    fn a_windowed_cache_holds_its_window_and_shows_all_of_it() {
        let (window, chunk) = (100, 30);
        let mut caches = caches(Some(window), chunk);
        caches.open(SESSION, 5000);
        let mut position = 0;
        for tokens in [30usize, 7, 1, 30].into_iter().cycle().take(300) {
            let seen = append(&mut caches, position, tokens);
            let first = (position + 1usize).saturating_sub(window);
            assert_eq!(seen, (first..position + tokens).collect::<Vec<_>>());
            position += tokens;
            assert!(held(&caches) <= window + 64, "{}", held(&caches));
        }
        assert!(position > 4000);
    }

    #[test]
    fn a_copy_goes_on_beside_its_source() {
        for window in [None, Some(100)] {
            let mut caches = caches(window, 30);
            let (source, copy) = (SessionKey(1), SESSION);
            caches.open(copy, 300);
            for position in (0..240).step_by(30) {
                append(&mut caches, position, 30);
            }
            caches.reuse(copy, source, 300);
            caches.trim(source, 240).unwrap();
            let trimmed = caches.sessions[&source][0].buffers.as_ref().unwrap().0.dim(1).unwrap();
            assert!(trimmed <= window.map_or(240, |window| window + 64), "{trimmed}");
            let keep = caches.first_position(source).max(200);
            caches.fork(source, copy, 900, keep).unwrap();
            for position in [keep, keep + 30, keep + 60] {
                let first = (position + 1usize).saturating_sub(window.unwrap_or(usize::MAX));
                assert_eq!(append(&mut caches, position, 30), (first..position + 30).collect::<Vec<_>>());
            }
            caches.reuse(source, copy, 900);
            let first = 241usize.saturating_sub(window.unwrap_or(usize::MAX));
            assert_eq!(append(&mut caches, 240, 30), (first..270).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_windowed_cache_goes_on_from_where_its_window_is_still_held() {
        let mut caches = caches(Some(10), 8);
        caches.open(SESSION, 500);
        append(&mut caches, 0, 8);
        assert_eq!(caches.first_position(SESSION), 0);
        for position in 8..300 {
            append(&mut caches, position, 1);
        }
        let first = caches.first_position(SESSION);
        assert!((300 - 64..300).contains(&first), "{first}");
        // From there on every token sees what it saw before.
        assert_eq!(append(&mut caches, first, 8), (first - 9..first + 8).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_dropped_step_wrote_is_written_over() {
        let mut caches = caches(Some(4), 8);
        caches.open(SESSION, 300);
        for position in (0..200).step_by(8) {
            let expected = (position + 1usize).saturating_sub(4)..position + 8;
            for _ in 0..3 {
                assert_eq!(append(&mut caches, position, 8), expected.clone().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_recurrence_takes_no_cache() {
        let recurrent = LayerState::Recurrent { tail: 8, matrix: 64 };
        let mut caches = Caches::new(vec![None], SequenceSizes::new([recurrent], FloatType::F32, 8));
        caches.open(SESSION, 100);
        assert!(caches.append(SESSION, 0, 0, &rows(0, 1), None).is_err());
        assert_eq!(caches.first_position(SESSION), 0);
    }
}
