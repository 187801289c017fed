//! What a stage has put out for each session, for as long as the session lasts: where the stage behind it is lost, its
//! replacement gets these rows, and this stage computes nothing again.

use gogrid_limits::{Account, Ledger, Reservation};
use gogrid_wire::{SessionId, stage::Rows};
use std::collections::{HashMap, VecDeque};

/// The most bytes that all sessions of a stage retain together: 16 sessions of 1,000 tokens of a model of width 2048, in
/// f16. Planned memory has a fifth of headroom, which this is part of.
const MOST: usize = 64 << 20;
/// Memory is taken for this many rows at a time.
pub(super) const BLOCK_ROWS: usize = 64;

/// The outputs of a stage's sessions, in main memory. A session's are there from its first position on, or not at all:
/// where there is no more memory they are given up, and the session is replayed whole.
pub(super) struct RetainedOutputs {
    ledger: Ledger,
    sessions: HashMap<SessionId, SessionOutputs>,
    /// Those whose answers are complete, the oldest first: they give way to others.
    complete: VecDeque<SessionId>,
    wanted: bool,
    /// Bytes taken for all sessions.
    bytes: usize,
}

struct SessionOutputs {
    rows: Rows,
    data: Vec<u8>,
    /// Bytes taken.
    taken: usize,
    booked: Option<Reservation>,
}

impl SessionOutputs {
    fn count(&self) -> usize {
        self.data.len() / self.rows.bytes()
    }

    fn book(&mut self, ledger: &Ledger, more: usize) -> bool {
        match &mut self.booked {
            Some(booked) => booked.grow(more as u64).is_ok(),
            none => {
                *none = ledger.reserve(Account::Kv, more as u64).ok();
                none.is_some()
            }
        }
    }
}

