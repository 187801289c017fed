//! Warm spares: machines that load a stage's weights in advance, to replace a machine that is lost.

use super::{demand::Demand, machine::Machine, placement::Placement, problem::Problem};

/// A machine that could keep a stage's weights loaded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spare {
    /// Index of the stage.
    pub(crate) stage: usize,
    /// The stage on the spare machine.
    pub(crate) place: Placement,
}

/// Spares for a pipeline's stages. The stages whose loss costs most come first: bytes of weights to load, divided by
/// the machine's reliability. Each gets a machine of its own that has no stage and has the memory, the one with the
/// least cost.
pub(crate) fn spares(demand: &Demand<'_>, machines: &[Machine], stages: &[Placement]) -> Vec<Spare> {
    let problem = Problem::new(demand, machines);
    let mut used: Vec<usize> = stages.iter().filter_map(|stage| problem.index_of(stage.machine)).collect();
    let mut spares = Vec::new();
    for stage in by_cost_of_loss(machines, stages) {
        let layers = stages[stage].layers;
        if let Some(machine) = problem.cheapest_machine(layers, |machine| !used.contains(&machine)) {
            used.push(machine);
            spares.push(Spare { stage, place: problem.placement(machine, layers) });
        }
    }
    spares
}

/// Indices of the stages, the one whose loss costs most first.
fn by_cost_of_loss(machines: &[Machine], stages: &[Placement]) -> Vec<usize> {
    let cost_of_loss = |stage: &Placement| {
        let machine = machines.iter().find(|machine| machine.id == stage.machine);
        stage.memory.weights as f64 / machine.map_or(1.0, Machine::cost_divisor)
    };
    let costs: Vec<f64> = stages.iter().map(cost_of_loss).collect();
    let mut order: Vec<usize> = (0..stages.len()).collect();
    order.sort_by(|a, b| costs[*b].total_cmp(&costs[*a]));
    order
}
