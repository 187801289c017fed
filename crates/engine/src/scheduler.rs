//! What a stage computes next. Pure: no clock, no I/O.
//!
//! Every session has a line of work in arrival order. A batch takes the front of each line: single rows (decode) of all
//! sessions, and of longer spans (prefill) as many rows as one chunk allows, so that a long prompt never stalls the
//! others by more than a chunk. Who was served goes behind who was not.

use gogrid_wire::{
    SessionId,
    stage::{Rows, Want},
};
use std::collections::VecDeque;

/// The most sessions in one batch. Beyond this a CPU gains nothing more from sharing the weights' way through memory.
pub(crate) const MAX_BATCH: usize = 64;

/// Consecutive rows of one session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    pub(crate) session: SessionId,
    /// Position of the first row in the sequence.
    pub(crate) position: u32,
    /// Rows.
    pub(crate) tokens: u32,
    /// What a row is.
    pub(crate) rows: Rows,
    /// The rows' bytes.
    pub(crate) data: Vec<u8>,
    /// Candidates wanted after the last row.
    pub(crate) want: Option<Want>,
}

impl Work {
    /// Splits off the first `tokens` rows; what is left keeps the wish for candidates.
    fn split_front(&mut self, tokens: u32) -> Self {
        let rest = self.data.split_off(tokens as usize * self.rows.bytes());
        let front = Self {
            session: self.session,
            position: self.position,
            tokens,
            rows: self.rows,
            data: std::mem::replace(&mut self.data, rest),
            want: None,
        };
        self.position += tokens;
        self.tokens -= tokens;
        front
    }
}

/// The lines of one stage.
#[derive(Debug)]
pub(crate) struct Scheduler {
    lines: VecDeque<(SessionId, VecDeque<Work>)>,
    prefill_chunk: u32,
}

impl Scheduler {
    /// `prefill_chunk`: the most prompt rows in one batch.
    pub(crate) fn new(prefill_chunk: u32) -> Self {
        Self { lines: VecDeque::new(), prefill_chunk: prefill_chunk.max(1) }
    }

