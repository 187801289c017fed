//! The states of recurrent layers of every session.
//!
//! A state cannot be cut back, so a step does not touch it: it computes the next state beside it, which counts from the
//! moment that the whole step is done ([`Recurrences::commit`]). A step that is dropped midway is computed again from the
//! same state. Beside the current state a layer keeps the one before the last token, which every stage can go back to
//! when its pipeline was lost between two stages, and the one at the last multiple of
//! [`SNAPSHOT_BLOCK`](gogrid_model::SNAPSHOT_BLOCK) before that.

use candle_core::{Result, Tensor};
use gogrid_model::{LayerState, SequenceSizes, SessionKey, snapshot_before};
use std::collections::HashMap;

/// What a recurrent layer knows of the tokens so far, in f32. Tensors are never changed, so a clone is a snapshot.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The last inputs of the convolution, `// (kernel - 1, channels)`.
    pub(super) tail: Tensor,
    /// The sum of the tokens, `// (heads, key_dim, value_dim)`; `None` for a layer that is a convolution alone.
    pub(super) matrix: Option<Tensor>,
}

/// A state and the number of tokens that it knows.
#[derive(Debug, Clone)]
struct Kept {
    position: usize,
    /// `None` at the start of the sequence: zeros.
    state: Option<State>,
}

/// One session's states in one layer.
#[derive(Debug, Clone)]
struct Recurrence {
    current: Kept,
    before_last: Option<Kept>,
    snapshot: Option<Kept>,
    /// What the step under way has computed: states behind ascending positions, the last one behind all its tokens.
    next: Vec<Kept>,
}

/// The recurrences of a stage's sessions.
#[derive(Debug)]
pub(super) struct Recurrences {
    /// Whether each layer of the stage is a recurrence.
    layers: Vec<bool>,
    sessions: HashMap<SessionKey, Vec<Option<Recurrence>>>,
}

/// What a step needs of a layer's state.
#[derive(Debug)]
pub(super) struct Begun {
    /// The state before the step's first token; `None` at the start of the sequence.
    pub(super) state: Option<State>,
    /// The numbers of tokens of the step behind which the state is wanted, ascending; the last is all of them.
    pub(super) wanted: Vec<usize>,
}

impl Recurrences {
    /// No session yet.
    pub(super) fn new(sizes: &SequenceSizes) -> Self {
        let layers = sizes.states().iter().map(|state| matches!(state, LayerState::Recurrent { .. })).collect();
        Recurrences { layers, sessions: HashMap::new() }
    }

    pub(super) fn open(&mut self, session: SessionKey) {
        let start = || Recurrence { current: Kept::start(), before_last: None, snapshot: None, next: Vec::new() };
        let layers = self.layers.iter().map(|recurrent| recurrent.then(start)).collect();
        self.sessions.insert(session, layers);
    }

    pub(super) fn close(&mut self, session: SessionKey) {
        self.sessions.remove(&session);
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }

    /// The positions from which all recurrences of the session can go on, ascending; `None` if the stage has none.
    pub(super) fn positions(&self, session: SessionKey) -> Option<Vec<usize>> {
        let mut layers = self.sessions.get(&session)?.iter().flatten();
        let mut common = layers.next()?.positions();
        layers.for_each(|layer| {
            let held = layer.positions();
            common.retain(|position| held.contains(position));
        });
        Some(common)
    }

    /// Goes on as `to` behind `keep` tokens, one of the session's positions.
    pub(super) fn reuse(&mut self, from: SessionKey, to: SessionKey, keep: usize) {
        let Some(mut layers) = self.sessions.remove(&from) else { return };
        layers.iter_mut().flatten().for_each(|layer| layer.cut(keep));
        self.sessions.insert(to, layers);
    }

    /// Opens `to` behind the first `keep` tokens of another session, one of its positions. States are shared until a step
    /// replaces them.
    pub(super) fn fork(&mut self, from: SessionKey, to: SessionKey, keep: usize) {
        let Some(layers) = self.sessions.get(&from) else { return };
        let mut layers = layers.clone();
        layers.iter_mut().flatten().for_each(|layer| layer.cut(keep));
        self.sessions.insert(to, layers);
    }

