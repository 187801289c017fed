//! The KV cache: keys and values of every session's tokens, for each layer of a stage, under a hard budget of bytes.
//!
//! A session reserves what its longest sequence will take when it opens, so that it never runs out half-way. Memory
//! itself is taken as the sequence grows: each layer's buffers start at [`FIRST_TOKENS`] and grow by half, up to the
//! reservation. (A growing buffer exists twice while it is copied; that is one buffer of one layer at a time.)

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use gogrid_model::SessionKey;
use std::collections::HashMap;

/// Tokens that a session's first buffers hold: a short question and its answer.
const FIRST_TOKENS: usize = 128;
/// Buffers are multiples of so many tokens.
const BLOCK_TOKENS: usize = 64;

/// A session that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The session does not fit beside the others.
    #[error("the session needs {needed} bytes of KV cache, but {free} of {budget} are free")]
    OutOfBudget {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are free now.
        free: u64,
        /// Bytes of the whole budget.
        budget: u64,
    },
    /// There is a session of that key.
    #[error("session {0} is open already")]
    Exists(SessionKey),
    /// A session without tokens.
    #[error("a session needs room for at least one token")]
    Empty,
    /// The session could become longer than the model's context.
    #[error("a session of {capacity} tokens does not fit the context of {context} tokens")]
    TooLong {
        /// Tokens that it may reach.
        capacity: usize,
        /// Tokens of the model's context.
        context: usize,
    },
}

/// What the buffers of one layer look like.
#[derive(Debug, Clone)]
pub(crate) struct KvShape {
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
}

/// Keys and values of one session in one layer.
#[derive(Debug, Default)]
pub(crate) struct KvLayer {
    /// Keys and values, each `// (kv_heads, capacity, head_dim)`.
    buffers: Option<(Tensor, Tensor)>,
}

/// One session's part of the cache.
#[derive(Debug)]
pub(crate) struct KvSession {
    /// Tokens that it may reach.
    pub(crate) capacity: usize,
    /// Tokens that are cached in every layer.
    pub(crate) length: usize,
    layers: Vec<KvLayer>,
    reserved_bytes: u64,
}

/// The sessions of a stage.
#[derive(Debug)]
pub(crate) struct KvPool {
    shape: KvShape,
    layers: usize,
    context: usize,
    bytes_per_token: u64,
    budget: u64,
    used: u64,
    sessions: HashMap<SessionKey, KvSession>,
}

impl KvPool {
    /// An empty pool for a stage of so many layers of a model with that context, in tokens.
    pub(crate) fn new(shape: KvShape, layers: usize, context: usize, bytes_per_token: u64, budget: u64) -> Self {
        KvPool { shape, layers, context, bytes_per_token, budget, used: 0, sessions: HashMap::new() }
    }

    /// Bytes that a session of up to `capacity` tokens reserves.
    pub(crate) fn bytes(&self, capacity: usize) -> u64 {
        self.bytes_per_token.saturating_mul(capacity as u64)
    }

    /// Reserves room for a session of up to `capacity` tokens.
    pub(crate) fn open(&mut self, session: SessionKey, capacity: usize) -> Result<(), KvError> {
        if self.sessions.contains_key(&session) {
            return Err(KvError::Exists(session));
        }
        if capacity == 0 {
            return Err(KvError::Empty);
        }
        if capacity > self.context {
            return Err(KvError::TooLong { capacity, context: self.context });
        }
        let needed = self.bytes(capacity);
        let free = self.budget.saturating_sub(self.used);
        if needed > free {
            return Err(KvError::OutOfBudget { needed, free, budget: self.budget });
        }
        self.used += needed;
        let layers = (0..self.layers).map(|_| KvLayer::default()).collect();
        self.sessions.insert(session, KvSession { capacity, length: 0, layers, reserved_bytes: needed });
        Ok(())
    }

    /// Frees a session; false if there is none of that key.
    pub(crate) fn close(&mut self, session: SessionKey) -> bool {
        let Some(closed) = self.sessions.remove(&session) else { return false };
        self.used -= closed.reserved_bytes;
        true
    }

    /// Goes on with the first `keep` tokens of session `from` as session `to`. False, and nothing changes, where `from`
    /// has fewer or cannot reach `capacity` tokens, or `to` is open.
    pub(crate) fn resume(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> bool {
        let fits = |session: &KvSession| session.length >= keep && session.capacity >= capacity;
        if self.sessions.contains_key(&to) || !self.sessions.get(&from).is_some_and(fits) {
            return false;
        }
        if let Some(session) = self.sessions.remove(&from) {
            self.sessions.insert(to, KvSession { length: keep, ..session });
        }
        true
    }

    pub(crate) fn clear(&mut self) {
        self.sessions.clear();
        self.used = 0;
    }

    pub(crate) fn get(&self, session: SessionKey) -> Option<&KvSession> {
        self.sessions.get(&session)
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// Writes the keys and values of new tokens, each `// (kv_heads, tokens, head_dim)`, behind the `length` tokens
    /// that the session has; gives the keys and values of tokens `from..length + tokens`, as views of the buffers.
    /// The session's length stays until [`KvPool::commit`], so that a step that fails changes nothing.
    pub(crate) fn append(
        &mut self,
        session: SessionKey,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
        from: usize,
    ) -> CandleResult<(Tensor, Tensor)> {
        let Some(found) = self.sessions.get_mut(&session) else {
            candle_core::bail!("session {session} is not open");
        };
        let (length, end) = (found.length, found.length + keys.dim(1)?);
        let buffers = found.layers[layer].grown(end, found.capacity, &self.shape)?;
        let view = |buffer: &Tensor, new: &Tensor| {
            buffer.slice_set(new, 1, length)?;
            buffer.narrow(1, from, end - from)
        };
        Ok((view(&buffers.0, keys)?, view(&buffers.1, values)?))
    }

    /// Takes what was appended to every layer as cached.
    pub(crate) fn commit(&mut self, session: SessionKey, tokens: usize) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.length += tokens;
        }
    }
}

