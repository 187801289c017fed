//! Sequences: each has the caches of all layers in one piece of memory, as large as its longest will be, and a place in
//! the table from which kernels learn where its caches are. So a captured graph serves whatever sequences a step has.

use super::driver::{Gpu, GpuError, Grid, Memory};
use super::kernels::{Cache, MoveArgs, THREADS};
use gogrid_model::{SequenceSizes, SessionKey};
use std::collections::HashMap;
use std::mem::size_of;

/// Places of the table at first; it doubles when they are taken.
const FIRST_PLACES: usize = 64;
/// Bytes of an element of a cache: f16.
const ELEMENT: usize = 2;

/// What a layer keeps of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerShape {
    pub(super) kv_heads: usize,
    pub(super) dim: usize,
    /// Tokens that a token sees; `None`: all.
    pub(super) window: Option<usize>,
}

impl LayerShape {
    /// Bytes of the keys of that many tokens, and of their values.
    fn half(&self, tokens: usize) -> usize {
        tokens * self.kv_heads * self.dim * ELEMENT
    }
}

/// One sequence.
#[derive(Debug)]
struct Session {
    place: usize,
    /// The caches; `None` if the memory could not be had.
    memory: Option<Memory>,
    /// Where each layer's keys are, where its values are, and how many tokens it holds.
    caches: Vec<Cache>,
    /// The first position that each layer was given.
    first: Vec<usize>,
    /// One past the highest position that was written.
    written: usize,
}

impl Session {
    /// The first position that a layer still holds.
    fn start(&self, layer: usize) -> usize {
        self.first[layer].max(self.written.saturating_sub(self.caches[layer].held as usize))
    }
}

/// All sequences of a stage.
#[derive(Debug)]
pub(super) struct Sessions {
    sizes: SequenceSizes,
    layers: Vec<LayerShape>,
    open: HashMap<SessionKey, Session>,
    free: Vec<usize>,
    places: usize,
    table: Memory,
}

impl Sessions {
    /// None yet, of a stage with these layers.
    pub(super) fn new(gpu: &Gpu, sizes: SequenceSizes, layers: Vec<LayerShape>) -> Result<Self, GpuError> {
        let table = gpu.zeros(FIRST_PLACES * layers.len().max(1) * size_of::<Cache>())?;
        let free = (0..FIRST_PLACES).rev().collect();
        Ok(Sessions { sizes, layers, open: HashMap::new(), free, places: FIRST_PLACES, table })
    }

    /// The table's address. It changes when the table grows.
    pub(super) fn table(&self) -> u64 {
        self.table.at()
    }

    /// Takes a sequence in. If its memory cannot be had, [`Sessions::place`] says so.
    pub(super) fn open(&mut self, gpu: &Gpu, session: SessionKey, capacity: usize) {
        match self.made(gpu, capacity) {
            Ok(made) => {
                self.open.insert(session, made);
            }
            Err(error) => {
                tracing::warn!(%session, error = &error as &dyn std::error::Error, "no memory for a session's caches");
            }
        }
    }

    /// Tokens that each layer holds of a sequence of up to `capacity`.
    fn held(&self, capacity: usize) -> impl Iterator<Item = usize> {
        (0..self.layers.len()).map(move |layer| self.sizes.held_tokens(layer, capacity).unwrap_or(capacity))
    }

    /// A sequence of up to `capacity` tokens without any.
    fn made(&mut self, gpu: &Gpu, capacity: usize) -> Result<Session, GpuError> {
        let bytes: usize = self.held(capacity).zip(&self.layers).map(|(held, layer)| 2 * layer.half(held)).sum();
        let memory = gpu.allocate(bytes)?;
        if self.free.is_empty() {
            self.grow(gpu)?;
        }
        let mut at = memory.at();
        let caches: Vec<Cache> = self
            .held(capacity)
            .zip(&self.layers)
            .map(|(held, layer)| {
                let half = layer.half(held) as u64;
                at += 2 * half;
                Cache { keys: at - 2 * half, values: at - half, held: held as i32, unused: 0 }
            })
            .collect();
        let place = self.free.pop().ok_or(GpuError::NoMemory)?;
        let row = self.layers.len() * size_of::<Cache>();
        if let Err(error) = gpu.write(&self.table, place * row, bytemuck::cast_slice(&caches)) {
            self.free.push(place);
            return Err(error);
        }
        Ok(Session { place, memory: Some(memory), first: vec![0; caches.len()], caches, written: 0 })
    }

    /// Twice as many places.
    fn grow(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        let mut bytes = vec![0; self.table.bytes()];
        gpu.read(&self.table, 0, &mut bytes)?;
        let larger = gpu.zeros(2 * bytes.len())?;
        gpu.write(&larger, 0, &bytes)?;
        self.table = larger;
        self.free.extend((self.places..2 * self.places).rev());
        self.places *= 2;
        Ok(())
    }