    /// Begins a layer's part of a step of `tokens` tokens. What an earlier step left unfinished is dropped.
    pub(super) fn begin(&mut self, session: SessionKey, layer: usize, position: usize, tokens: usize) -> Result<Begun> {
        let recurrence = self.layer(session, layer)?;
        if recurrence.current.position != position {
            candle_core::bail!("the state is that behind {} tokens, not {position}", recurrence.current.position);
        }
        Ok(recurrence.begin(tokens))
    }

    /// Takes in the states behind the numbers of tokens that [`Begun::wanted`] lists.
    pub(super) fn put(
        &mut self,
        session: SessionKey,
        layer: usize,
        wanted: &[usize],
        states: Vec<State>,
    ) -> Result<()> {
        let recurrence = self.layer(session, layer)?;
        let position = recurrence.current.position;
        let kept = |(tokens, state): (&usize, State)| Kept { position: position + tokens, state: Some(state) };
        recurrence.next = wanted.iter().zip(states).map(kept).collect();
        Ok(())
    }

    /// The step that brought the session to this length is done.
    pub(super) fn commit(&mut self, session: SessionKey, length: usize) -> Result<()> {
        for layer in self.sessions.get_mut(&session).into_iter().flatten().flatten() {
            layer.commit(length)?;
        }
        Ok(())
    }

    fn layer(&mut self, session: SessionKey, layer: usize) -> Result<&mut Recurrence> {
        let layers = self.sessions.get_mut(&session).and_then(|layers| layers.get_mut(layer));
        layers.and_then(Option::as_mut).ok_or_else(|| candle_core::Error::msg("the session has no such recurrence"))
    }
}

impl Kept {
    fn start() -> Self {
        Kept { position: 0, state: None }
    }
}