impl KvLayer {
    /// The buffers, with room for `needed` tokens.
    fn grown(&mut self, needed: usize, most: usize, shape: &KvShape) -> CandleResult<&(Tensor, Tensor)> {
        let held = match &self.buffers {
            Some((keys, _)) => keys.dim(1)?,
            None => 0,
        };
        if needed > held || self.buffers.is_none() {
            let wanted = needed.max(held + held / 2).max(FIRST_TOKENS).next_multiple_of(BLOCK_TOKENS);
            let size = (shape.kv_heads, wanted.min(most).max(needed), shape.head_dim);
            let grow = |old: Option<&Tensor>| -> CandleResult<Tensor> {
                let new = Tensor::zeros(size, shape.dtype, &shape.device)?;
                if let Some(old) = old {
                    new.slice_set(old, 1, 0)?;
                }
                Ok(new)
            };
            let (keys, values) = self.buffers.take().unzip();
            let keys = grow(keys.as_ref())?;
            self.buffers = Some((keys, grow(values.as_ref())?));
        }
        match &self.buffers {
            Some(buffers) => Ok(buffers),
            None => candle_core::bail!("no KV buffers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionKey = SessionKey(7);

    fn pool(budget: u64) -> KvPool {
        let shape = KvShape { kv_heads: 2, head_dim: 4, dtype: DType::F32, device: Device::Cpu };
        KvPool::new(shape, 1, 1000, 64, budget)
    }

    fn rows(tokens: usize, value: f32) -> Tensor {
        Tensor::full(value, (2, tokens, 4), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_session_that_does_not_fit_is_refused_and_others_stay() {
        let mut pool = pool(64 * 100);
        pool.open(SESSION, 60).unwrap();
        let refused = pool.open(SessionKey(8), 41).unwrap_err();
        assert_eq!(refused, KvError::OutOfBudget { needed: 64 * 41, free: 64 * 40, budget: 6400 });
        assert_eq!(pool.open(SESSION, 1), Err(KvError::Exists(SESSION)));
        assert_eq!(pool.open(SessionKey(9), 0), Err(KvError::Empty));
        assert_eq!(pool.open(SessionKey(9), 1001), Err(KvError::TooLong { capacity: 1001, context: 1000 }));
        assert_eq!((pool.len(), pool.used()), (1, 64 * 60));
        assert!(pool.close(SESSION));
        assert!(!pool.close(SESSION));
        assert_eq!((pool.len(), pool.used()), (0, 0));
        pool.open(SessionKey(8), 100).unwrap();
    }

    #[test]
    fn buffers_grow_and_keep_what_they_hold() {
        let mut pool = pool(64 * 1000);
        pool.open(SESSION, 1000).unwrap();
        for step in 0..10 {
            let new = rows(70, step as f32);
            let (keys, _) = pool.append(SESSION, 0, &new, &new, 0).unwrap();
            pool.commit(SESSION, 70);
            assert_eq!(keys.dims(), [2, 70 * (step + 1), 4]);
            let first: Vec<f32> = keys.narrow(2, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let expected: Vec<f32> = (0..2).flat_map(|_| (0..70 * (step + 1)).map(|row| (row / 70) as f32)).collect();
            assert_eq!(first, expected);
        }
        let (keys, _) = pool.append(SESSION, 0, &rows(1, 99.0), &rows(1, 99.0), 695).unwrap();
        assert_eq!(keys.dims(), [2, 6, 4]);
    }

    #[test]
    fn a_session_goes_on_as_another_from_where_it_is_wanted() {
        let mut pool = pool(64 * 100);
        pool.open(SESSION, 10).unwrap();
        pool.append(SESSION, 0, &rows(5, 1.0), &rows(5, 1.0), 0).unwrap();
        pool.commit(SESSION, 5);
        let to = SessionKey(8);
        assert!(!pool.resume(SESSION, to, 10, 6), "it has fewer tokens");
        assert!(!pool.resume(SESSION, to, 11, 3), "it cannot become so long");
        assert!(!pool.resume(SessionKey(9), to, 10, 0), "there is none");
        assert!(pool.resume(SESSION, to, 10, 3));
        assert!(!pool.resume(to, to, 10, 3), "it would take its own place");
        assert_eq!((pool.len(), pool.used(), pool.get(SESSION).is_none()), (1, 64 * 10, true));
        let (keys, _) = pool.append(to, 0, &rows(1, 2.0), &rows(1, 2.0), 0).unwrap();
        assert_eq!(
            keys.flatten_all().unwrap().to_vec1::<f32>().unwrap()[..16],
            [[1.0; 12].as_slice(), &[2.0; 4]].concat()
        );
    }

    #[test]
    fn what_is_not_committed_is_written_over() {
        let mut pool = pool(64 * 1000);
        pool.open(SESSION, 10).unwrap();
        pool.append(SESSION, 0, &rows(3, 1.0), &rows(3, 1.0), 0).unwrap();
        let (keys, _) = pool.append(SESSION, 0, &rows(2, 2.0), &rows(2, 2.0), 0).unwrap();
        assert_eq!(keys.dims(), [2, 2, 4]);
        assert_eq!(keys.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [2.0; 16]);
    }
}
