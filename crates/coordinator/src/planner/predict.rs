use super::{
    candidate_cost::Role,
    demand::Demand,
    machine::Machine,
    problem::{HOP, Problem},
    search::Solution,
};
use gogrid_model::Layers;
use gogrid_wire::PeerId;

/// A pipeline moves only if a token then takes less than this part of its present time. Moving loads weights again and
/// recomputes every running prompt, which takes as long as some hundred tokens, and predictions are off by a tenth or
/// two: a smaller gain may be none, and the next plan would take it back.
const WORTH_MOVING: f64 = 0.75;

/// What one request can expect that has the pipeline for itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Predicted {
    /// Seconds of one decoded token: the sum over all stages and hops.
    pub(crate) per_token: f64,
    /// Seconds of one token of a long prompt. Its chunks pass through the stages one behind another, so the slowest
    /// stage decides.
    pub(crate) per_prompt_token: f64,
}

/// Predicts the times of an existing pipeline. `None` if one of its machines is not among `machines`, or if the stages
/// are not all of the model's layers in order.
pub(crate) fn predict(demand: &Demand<'_>, machines: &[Machine], stages: &[(PeerId, Layers)]) -> Option<Predicted> {
    let problem = Problem::new(demand, machines);
    let order: Vec<usize> = stages.iter().map(|(id, _)| problem.index_of(*id)).collect::<Option<_>>()?;
    let layers: Vec<Layers> = stages.iter().map(|(_, layers)| *layers).collect();
    Solution::new(&problem, order, &layers).map(|solution| predict_solution(&problem, &solution))
}

pub(super) fn predict_solution(problem: &Problem<'_>, solution: &Solution) -> Predicted {
    // The coordinator's own end of the ring: the token goes out and the candidates come back.
    let mut per_token = HOP;
    let mut per_prompt_token: f64 = 0.0;
    for (machine, layers) in solution.stages() {
        per_token += problem.stage_seconds(machine, layers);
        per_prompt_token = per_prompt_token.max(prompt_seconds(problem, machine, layers));
    }
    Predicted { per_token, per_prompt_token }
}

/// Seconds of one prompt token on a stage, within a full step.
fn prompt_seconds(problem: &Problem<'_>, machine: usize, layers: Layers) -> f64 {
    let role = Role::of(layers, problem.layers());
    let compute = problem.speed(machine).prompt_layer * layers.len() as f64;
    compute + role.transfers() * problem.transfer_seconds(machine)
}

/// Whether a working pipeline should be given up for a new plan.
pub(crate) fn should_move(current: &Predicted, proposed: &Predicted) -> bool {
    proposed.per_token < current.per_token * WORTH_MOVING
}
