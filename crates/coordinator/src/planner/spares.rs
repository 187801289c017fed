//! More than one pipeline needs: replicas of what fits, and machines that could take a lost stage's place.

use super::{Delays, Demand, Machine, Plan, plan, problem::Problem, seat::Role};
use gogrid_wire::PeerId;

/// Further pipelines for the same model, the fastest first, on machines that have no part in one yet; `most` at most.
/// Each is as short as it can be: with the demand's stages, on machines of its own.
pub(crate) fn replicas(
    demand: &Demand<'_>,
    machines: &[Machine],
    delays: &Delays,
    first: &Plan,
    most: usize,
) -> Vec<Plan> {
    let mut rest: Vec<Machine> = machines.to_vec();
    let mut found = Vec::new();
    let mut last = first.clone();
    while found.len() < most {
        rest.retain(|machine| !last.stages.iter().any(|stage| stage.machine == machine.id));
        let Ok(next) = plan(demand, &rest, delays) else { break };
        found.push(next.clone());
        last = next;
    }
    found
}

/// A machine that could keep a stage's weights warm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spare {
    /// The stage, counted from 0.
    pub(crate) stage: usize,
    pub(crate) machine: PeerId,
    /// What it would hold of weights, in bytes.
    pub(crate) weights: u64,
}

/// Spares for the stages whose loss costs most, those first: bytes to load ÷ reliability of the machine. Each takes a
/// machine without a part in the plan that has room for the stage: of those the one that makes a token slowest by the
/// least.
pub(crate) fn spares(demand: &Demand<'_>, machines: &[Machine], plan: &Plan) -> Vec<Spare> {
    let problem = Problem::new(demand, machines);
    let place = |id: PeerId| problem.machines.iter().position(|machine| machine.id == id);
    let mut at_stake: Vec<(f64, usize)> = plan
        .stages
        .iter()
        .enumerate()
        .filter_map(|(stage, placed)| {
            let at = place(placed.machine)?;
            let bytes = problem.weights(at, placed.layers) as f64;
            Some((bytes / problem.machines[at].reliability.clamp(0.05, 1.0), stage))
        })
        .collect();
    at_stake.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let used = |id: PeerId| plan.stages.iter().any(|stage| stage.machine == id);
    let mut free: Vec<usize> = (0..problem.machines.len()).filter(|at| !used(problem.machines[*at].id)).collect();
    let mut spares = Vec::new();
    for (_, stage) in at_stake {
        let layers = plan.stages[stage].layers;
        let role = Role::of(layers, problem.layers());
        let seconds = |at: usize| {
            let machine = problem.machines[at];
            let own = problem.fixed(at, role) + problem.speed(at).layer * layers.len() as f64;
            (own + 2.0 * machine.link.delay) / machine.reliability.clamp(0.05, 1.0)
        };
        let fits = |at: &&usize| problem.need(**at, layers) <= problem.machines[**at].free;
        let best = free.iter().filter(fits).copied().min_by(|a, b| seconds(*a).total_cmp(&seconds(*b)));
        if let Some(at) = best {
            free.retain(|other| *other != at);
            let weights = problem.weights(at, layers);
            spares.push(Spare { stage, machine: problem.machines[at].id, weights });
        }
    }
    spares
}
