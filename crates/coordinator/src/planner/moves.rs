use super::Predicted;

/// A pipeline moves only where a token takes less than this part of what it takes now. Moving loads weights anew and
/// computes every running prompt again, which takes as long as some hundred tokens, and predictions err by a tenth or
/// two: a gain that is smaller may be none, and would be taken back by the next plan.
const WORTH_MOVING: f64 = 0.75;

/// Whether to give a pipeline up that works, for one that was planned now.
pub(crate) fn should_move(current: &Predicted, proposed: &Predicted) -> bool {
    proposed.per_token < current.per_token * WORTH_MOVING
}