    pub(super) fn close(&mut self, session: SessionKey) {
        if let Some(closed) = self.open.remove(&session) {
            self.free.push(closed.place);
        }
    }

    pub(super) fn clear(&mut self) {
        let keys: Vec<_> = self.open.keys().copied().collect();
        keys.into_iter().for_each(|key| self.close(key));
    }

    /// Sequence `from` goes on as `to`, which may reach `capacity` tokens, behind its first `keep`. Where `from` was opened
    /// for less and there is no memory for more, [`Sessions::place`] says so.
    pub(super) fn reuse(&mut self, gpu: &Gpu, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) {
        let Some(known) = self.open.get(&from) else { return };
        let fits = known.caches.iter().zip(self.held(capacity)).all(|(cache, held)| held <= cache.held as usize);
        if !fits && let Err(error) = self.resize(gpu, from, capacity, keep) {
            tracing::warn!(%to, error = &error as &dyn std::error::Error, "no memory for a session's caches");
            self.close(from);
            return;
        }
        if let Some(session) = self.open.remove(&from) {
            self.open.insert(to, session);
        }
    }

    /// Opens `to`, of up to `capacity` tokens, with copies of the first `keep` tokens of `from`.
    pub(super) fn fork(
        &mut self,
        gpu: &Gpu,
        from: SessionKey,
        to: SessionKey,
        capacity: usize,
        keep: usize,
    ) -> Result<(), GpuError> {
        let copy = self.copied(gpu, from, capacity, keep)?;
        self.open.insert(to, copy);
        Ok(())
    }

    /// Moves the first `keep` tokens of a sequence to memory for up to `capacity`.
    pub(super) fn resize(
        &mut self,
        gpu: &Gpu,
        session: SessionKey,
        capacity: usize,
        keep: usize,
    ) -> Result<(), GpuError> {
        let copy = self.copied(gpu, session, capacity, keep)?;
        self.close(session);
        self.open.insert(session, copy);
        Ok(())
    }

    fn copied(&mut self, gpu: &Gpu, from: SessionKey, capacity: usize, keep: usize) -> Result<Session, GpuError> {
        let mut copy = self.made(gpu, capacity)?;
        let Some(source) = self.open.get(&from).filter(|source| source.memory.is_some()) else {
            self.free.push(copy.place);
            return Err(GpuError::NoMemory);
        };
        copy.written = keep;
        for (layer, shape) in self.layers.iter().enumerate() {
            let (old, new) = (source.caches[layer], copy.caches[layer]);
            let first = source.start(layer).max(keep.saturating_sub(new.held as usize));
            copy.first[layer] = first;
            if first >= keep {
                continue;
            }
            let args = MoveArgs {
                from_keys: old.keys,
                from_values: old.values,
                to_keys: new.keys,
                to_values: new.values,
                from_held: old.held,
                to_held: new.held,
                dim: shape.dim as i32,
                first: first as i32,
            };
            let blocks = ((keep - first) as u32, shape.kv_heads as u32, 1);
            if let Err(error) = gpu.launch("move_cache", Grid { blocks, threads: THREADS, shared: 0 }, &args) {
                self.free.push(copy.place);
                return Err(error);
            }
        }
        Ok(copy)
    }

    /// A sequence's place in the table.
    pub(super) fn place(&self, session: SessionKey) -> Result<usize, GpuError> {
        let session = self.open.get(&session).filter(|session| session.memory.is_some());
        session.map(|session| session.place).ok_or(GpuError::NoMemory)
    }

    /// Positions up to this one are about to be written.
    pub(super) fn write_to(&mut self, session: SessionKey, end: usize) {
        if let Some(session) = self.open.get_mut(&session) {
            session.written = session.written.max(end);
        }
    }

    /// The first position from which a sequence can go on: every layer still holds the window before it.
    pub(super) fn first_position(&self, session: SessionKey) -> usize {
        let Some(session) = self.open.get(&session) else { return 0 };
        let first = |(layer, shape): (usize, &LayerShape)| first_position(session.start(layer), shape.window);
        self.layers.iter().enumerate().map(first).max().unwrap_or(0)
    }
}

/// The first position from which a layer can go on that holds tokens from `start` on.
fn first_position(start: usize, window: Option<usize>) -> usize {
    match (start, window) {
        (0, _) | (_, None) => 0,
        (start, Some(window)) => start + window - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_goes_on_from_where_its_window_is_held() {
        assert_eq!(first_position(0, Some(10)), 0);
        assert_eq!(first_position(20, Some(10)), 29, "tokens from 20 on are held, and token 29 sees ten");
        assert_eq!(first_position(0, None), 0);
    }
}