impl Recurrence {
    fn positions(&self) -> Vec<usize> {
        let kept = [&self.snapshot, &self.before_last].into_iter().flatten().chain([&self.current]);
        let mut positions: Vec<usize> = [0].into_iter().chain(kept.map(|kept| kept.position)).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    fn cut(&mut self, keep: usize) {
        self.next.clear();
        let held = [self.snapshot.take(), self.before_last.take()].into_iter().flatten();
        let current = std::mem::replace(&mut self.current, Kept::start());
        for kept in held.chain([current]) {
            if kept.position == keep {
                self.current = kept;
            } else if kept.position < keep && kept.position == snapshot_before(keep) {
                self.snapshot = Some(kept);
            }
        }
    }

    fn begin(&mut self, tokens: usize) -> Begun {
        // What the sequence will not need behind this step gives way to what is computed now, so that there is memory.
        self.next.clear();
        let (position, end) = (self.current.position, self.current.position + tokens);
        let snapshot = snapshot_before(end - 1);
        if let Some(kept) = self.before_last.take()
            && kept.position == snapshot
        {
            self.snapshot = Some(kept);
        }
        self.snapshot.take_if(|kept| kept.position != snapshot);
        let mut wanted: Vec<usize> =
            [snapshot, end - 1].into_iter().filter_map(|at| at.checked_sub(position)).collect();
        wanted.retain(|count| *count > 0);
        wanted.push(tokens);
        wanted.dedup();
        Begun { state: self.current.state.clone(), wanted }
    }

    fn commit(&mut self, length: usize) -> Result<()> {
        if self.next.last().is_none_or(|last| last.position != length) {
            candle_core::bail!("no state behind {length} tokens was computed");
        }
        let before = length - 1;
        let snapshot = snapshot_before(before);
        let kept = std::mem::take(&mut self.next);
        let earlier = std::mem::replace(&mut self.current, Kept::start());
        for kept in [earlier].into_iter().chain(kept) {
            match kept.position {
                position if position == length => self.current = kept,
                position if position == before => self.before_last = Some(kept),
                position if position == snapshot && position > 0 => self.snapshot = Some(kept),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use gogrid_model::FloatType;

    const SESSION: SessionKey = SessionKey(7);
    const SIZES: [LayerState; 2] = [LayerState::Cache { elements: 4 }, LayerState::Recurrent { tail: 1, matrix: 0 }];

    fn sizes() -> SequenceSizes {
        SequenceSizes::new(SIZES, FloatType::F32, 64)
    }

    fn recurrences() -> Recurrences {
        let mut recurrences = Recurrences::new(&sizes());
        recurrences.open(SESSION);
        recurrences
    }

    /// A state that holds its position.
    fn state(position: usize) -> State {
        let tail = Tensor::new(&[position as u32], &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        State { tail, matrix: None }
    }

    fn position(state: Option<&State>) -> usize {
        state.map_or(0, |state| state.tail.to_vec1::<f32>().unwrap()[0] as usize)
    }

    /// A step up to its end, without the commit.
    fn compute(recurrences: &mut Recurrences, at: usize, tokens: usize) {
        let Begun { state: from, wanted } = recurrences.begin(SESSION, 1, at, tokens).unwrap();
        assert_eq!(position(from.as_ref()), at);
        assert_eq!(wanted.last(), Some(&tokens));
        let states = wanted.iter().map(|count| state(at + count)).collect();
        recurrences.put(SESSION, 1, &wanted, states).unwrap();
    }

    fn step(recurrences: &mut Recurrences, at: usize, tokens: usize) {
        compute(recurrences, at, tokens);
        recurrences.commit(SESSION, at + tokens).unwrap();
    }

    #[test]
    fn a_dropped_step_changes_nothing() {
        let mut recurrences = recurrences();
        step(&mut recurrences, 0, 70);
        for tokens in [1, 9, 3] {
            compute(&mut recurrences, 70, tokens);
            assert_eq!(recurrences.positions(SESSION), Some(vec![0, 64, 70]));
        }
        step(&mut recurrences, 70, 2);
        assert_eq!(recurrences.positions(SESSION), Some(vec![0, 64, 71, 72]));
        assert!(recurrences.begin(SESSION, 1, 71, 1).is_err(), "the state is not that of another position");
        assert!(recurrences.begin(SESSION, 0, 72, 1).is_err(), "the layer is a cache");
        recurrences.begin(SESSION, 1, 72, 1).unwrap();
        assert!(recurrences.commit(SESSION, 73).is_err(), "nothing was computed");
    }

    /// Whatever the steps, the sequence goes on from where the model says that it can.
    #[test]
    fn states_are_kept_where_the_coordinator_expects_them() {
        for pattern in [&[1][..], &[64, 1], &[5, 1, 130, 1, 1], &[63, 2], &[512]] {
            let mut recurrences = recurrences();
            let mut length = 0;
            for tokens in pattern.iter().cycle().take(200) {
                step(&mut recurrences, length, *tokens);
                length += tokens;
                let held = recurrences.positions(SESSION).unwrap();
                for most in length.saturating_sub(200)..=length {
                    let newest = sizes().newest_position(length, most);
                    assert!(held.contains(&newest), "{newest} of {length}, {held:?}");
                    assert!(held.iter().all(|held| *held > most || *held <= newest), "{held:?} has a newer one");
                }
                assert!(held.len() <= 4, "{held:?}");
            }
        }
    }

    #[test]
    fn a_sequence_goes_on_from_a_kept_state() {
        let later = SessionKey(8);
        let mut recurrences = recurrences();
        step(&mut recurrences, 0, 140);
        step(&mut recurrences, 140, 1);
        recurrences.reuse(SESSION, later, 140);
        assert_eq!(recurrences.positions(SESSION), None);
        assert_eq!(recurrences.positions(later), Some(vec![0, 128, 140]));
        let begun = recurrences.begin(later, 1, 140, 1).unwrap();
        assert_eq!(position(begun.state.as_ref()), 140);
        recurrences.reuse(later, SESSION, 128);
        assert_eq!(recurrences.positions(SESSION), Some(vec![0, 128]));
        step(&mut recurrences, 128, 1);
        recurrences.reuse(SESSION, later, 0);
        assert_eq!(position(recurrences.begin(later, 1, 0, 3).unwrap().state.as_ref()), 0);
    }
}
