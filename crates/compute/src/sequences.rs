//! The sequences of a stage, counted: how long each is and may become, and what all of them have reserved of a budget.
//! What a sequence holds is the back end's.
//!
//! A sequence reserves what its longest will take when it opens, so that it never runs out half-way.

use gogrid_model::{SequenceSizes, SessionKey};
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

/// A sequence that cannot be opened or continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
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
    /// There is no session of that key.
    #[error("session {0} is not open")]
    Unknown(SessionKey),
    /// A session without tokens.
    #[error("a session needs at least one token")]
    Empty,
    /// The session could become longer than the model's context.
    #[error("a session of {capacity} tokens does not fit the context of {context} tokens")]
    TooLong {
        /// Tokens that it may reach.
        capacity: usize,
        /// Tokens of the model's context.
        context: usize,
    },
    /// The state at the asked position is not held: its tokens have to be computed again.
    #[error("the session cannot continue after {asked} tokens, only after {available}")]
    NoSnapshot {
        /// Tokens that were to be kept.
        asked: usize,
        /// Numbers of tokens that can be kept.
        available: Positions,
    },
    /// The device cannot copy the state: most often its memory is full.
    #[error("the session's state cannot be copied: {0}")]
    NotCopied(String),
}

/// Positions from which a sequence can go on: numbers of tokens that can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// All of these: what later tokens see of them is in caches.
    Range(RangeInclusive<usize>),
    /// These alone, ascending: the states of recurrences were kept there.
    Kept(Vec<usize>),
}

