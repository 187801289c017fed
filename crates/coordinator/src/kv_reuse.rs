//! What the stages of a new pipeline reuse of a session that some of them served in an earlier epoch. Pure.
//!
//! A stage that stays has the KV cache of the positions that it computed, and usually the outputs that it sent. A new
//! stage has nothing, and needs the rows of all positions from the stage before it. So the plan is made from the last
//! stage to the first: a stage computes from its first missing position on, or from the first row that the next stage
//! needs and this one did not retain.

use gogrid_wire::{SessionId, control::RetainedSession, stage::KvReuse};
use std::collections::HashMap;

/// What each stage of a pipeline retains of earlier epochs' sessions, in the order of the stages.
#[derive(Debug, Default)]
pub(crate) struct RetainedKv(Vec<HashMap<SessionId, RetainedSession>>);

impl RetainedKv {
    pub(crate) fn new(stages: impl IntoIterator<Item = Vec<RetainedSession>>) -> Self {
        let by_session = |sessions: Vec<RetainedSession>| sessions.into_iter().map(|one| (one.session, one)).collect();
        Self(stages.into_iter().map(by_session).collect())
    }

    /// What each stage reuses of a session of `length` tokens, the last of which no stage has seen. Empty if no stage
    /// can reuse anything: the prompt is then computed from its start.
    pub(crate) fn plan_reuse(&self, session: SessionId, length: usize) -> Vec<KvReuse> {
        // All stages compute the last token, so that it brings candidates.
        let last = u32::try_from(length.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut reuse = Vec::new();
        // The first row that the stage after this one needs.
        let mut emit = last;
        for (from_end, stage) in self.0.iter().rev().enumerate() {
            let retained = stage.get(&session);
            let tokens = retained.map_or(0, |retained| retained.tokens.min(last));
            // Nobody needs the outputs of the last stage.
            let has_outputs = from_end == 0 || retained.is_some_and(|retained| retained.outputs);
            let keep = if has_outputs { tokens } else { tokens.min(emit) };
            reuse.push(KvReuse { from: session, keep, emit });
            emit = keep;
        }
        reuse.reverse();
        if reuse.iter().all(|stage| stage.keep == 0) { Vec::new() } else { reuse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId(7);

    fn retained(tokens: u32, outputs: bool) -> Vec<RetainedSession> {
        vec![RetainedSession { session: SESSION, tokens, outputs }]
    }

    fn plan(stages: Vec<Vec<RetainedSession>>, length: usize) -> Vec<(u32, u32)> {
        RetainedKv::new(stages).plan_reuse(SESSION, length).iter().map(|stage| (stage.keep, stage.emit)).collect()
    }

    #[test]
    fn only_a_new_stage_computes_the_prompt() {
        assert_eq!(plan(vec![retained(9, true), vec![], retained(9, false)], 10), [(9, 0), (0, 9), (9, 9)]);
        // The last token had reached the first stage, but not the last one.
        assert_eq!(plan(vec![retained(10, true), vec![], retained(9, false)], 10), [(9, 0), (0, 9), (9, 9)]);
        assert_eq!(plan(vec![vec![], retained(9, true), retained(9, false)], 10), [(0, 9), (9, 9), (9, 9)]);
        assert_eq!(plan(vec![retained(9, true), retained(9, true), vec![]], 10), [(9, 9), (9, 0), (0, 9)]);
    }

    #[test]
    fn without_outputs_the_stages_before_a_new_one_compute_too() {
        assert_eq!(plan(vec![retained(9, false), vec![], retained(9, false)], 10), [(0, 0), (0, 9), (9, 9)]);
        assert_eq!(plan(vec![retained(9, false), vec![]], 10), []);
        assert_eq!(plan(vec![retained(9, true), retained(9, false), vec![]], 10), [(9, 0), (0, 0), (0, 9)]);
    }

    #[test]
    fn nothing_is_reused_of_other_sessions() {
        assert_eq!(plan(vec![vec![], vec![]], 10), []);
        let stages = RetainedKv::new([retained(9, true), retained(9, true)]);
        assert_eq!(stages.plan_reuse(SessionId(8), 10), []);
        assert_eq!(RetainedKv::default().plan_reuse(SESSION, 10), []);
    }

    proptest! {
        /// Every stage has or gets each row once and in order, and sends what the next one needs.
        #[test]
        fn rows_join(stages in prop::collection::vec((0u32..20, any::<bool>()), 1..5), length in 1usize..20) {
            let held = stages.iter().map(|(tokens, outputs)| retained(*tokens, *outputs));
            let reuse = RetainedKv::new(held).plan_reuse(SESSION, length);
            if reuse.is_empty() {
                return Ok(());
            }
            // The coordinator sends tokens from the first stage's first missing position on.
            let mut first_row = reuse[0].keep;
            for ((tokens, outputs), KvReuse { keep, emit, .. }) in stages.iter().zip(&reuse) {
                prop_assert!(keep <= tokens && *keep < length as u32, "it has what it reuses");
                prop_assert_eq!(first_row, *keep, "rows continue what it has");
                prop_assert!(emit >= keep || *outputs, "it retained the outputs that it does not compute");
                first_row = *emit;
            }
            prop_assert_eq!(first_row, length as u32 - 1, "candidates come after the last token");
        }
    }
}
