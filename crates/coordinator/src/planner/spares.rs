//! More than one pipeline needs: replicas of what fits, and machines that could take a lost stage's place.

use super::{Delays, Demand, Machine, Placement, Plan, plan, problem::Problem};
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
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spare {
    /// The stage, counted from 0.
    pub(crate) stage: usize,
    /// Where it would be.
    pub(crate) place: Placement,
}

/// Spares for the stages whose loss costs most, those first: bytes to load ÷ reliability of the machine. Each takes a
/// machine without a part in them that has room for the stage: of those the one that makes a token slowest by the
/// least.
pub(crate) fn spares(demand: &Demand<'_>, machines: &[Machine], stages: &[Placement]) -> Vec<Spare> {
    let problem = Problem::new(demand, machines);
    let reliability_of = |id: PeerId| machines.iter().find(|machine| machine.id == id).map(|found| found.reliability);
    let at_stake = stages.iter().enumerate().map(|(stage, placed)| {
        let reliability = reliability_of(placed.machine).unwrap_or(1.0);
        (placed.memory.weights as f64 / reliability.clamp(0.05, 1.0), stage)
    });
    let mut at_stake: Vec<(f64, usize)> = at_stake.collect();
    at_stake.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let used = |id: PeerId| stages.iter().any(|stage| stage.machine == id);
    let mut taken: Vec<usize> = (0..problem.machines.len()).filter(|at| used(problem.machines[*at].id)).collect();
    let mut spares = Vec::new();
    for (_, stage) in at_stake {
        let layers = stages[stage].layers;
        if let Some(at) = problem.machine_for(layers, |at| !taken.contains(&at)) {
            taken.push(at);
            spares.push(Spare { stage, place: problem.place(at, layers) });
        }
    }
    spares
}