impl Positions {
    /// Whether the sequence can go on from there.
    pub fn contains(&self, position: usize) -> bool {
        match self {
            Positions::Range(range) => range.contains(&position),
            Positions::Kept(kept) => kept.contains(&position),
        }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Positions::Range(range) => write!(f, "{} to {}", range.start(), range.end()),
            Positions::Kept(kept) => {
                let texts: Vec<String> = kept.iter().map(usize::to_string).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

/// One sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Tokens that it may reach.
    pub(crate) capacity: usize,
    /// Tokens that every layer has taken in.
    pub(crate) length: usize,
    reserved: u64,
}

/// The sequences of a stage.
#[derive(Debug)]
pub(crate) struct Sequences {
    sizes: SequenceSizes,
    context: usize,
    budget: u64,
    used: u64,
    open: HashMap<SessionKey, Sequence>,
}

impl Sequences {
    /// None yet, of a model with that context in tokens, within a budget of bytes.
    pub(crate) fn new(sizes: SequenceSizes, context: usize, budget: u64) -> Self {
        Sequences { sizes, context, budget, used: 0, open: HashMap::new() }
    }

    /// What sequences take.
    pub(crate) fn sizes(&self) -> &SequenceSizes {
        &self.sizes
    }

    /// Reserves memory for a sequence of up to `capacity` tokens.
    pub(crate) fn open(&mut self, session: SessionKey, capacity: usize) -> Result<(), StateError> {
        if self.open.contains_key(&session) {
            return Err(StateError::Exists(session));
        }
        let reserved = self.take(self.needed(capacity)?)?;
        self.open.insert(session, Sequence { capacity, length: 0, reserved });
        Ok(())
    }

    /// Gives a sequence's memory back; false if there is none of that key.
    pub(crate) fn close(&mut self, session: SessionKey) -> bool {
        let Some(closed) = self.open.remove(&session) else { return false };
        self.used -= closed.reserved;
        true
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.used = 0;
    }

    /// Checks that sequence `to` can begin with tokens of sequence `from`; gives that one.
    pub(crate) fn check_source(&self, from: SessionKey, to: SessionKey) -> Result<Sequence, StateError> {
        if self.open.contains_key(&to) {
            return Err(StateError::Exists(to));
        }
        self.open.get(&from).copied().ok_or(StateError::Unknown(from))
    }

    /// Sequence `from` goes on as `to` behind its first `keep` tokens, with what it reserved, and with more if `to` may
    /// become longer.
    pub(crate) fn reuse(
        &mut self,
        from: SessionKey,
        to: SessionKey,
        capacity: usize,
        keep: usize,
    ) -> Result<(), StateError> {
        let source = self.check_source(from, to)?;
        let capacity = capacity.max(source.capacity);
        let needed = self.needed(capacity)?.saturating_sub(source.reserved);
        let reserved = source.reserved + self.take(needed)?;
        self.open.remove(&from);
        self.open.insert(to, Sequence { capacity, length: keep, reserved });
        Ok(())
    }

    /// Sequence `to` begins with the first `keep` tokens of another.
    pub(crate) fn fork(&mut self, to: SessionKey, capacity: usize, keep: usize) -> Result<(), StateError> {
        self.open(to, capacity)?;
        self.commit(to, keep);
        Ok(())
    }

    /// A sequence gives back what it reserved for further tokens.
    pub(crate) fn trim(&mut self, session: SessionKey) {
        let Some(sequence) = self.open.get_mut(&session) else { return };
        let needed = self.sizes.bytes(sequence.length).min(sequence.reserved);
        self.used -= sequence.reserved - needed;
        (sequence.capacity, sequence.reserved) = (sequence.length, needed);
    }

    /// Bytes that a sequence of up to `capacity` tokens needs.
    fn needed(&self, capacity: usize) -> Result<u64, StateError> {
        match capacity {
            0 => Err(StateError::Empty),
            _ if capacity > self.context => Err(StateError::TooLong { capacity, context: self.context }),
            _ => Ok(self.sizes.bytes(capacity)),
        }
    }

    fn take(&mut self, needed: u64) -> Result<u64, StateError> {
        let free = self.budget.saturating_sub(self.used);
        if needed > free {
            return Err(StateError::OutOfBudget { needed, free, budget: self.budget });
        }
        self.used += needed;
        Ok(needed)
    }

    pub(crate) fn get(&self, session: SessionKey) -> Option<&Sequence> {
        self.open.get(&session)
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// Every layer has taken in this many more tokens.
    pub(crate) fn commit(&mut self, session: SessionKey, tokens: usize) {
        if let Some(sequence) = self.open.get_mut(&session) {
            sequence.length += tokens;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::{FloatType, LayerState};

    const SESSION: SessionKey = SessionKey(7);

    fn sequences(budget: u64) -> Sequences {
        let sizes = SequenceSizes::new([LayerState::Cache { elements: 16 }], FloatType::F32, 64);
        Sequences::new(sizes, 1000, budget)
    }

    #[test]
    fn a_session_that_does_not_fit_is_refused_and_others_stay() {
        let mut sequences = sequences(64 * 100);
        sequences.open(SESSION, 60).unwrap();
        let refused = sequences.open(SessionKey(8), 41).unwrap_err();
        assert_eq!(refused, StateError::OutOfBudget { needed: 64 * 41, free: 64 * 40, budget: 6400 });
        assert_eq!(sequences.open(SESSION, 1), Err(StateError::Exists(SESSION)));
        assert_eq!(sequences.open(SessionKey(9), 0), Err(StateError::Empty));
        let long = StateError::TooLong { capacity: 1001, context: 1000 };
        assert_eq!(sequences.open(SessionKey(9), 1001), Err(long));
        assert_eq!((sequences.len(), sequences.used()), (1, 64 * 60));
        assert!(sequences.close(SESSION));
        assert!(!sequences.close(SESSION));
        assert_eq!((sequences.len(), sequences.used()), (0, 0));
        sequences.open(SessionKey(8), 100).unwrap();
    }

    #[test]
    fn a_sequence_goes_on_as_another_with_what_it_reserved_and_more() {
        let mut sequences = sequences(64 * 100);
        let to = SessionKey(8);
        sequences.open(SESSION, 10).unwrap();
        sequences.commit(SESSION, 5);
        assert_eq!(sequences.reuse(SessionKey(9), to, 10, 3), Err(StateError::Unknown(SessionKey(9))));
        assert_eq!(sequences.reuse(SESSION, SESSION, 10, 3), Err(StateError::Exists(SESSION)));
        let refused = StateError::OutOfBudget { needed: 64 * 91, free: 64 * 90, budget: 6400 };
        assert_eq!(sequences.reuse(SESSION, to, 101, 3), Err(refused));
        assert_eq!(sequences.get(SESSION).unwrap().length, 5, "a refusal changes nothing");
        sequences.reuse(SESSION, to, 9, 3).unwrap();
        assert_eq!((sequences.len(), sequences.used(), sequences.get(SESSION)), (1, 64 * 10, None));
        assert_eq!(sequences.get(to).unwrap().length, 3);
        sequences.reuse(to, SESSION, 100, 2).unwrap();
        assert_eq!((sequences.len(), sequences.used(), sequences.get(SESSION).unwrap().capacity), (1, 6400, 100));
    }

    #[test]
    fn a_sequence_that_is_trimmed_takes_what_its_tokens_take_and_others_begin_with_them() {
        let mut sequences = sequences(64 * 100);
        let to = SessionKey(8);
        sequences.open(SESSION, 90).unwrap();
        sequences.commit(SESSION, 20);
        assert!(matches!(sequences.fork(to, 30, 15), Err(StateError::OutOfBudget { .. })));
        sequences.trim(SESSION);
        assert_eq!(sequences.used(), 64 * 20);
        sequences.fork(to, 30, 15).unwrap();
        assert_eq!((sequences.len(), sequences.used(), sequences.get(to).unwrap().length), (2, 64 * 50, 15));
        assert_eq!(sequences.get(SESSION).unwrap().length, 20);
    }
}
