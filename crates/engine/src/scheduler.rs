//! What a stage computes next. Pure: no clock, no I/O.
//!
//! Every session has a queue of work in arrival order. A batch takes the front of each queue: single rows (decode) of all
//! sessions, and of longer spans (prefill) as many rows as one chunk allows, so that a long prompt never stalls the
//! others by more than a chunk. Sessions that were served go behind those that were not.
//!
//! The queues are bounded from outside: by the stage's frame budget in bytes, by the session's capacity in rows.

use crate::frame_budget::FramePermit;
use gogrid_wire::{
    SessionId,
    stage::{Rows, Want},
};
use std::{collections::VecDeque, sync::Arc};

/// The most sessions in one batch. Beyond this a CPU gains nothing more from reading the weights once for all.
pub(crate) const MAX_BATCH: usize = 64;

/// Consecutive rows of one session.
#[derive(Debug, Clone)]
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
    /// The tokens that may come then, as they travel; empty where all may.
    pub(crate) allowed: Vec<u8>,
    /// The part of the stage's budget that is taken by the frame that brought this work.
    pub(crate) permit: Option<Arc<FramePermit>>,
}

impl Work {
    /// Splits off the first `tokens` rows; candidates are wanted after the rest.
    fn split_front(&mut self, tokens: u32) -> Self {
        let rest = self.data.split_off(tokens as usize * self.rows.bytes());
        let front = Self {
            session: self.session,
            position: self.position,
            tokens,
            rows: self.rows,
            data: std::mem::replace(&mut self.data, rest),
            want: None,
            allowed: Vec::new(),
            permit: self.permit.clone(),
        };
        self.position += tokens;
        self.tokens -= tokens;
        front
    }
}

/// The work of one session, oldest first.
#[derive(Debug)]
struct Queue {
    session: SessionId,
    work: VecDeque<Work>,
}

/// The queues of one stage.
#[derive(Debug)]
pub(crate) struct Scheduler {
    queues: VecDeque<Queue>,
    prefill_chunk: u32,
}

impl Scheduler {
    /// `prefill_chunk`: the most prompt rows in one batch.
    pub(crate) fn new(prefill_chunk: u32) -> Self {
        Self { queues: VecDeque::new(), prefill_chunk: prefill_chunk.max(1) }
    }

    /// Sessions that have work waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.queues.len()
    }

    /// Rows that wait for a session.
    pub(crate) fn rows(&self, session: SessionId) -> u64 {
        let queue = self.queues.iter().find(|queue| queue.session == session);
        queue.map_or(0, |queue| queue.work.iter().map(|work| u64::from(work.tokens)).sum())
    }

    pub(crate) fn push(&mut self, work: Work) {
        if work.tokens == 0 {
            return;
        }
        match self.queues.iter_mut().find(|queue| queue.session == work.session) {
            Some(queue) => queue.work.push_back(work),
            None => self.queues.push_back(Queue { session: work.session, work: VecDeque::from([work]) }),
        }
    }

    /// Drops what waits for a session.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.queues.retain(|queue| queue.session != session);
    }

    /// The next batch: at most one piece of work per session, all of the same kind of rows, `most` rows at most. Empty
    /// when nothing waits.
    pub(crate) fn next(&mut self, most: usize) -> Vec<Work> {
        let mut batch = Batch::new(most, self.prefill_chunk);
        let (mut skipped, mut served) = (VecDeque::new(), VecDeque::new());
        for mut queue in std::mem::take(&mut self.queues) {
            if !batch.take_from(&mut queue.work) {
                skipped.push_back(queue);
            } else if !queue.work.is_empty() {
                served.push_back(queue);
            }
        }
        skipped.extend(served);
        self.queues = skipped;
        batch.work
    }
}

/// A batch that is put together.
struct Batch {
    work: Vec<Work>,
    /// Rows that still fit.
    rows: u32,
    /// Of those, prompt rows.
    prefill: u32,
}

impl Batch {
    fn new(most: usize, prefill: u32) -> Self {
        Self { work: Vec::new(), rows: u32::try_from(most.max(1)).unwrap_or(u32::MAX), prefill }
    }

    /// Takes what fits of the front of a queue; false where nothing does.
    fn take_from(&mut self, queue: &mut VecDeque<Work>) -> bool {
        let Some(mut front) = queue.pop_front() else { return false };
        if !self.fits(&front) {
            queue.push_front(front);
            return false;
        }
        let decode = front.tokens == 1;
        let tokens = if decode { 1 } else { front.tokens.min(self.prefill).min(self.rows) };
        self.rows -= tokens;
        self.prefill -= if decode { 0 } else { tokens };
        if tokens < front.tokens {
            self.work.push(front.split_front(tokens));
            queue.push_front(front);
        } else {
            self.work.push(front);
        }
        true
    }

    fn fits(&self, front: &Work) -> bool {
        self.work.len() < MAX_BATCH
            && self.rows > 0
            && self.work.first().is_none_or(|first| first.rows == front.rows)
            && (front.tokens == 1 || self.prefill > 0)
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
        Work {
            session: SessionId(session),
            position,
            tokens,
            rows: Rows::Tokens,
            data,
            want,
            allowed: Vec::new(),
            permit: None,
        }
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
        /// Every row is computed once and in order, no batch passes its bounds, no session starves.
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
