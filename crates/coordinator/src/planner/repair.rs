//! Replaces the lost machines of a pipeline: stages on the machines that are left keep their weights, and the KV caches
//! of their sessions.

use super::{
    binding::BindingConstraints,
    demand::Demand,
    machine::Machine,
    memory::Memory,
    placement::Placement,
    plan::Plan,
    predict::{predict_solution, should_move},
    problem::Problem,
    search::Solution,
};
use gogrid_model::Layers;
use gogrid_wire::PeerId;

/// The placements of a pipeline that served before a restart, for [`repair`]. A stage whose machine is not there gets
/// an empty placement, which [`repair`] replaces. `None` if the stages are not layers of the model.
pub(crate) fn restore(
    demand: &Demand<'_>,
    machines: &[Machine],
    stages: &[(PeerId, Layers)],
) -> Option<Vec<Placement>> {
    let problem = Problem::new(demand, machines);
    let placement = |(machine, layers): &(PeerId, Layers)| {
        if layers.end > demand.layers() {
            return None;
        }
        let index = problem.index_of(*machine);
        Some(index.map_or_else(|| absent(*machine, *layers), |index| problem.placement(index, *layers)))
    };
    stages.iter().map(placement).collect()
}

fn absent(machine: PeerId, layers: Layers) -> Placement {
    Placement {
        machine,
        layers,
        kv_budget: 0,
        kv_tokens: 0,
        memory: Memory::default(),
        least: 0,
        seconds_per_token: 0.0,
    }
}

/// Keeps the stages of `former` on their machines as far as these are there and have the memory. Every other stage goes
/// to a machine of `spares` that has it loaded, or else to the machine without a stage that costs least.
///
/// `None` if no stage can stay, if no machine has the memory for a lost one, or if `best` is so much better that
/// everything should move.
pub(crate) fn repair(
    demand: &Demand<'_>,
    machines: &[Machine],
    former: &[Placement],
    spares: &[Placement],
    best: &Plan,
) -> Option<Plan> {
    if former.len() < demand.stages.max(1) || former.last()?.layers.end != demand.layers() {
        return None;
    }
    let problem = Problem::new(demand, machines);
    let mut order: Vec<Option<usize>> = former.iter().map(|stage| machine_that_keeps(&problem, stage)).collect();
    if order.iter().all(Option::is_none) {
        return None;
    }
    let mut stages = former.to_vec();
    for (index, stage) in stages.iter_mut().enumerate() {
        if order[index].is_none() {
            let (machine, placement) = replacement(&problem, stage.layers, spares, &order)?;
            (order[index], *stage) = (Some(machine), placement);
        }
    }
    let order: Vec<usize> = order.into_iter().flatten().collect();
    let layers: Vec<Layers> = stages.iter().map(|stage| stage.layers).collect();
    let solution = Solution::new(&problem, order, &layers)?;
    let predicted = predict_solution(&problem, &solution);
    if should_move(&predicted, &best.predicted) {
        return None;
    }
    let beyond_this_best = predicted.per_token / best.predicted.per_token;
    let beyond_best = ((1.0 + best.beyond_best) * beyond_this_best - 1.0).max(0.0);
    Some(Plan { stages, predicted, beyond_best, binding: BindingConstraints::of(&problem, &solution) })
}

/// The index of a stage's machine, if it is there and still has the memory.
fn machine_that_keeps(problem: &Problem<'_>, stage: &Placement) -> Option<usize> {
    let machine = problem.index_of(stage.machine)?;
    (problem.machines[machine].free >= stage.memory.total()).then_some(machine)
}

/// A machine without a stage for these layers: a spare that has them loaded, or else the one that costs least.
fn replacement(
    problem: &Problem<'_>,
    layers: Layers,
    spares: &[Placement],
    order: &[Option<usize>],
) -> Option<(usize, Placement)> {
    let is_unused = |machine: usize| !order.contains(&Some(machine));
    let mut loaded = spares.iter().filter(|spare| spare.layers == layers);
    let warm = loaded.find_map(|spare| {
        let machine = problem.index_of(spare.machine)?;
        is_unused(machine).then(|| (machine, spare.clone()))
    });
    warm.or_else(|| {
        let machine = problem.cheapest_machine(layers, is_unused)?;
        Some((machine, problem.placement(machine, layers)))
    })
}