    /// Sessions that have work waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn push(&mut self, work: Work) {
        if work.tokens == 0 {
            return;
        }
        match self.lines.iter_mut().find(|(session, _)| *session == work.session) {
            Some((_, line)) => line.push_back(work),
            None => self.lines.push_back((work.session, VecDeque::from([work]))),
        }
    }

    /// Drops what waits for a session.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.lines.retain(|(s, _)| *s != session);
    }

    /// The next batch: at most one piece of work per session, all of the same kind of rows, `most` rows at most. Empty
    /// when nothing waits.
    pub(crate) fn next(&mut self, most: usize) -> Vec<Work> {
        let mut batch: Vec<Work> = Vec::new();
        let mut room = u32::try_from(most.max(1)).unwrap_or(u32::MAX);
        let mut budget = self.prefill_chunk;
        let (mut waiting, mut served) = (VecDeque::new(), VecDeque::new());
        for (session, mut line) in std::mem::take(&mut self.lines) {
            let fits = |front: &Work| {
                batch.len() < MAX_BATCH
                    && room > 0
                    && batch.first().is_none_or(|first| first.rows == front.rows)
                    && (front.tokens == 1 || budget > 0)
            };
            match line.front_mut() {
                Some(front) if fits(front) => {
                    if front.tokens > 1 {
                        let take = front.tokens.min(budget).min(room);
                        budget -= take;
                        room -= take;
                        batch.push(if take < front.tokens {
                            front.split_front(take)
                        } else {
                            line.pop_front().unwrap_or_else(|| unreachable!("the line has a front"))
                        });
                    } else {
                        room -= 1;
                        batch.extend(line.pop_front());
                    }
                    served.push_back((session, line));
                }
                Some(_) => waiting.push_back((session, line)),
                None => {}
            }
        }
        waiting.extend(served.into_iter().filter(|(_, line)| !line.is_empty()));
        self.lines = waiting;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// No bound on a batch's rows.
    const ANY: usize = usize::MAX;

    fn work(session: u64, position: u32, tokens: u32) -> Work {
        let data = (position..position + tokens).flat_map(u32::to_le_bytes).collect();
        let want = Some(Want { top: 1, also: vec![] });
        Work { session: SessionId(session), position, tokens, rows: Rows::Tokens, data, want }
    }

    fn shape(batch: &[Work]) -> Vec<(u64, u32, u32, bool)> {
        batch.iter().map(|w| (w.session.0, w.position, w.tokens, w.want.is_some())).collect()
    }

    #[test]
    fn a_long_prompt_is_cut_and_decodes_go_between() {
        let mut scheduler = Scheduler::new(4);
        scheduler.push(work(1, 0, 10));
        scheduler.push(work(2, 7, 1));
        assert_eq!(shape(&scheduler.next(ANY)), [(1, 0, 4, false), (2, 7, 1, true)]);
        scheduler.push(work(2, 8, 1));
        assert_eq!(shape(&scheduler.next(ANY)), [(1, 4, 4, false), (2, 8, 1, true)]);
        assert_eq!(shape(&scheduler.next(ANY)), [(1, 8, 2, true)]);
        assert!(scheduler.waiting() == 0 && scheduler.next(ANY).is_empty());
    }

    #[test]
    fn prompts_take_turns() {
        let mut scheduler = Scheduler::new(4);
        scheduler.push(work(1, 0, 9));
        scheduler.push(work(2, 0, 6));
        assert_eq!(shape(&scheduler.next(ANY)), [(1, 0, 4, false)]);
        assert_eq!(shape(&scheduler.next(ANY)), [(2, 0, 4, false)]);
        assert_eq!(shape(&scheduler.next(ANY)), [(1, 4, 4, false)]);
        assert_eq!(shape(&scheduler.next(ANY)), [(2, 4, 2, true), (1, 8, 1, true)]);
    }

    #[test]
    fn a_forgotten_session_leaves_nothing() {
        let mut scheduler = Scheduler::new(4);
        scheduler.push(work(1, 0, 9));
        scheduler.push(work(2, 0, 1));
        scheduler.forget(SessionId(1));
        assert_eq!(shape(&scheduler.next(ANY)), [(2, 0, 1, true)]);
        assert!(scheduler.waiting() == 0);
    }

    #[test]
    fn rows_of_different_kinds_do_not_mix() {
        let mut scheduler = Scheduler::new(4);
        scheduler.push(work(1, 0, 1));
        let hidden = Rows::Hidden { dtype: gogrid_wire::stage::TensorType::F32, width: 1 };
        scheduler.push(Work { rows: hidden, ..work(2, 0, 1) });
        assert_eq!(shape(&scheduler.next(ANY)), [(1, 0, 1, true)]);
        assert_eq!(shape(&scheduler.next(ANY)), [(2, 0, 1, true)]);
    }

    proptest! {
        /// Whatever comes: every row is computed once and in order, no batch passes its bounds, nobody starves.
        #[test]
        fn every_row_once_and_in_order(prompts in prop::collection::vec(1u32..40, 1..90), chunk in 1u32..16, most in 0usize..70) {
            let mut scheduler = Scheduler::new(chunk);
            for (session, tokens) in prompts.iter().enumerate() {
                scheduler.push(work(session as u64, 0, *tokens));
            }
            let mut done = vec![0; prompts.len()];
            let mut steps = 0;
            loop {
                let batch = scheduler.next(most);
                if batch.is_empty() { break; }
                prop_assert!(batch.iter().map(|w| w.tokens as usize).sum::<usize>() <= most.max(1));
                steps += 1;
                prop_assert!(steps <= 4000, "it ends");
                prop_assert!(batch.len() <= MAX_BATCH);
                prop_assert!(batch.iter().filter(|w| w.tokens > 1).map(|w| w.tokens).sum::<u32>() <= chunk);
                for w in batch {
                    let at = w.session.0 as usize;
                    prop_assert_eq!(w.position, done[at]);
                    prop_assert_eq!(w.data.len(), w.tokens as usize * 4);
                    done[at] += w.tokens;
                    prop_assert_eq!(w.want.is_some(), done[at] == prompts[at]);
                }
            }
            prop_assert_eq!(done, prompts);
        }
    }
}
