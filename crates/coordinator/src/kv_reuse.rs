//! How a session goes on in a pipeline some of whose stages served it before. Pure.
//!
//! A stage that is left has the positions that it computed in its KV cache, and as a rule the outputs that it sent; one
//! that is new has nothing and needs all rows from the stage before it. So, from the last stage to the first: a stage
//! computes from its first missing position on, or from where the next stage needs rows that it has not kept.

use gogrid_wire::{SessionId, control::RetainedSession, stage::KvReuse};
use std::collections::HashMap;

/// What each stage of a pipeline has of the sessions of earlier epochs.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<HashMap<SessionId, RetainedSession>>);

impl Kept {
    /// In the order of the stages.
    pub(crate) fn new(stages: impl IntoIterator<Item = Vec<RetainedSession>>) -> Self {
        let by_session = |kept: Vec<RetainedSession>| kept.into_iter().map(|kept| (kept.session, kept)).collect();
        Self(stages.into_iter().map(by_session).collect())
    }

    /// How each stage goes on with a session that has so many tokens, the last of which none has seen. Empty where the
    /// first stage has nothing of use: the prompt is computed anew.
    pub(crate) fn resume(&self, session: SessionId, length: usize) -> Vec<KvReuse> {
        // The last token is computed everywhere, so that it brings candidates.
        let last = u32::try_from(length.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut resume = Vec::new();
        let mut emit = last;
        for (back, stage) in self.0.iter().rev().enumerate() {
            let kept = stage.get(&session);
            let has = kept.map_or(0, |kept| kept.tokens.min(last));
            let outputs = back == 0 || kept.is_some_and(|kept| kept.outputs);
            let keep = if outputs { has } else { has.min(emit) };
            resume.push(KvReuse { from: session, keep, emit });
            emit = keep;
        }
        resume.reverse();
        if resume.iter().all(|stage| stage.keep == 0) { Vec::new() } else { resume }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId(7);

    fn kept(tokens: u32, outputs: bool) -> Vec<RetainedSession> {
        vec![RetainedSession { session: SESSION, tokens, outputs }]
    }

    fn plan(stages: Vec<Vec<RetainedSession>>, length: usize) -> Vec<(u32, u32)> {
        Kept::new(stages).resume(SESSION, length).iter().map(|stage| (stage.keep, stage.emit)).collect()
    }

    #[test]
    fn only_the_stage_that_is_new_computes_the_prompt() {
        assert_eq!(plan(vec![kept(9, true), vec![], kept(9, false)], 10), [(9, 0), (0, 9), (9, 9)]);
        // The token under way had reached the first stage, and not the last.
        assert_eq!(plan(vec![kept(10, true), vec![], kept(9, false)], 10), [(9, 0), (0, 9), (9, 9)]);
        assert_eq!(plan(vec![vec![], kept(9, true), kept(9, false)], 10), [(0, 9), (9, 9), (9, 9)]);
        assert_eq!(plan(vec![kept(9, true), kept(9, true), vec![]], 10), [(9, 9), (9, 0), (0, 9)]);
    }

    #[test]
    fn without_outputs_the_stages_before_a_new_one_compute_too() {
        assert_eq!(plan(vec![kept(9, false), vec![], kept(9, false)], 10), [(0, 0), (0, 9), (9, 9)]);
        assert_eq!(plan(vec![kept(9, false), vec![]], 10), []);
        assert_eq!(plan(vec![kept(9, true), kept(9, false), vec![]], 10), [(9, 0), (0, 0), (0, 9)]);
    }

    #[test]
    fn nothing_is_kept_of_others() {
        assert_eq!(plan(vec![vec![], vec![]], 10), []);
        let stages = Kept::new([kept(9, true), kept(9, true)]);
        assert_eq!(stages.resume(SessionId(8), 10), []);
        assert_eq!(Kept::default().resume(SESSION, 10), []);
    }

    proptest! {
        /// Whatever is there: every stage gets or has each row once and in order, and sends what the next one needs.
        #[test]
        fn rows_join(stages in prop::collection::vec((0u32..20, any::<bool>()), 1..5), length in 1usize..20) {
            let held = stages.iter().map(|(tokens, outputs)| kept(*tokens, *outputs));
            let resume = Kept::new(held).resume(SESSION, length);
            if resume.is_empty() {
                return Ok(());
            }
            // The coordinator sends tokens from the first stage's first missing position on.
            let mut first_row = resume[0].keep;
            for ((tokens, outputs), KvReuse { keep, emit, .. }) in stages.iter().zip(&resume) {
                prop_assert!(keep <= tokens && *keep < length as u32, "it has what it is to keep");
                prop_assert_eq!(first_row, *keep, "rows follow on what it has");
                prop_assert!(emit >= keep || *outputs, "what it does not compute it has kept");
                first_row = *emit;
            }
            prop_assert_eq!(first_row, length as u32 - 1, "candidates come after the last token");
        }
    }
}
