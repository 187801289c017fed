//! What the stages of a new pipeline reuse of a session that some of them served in an earlier epoch. Pure.
//!
//! A stage that stays has the KV cache of the positions that it computed, and usually the outputs that it sent. A new
//! stage has nothing, and needs the rows of all positions from the stage before it. So the plan is made from the last
//! stage to the first: a stage computes from its first missing position on, or from the first row that the next stage
//! needs and this one did not retain. The state of a recurrence cannot be cut back to any position: such a stage goes on
//! from the newest position at which it keeps its state.

use gogrid_model::SequenceSizes;
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
    /// can reuse anything: the prompt is then computed from its start. `sizes`: what sequences take on each stage, which
    /// tells where they can be cut.
    pub(crate) fn plan_reuse<'a>(
        &self,
        session: SessionId,
        length: usize,
        sizes: impl Fn(usize) -> Option<&'a SequenceSizes>,
    ) -> Vec<KvReuse> {
        // All stages compute the last token, so that it brings candidates.
        let last = u32::try_from(length.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut reuse = Vec::new();
        // The first row that the stage after this one needs.
        let mut emit = last;
        for (at, stage) in self.0.iter().enumerate().rev() {
            let retained = stage.get(&session);
            let tokens = retained.map_or(0, |retained| retained.tokens);
            // Nobody needs the outputs of the last stage.
            let has_outputs = at + 1 == self.0.len() || retained.is_some_and(|retained| retained.outputs);
            let most = if has_outputs { last } else { emit };
            let newest = |sizes: &SequenceSizes| sizes.newest_position(tokens as usize, most as usize) as u32;
            let keep = sizes(at).map_or_else(|| tokens.min(most), newest);
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
    use gogrid_model::{FloatType, LayerState};
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId(7);

    fn retained(tokens: u32, outputs: bool) -> Vec<RetainedSession> {
        vec![RetainedSession { session: SESSION, tokens, outputs }]
    }

    fn sizes(state: LayerState) -> SequenceSizes {
        SequenceSizes::new([LayerState::Cache { elements: 1 }, state], FloatType::F32, 64)
    }

    fn plan(stages: Vec<Vec<RetainedSession>>, length: usize) -> Vec<(u32, u32)> {
        let reuse = RetainedKv::new(stages).plan_reuse(SESSION, length, |_| None);
        reuse.iter().map(|stage| (stage.keep, stage.emit)).collect()
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
        assert_eq!(stages.plan_reuse(SessionId(8), 10, |_| None), []);
        assert_eq!(RetainedKv::default().plan_reuse(SESSION, 10, |_| None), []);
    }

    #[test]
    fn a_recurrence_goes_on_where_its_state_was_kept() {
        let recurrent = sizes(LayerState::Recurrent { tail: 1, matrix: 1 });
        let plan = |stages: Vec<Vec<RetainedSession>>, length| -> Vec<(u32, u32)> {
            let reuse = RetainedKv::new(stages).plan_reuse(SESSION, length, |_| Some(&recurrent));
            reuse.iter().map(|stage| (stage.keep, stage.emit)).collect()
        };
        // The last token had reached the first stage: its state before that token is kept.
        assert_eq!(plan(vec![retained(200, true), retained(199, false)], 200), [(199, 199), (199, 199)]);
        // Outputs are missing, and the later stage is behind: the newest earlier snapshot of the first stage.
        assert_eq!(plan(vec![retained(200, false), retained(195, false)], 202), [(192, 195), (195, 201)]);
        assert_eq!(plan(vec![retained(200, false), retained(150, false)], 202), [(0, 150), (150, 201)]);
        assert_eq!(plan(vec![retained(200, true), retained(150, false)], 202), [(200, 150), (150, 201)]);
    }

    proptest! {
        /// Every stage has or gets each row once and in order, and sends what the next one needs.
        #[test]
        fn rows_join(
            stages in prop::collection::vec((0u32..200, any::<bool>(), any::<bool>()), 1..5),
            length in 1usize..200,
        ) {
            let sizes = [LayerState::Cache { elements: 1 }, LayerState::Recurrent { tail: 1, matrix: 1 }].map(sizes);
            let held = stages.iter().map(|(tokens, outputs, _)| retained(*tokens, *outputs));
            let of = |at: usize| Some(&sizes[usize::from(stages[at].2)]);
            let reuse = RetainedKv::new(held).plan_reuse(SESSION, length, of);
            if reuse.is_empty() {
                return Ok(());
            }
            // The coordinator sends tokens from the first stage's first missing position on.
            let mut first_row = reuse[0].keep;
            for ((tokens, outputs, _), KvReuse { keep, emit, .. }) in stages.iter().zip(&reuse) {
                prop_assert!(keep <= tokens && *keep < length as u32, "it has what it reuses");
                prop_assert_eq!(first_row, *keep, "rows continue what it has");
                prop_assert!(emit >= keep || *outputs, "it retained the outputs that it does not compute");
                first_row = *emit;
            }
            prop_assert_eq!(first_row, length as u32 - 1, "candidates come after the last token");
        }
    }
}