impl RetainedOutputs {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, sessions: HashMap::new(), complete: VecDeque::new(), wanted: true, bytes: 0 }
    }

    /// Whether new sessions' outputs are retained.
    pub(super) fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Writes down the rows of a session from `position` on.
    pub(super) fn append(&mut self, session: SessionId, position: usize, rows: Rows, data: &[u8]) {
        if position == 0 && self.wanted {
            self.forget(session);
            self.sessions.insert(session, SessionOutputs { rows, data: Vec::new(), taken: 0, booked: None });
        }
        let Some(outputs) = self.sessions.get_mut(&session) else { return };
        if outputs.rows != rows || outputs.count() != position {
            return self.forget(session);
        }
        let needed = outputs.data.len() + data.len();
        if needed > outputs.taken {
            let more = needed.next_multiple_of(BLOCK_ROWS * rows.bytes()) - outputs.taken;
            while self.bytes + more > MOST
                && let Some(complete) = self.complete.pop_front()
            {
                self.forget(complete);
            }
            let Some(outputs) = self.sessions.get_mut(&session) else { return };
            if self.bytes + more > MOST || !outputs.book(&self.ledger, more) {
                return self.forget(session);
            }
            outputs.taken += more;
            outputs.data.reserve_exact(outputs.taken - outputs.data.len());
            self.bytes += more;
        }
        if let Some(outputs) = self.sessions.get_mut(&session) {
            outputs.data.extend_from_slice(data);
        }
    }

    /// The session's answer is complete: its rows stay until others need the memory.
    pub(super) fn complete(&mut self, session: SessionId) {
        if self.sessions.contains_key(&session) {
            self.complete.push_back(session);
        }
    }

    /// Begins session `to` with copies of the first `keep` rows of session `from`, if they are there and there is memory.
    pub(super) fn copy(&mut self, from: SessionId, to: SessionId, keep: usize) {
        let Some(outputs) = self.sessions.get(&from).filter(|outputs| outputs.count() >= keep) else { return };
        let (rows, data) = (outputs.rows, outputs.data[..keep * outputs.rows.bytes()].to_vec());
        self.append(to, 0, rows, &data);
    }

    /// Whether the first `tokens` rows of a session are there.
    pub(super) fn has(&self, session: SessionId, tokens: usize) -> bool {
        self.sessions.get(&session).is_some_and(|outputs| outputs.count() >= tokens)
    }

    /// Goes on with the first `keep` rows of session `from` as session `to`, if they are there.
    pub(super) fn carry_over(&mut self, from: SessionId, to: SessionId, keep: usize) {
        if !self.has(from, keep) {
            return self.forget(from);
        }
        self.complete.retain(|complete| *complete != from);
        if let Some(mut outputs) = self.sessions.remove(&from) {
            outputs.data.truncate(keep * outputs.rows.bytes());
            self.sessions.insert(to, outputs);
        }
    }

    /// The first rows of a session from one position up to another, a block at most; `None` where they are not there.
    pub(super) fn piece(&self, session: SessionId, from: usize, to: usize) -> Option<(Rows, &[u8])> {
        let outputs = self.sessions.get(&session).filter(|outputs| outputs.count() >= to)?;
        let row = outputs.rows.bytes();
        let end = to.min(from + BLOCK_ROWS);
        Some((outputs.rows, outputs.data.get(from * row..end * row)?))
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        self.complete.retain(|complete| *complete != session);
        if let Some(outputs) = self.sessions.remove(&session) {
            self.bytes -= outputs.taken;
        }
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
        self.complete.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_wire::stage::TensorType;

    const SESSION: SessionId = SessionId(1);
    const ROWS: Rows = Rows::Hidden { dtype: TensorType::F32, width: 1 };

    fn rows(range: std::ops::Range<u32>) -> Vec<u8> {
        range.flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn rows_come_back_in_pieces_as_they_went_out() {
        let mut outputs = RetainedOutputs::new(Ledger::new(u64::MAX));
        outputs.append(SESSION, 0, ROWS, &rows(0..100));
        outputs.append(SESSION, 100, ROWS, &rows(100..101));
        assert!(outputs.has(SESSION, 101) && !outputs.has(SESSION, 102));
        let (mut at, mut seen) = (10, Vec::new());
        while at < 101 {
            let (rows, data) = outputs.piece(SESSION, at, 101).expect("it is there");
            assert!(data.len() <= BLOCK_ROWS * rows.bytes());
            at += data.len() / rows.bytes();
            seen.extend_from_slice(data);
        }
        assert_eq!(seen, rows(10..101));
        assert!(outputs.piece(SESSION, 10, 102).is_none());
        outputs.carry_over(SESSION, SessionId(2), 50);
        assert!(outputs.has(SessionId(2), 50) && !outputs.has(SessionId(2), 51) && !outputs.has(SESSION, 0));
    }

    #[test]
    fn complete_answers_are_copied_and_give_way() {
        let (copy, large) = (SessionId(2), SessionId(3));
        let mut outputs = RetainedOutputs::new(Ledger::new(u64::MAX));
        outputs.append(SESSION, 0, ROWS, &rows(0..100));
        outputs.complete(SESSION);
        outputs.copy(SESSION, copy, 101);
        assert!(!outputs.has(copy, 0), "it has fewer rows");
        outputs.copy(SESSION, copy, 70);
        outputs.append(copy, 70, ROWS, &rows(7..9));
        assert_eq!(outputs.piece(copy, 69, 72).expect("it is there").1, [rows(69..70), rows(7..9)].concat());
        assert!(outputs.has(SESSION, 100));
        let most = (MOST / ROWS.bytes() - 2 * BLOCK_ROWS) as u32;
        outputs.append(large, 0, ROWS, &rows(0..most));
        assert!(outputs.has(large, most as usize) && outputs.has(copy, 72) && !outputs.has(SESSION, 1));
    }

    #[test]
    fn what_is_not_whole_is_not_kept() {
        let mut outputs = RetainedOutputs::new(Ledger::new(u64::MAX));
        outputs.append(SESSION, 3, ROWS, &rows(3..5));
        assert!(!outputs.has(SESSION, 0), "its beginning is missing");
        outputs.append(SESSION, 0, ROWS, &rows(0..5));
        outputs.append(SESSION, 6, ROWS, &rows(6..7));
        assert!(!outputs.has(SESSION, 0), "a row is missing");
        outputs.append(SESSION, 0, ROWS, &rows(0..5));
        outputs.carry_over(SESSION, SessionId(2), 6);
        assert!(!outputs.has(SessionId(2), 0) && outputs.bytes == 0, "fewer rows than are to be kept");
    }

    #[test]
    fn memory_is_bounded_booked_and_given_back() {
        let block = (BLOCK_ROWS * 4) as u64;
        let ledger = Ledger::new(2 * block);
        let mut outputs = RetainedOutputs::new(ledger.clone());
        outputs.append(SESSION, 0, ROWS, &rows(0..65));
        assert_eq!(ledger.usage().kv, 2 * block);
        outputs.append(SessionId(2), 0, ROWS, &rows(0..1));
        assert!(!outputs.has(SessionId(2), 1) && outputs.has(SESSION, 65));
        outputs.forget(SESSION);
        assert_eq!((ledger.usage().kv, outputs.bytes), (0, 0));

        let mut outputs = RetainedOutputs::new(Ledger::new(u64::MAX));
        let wide = Rows::Hidden { dtype: TensorType::F32, width: 1 << 20 };
        outputs.append(SESSION, 0, wide, &vec![0; wide.bytes()]);
        assert!(!outputs.has(SESSION, 1), "a block of it passes the bound");
    }
}
