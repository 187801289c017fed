//! A pipeline that lost machines, with others in their places: the stages that are left keep their weights, and the KV
//! caches of their sessions.

use super::{
    Binding, Delays, Demand, Machine, Memory, Placement, Plan, cut, predict, problem::Problem, search::Found,
    should_move,
};
use gogrid_model::Layers;
use gogrid_wire::PeerId;

/// Stages on the machines that had them before, for [`repair`]: those of machines that are not there take nothing, and
/// stay nowhere. `None` where they are not the model's layers.
pub(crate) fn placed(demand: &Demand<'_>, machines: &[Machine], stages: &[(PeerId, Layers)]) -> Option<Vec<Placement>> {
    let problem = Problem::new(demand, machines);
    let place = |(machine, layers): &(PeerId, Layers)| {
        let (machine, layers) = (*machine, *layers);
        let at = problem.machines.iter().position(|known| known.id == machine);
        let gone = || Placement {
            machine,
            layers,
            kv_budget: 0,
            kv_tokens: 0,
            memory: Memory::default(),
            seconds_per_token: 0.0,
        };
        (layers.end <= demand.layers()).then(|| at.map_or_else(gone, |at| problem.place(at, layers)))
    };
    stages.iter().map(place).collect()
}

/// The former stages, each on its machine where that is left and has room for it, else on a machine that has it in
/// memory already, else on the one without a part in it that makes a token slowest by the least. `None` where no stage could stay, no machine has room for one that is
/// lost, or `best` is so much better that everything had better move.
pub(crate) fn repair(
    demand: &Demand<'_>,
    machines: &[Machine],
    delays: &Delays,
    former: &[Placement],
    spares: &[Placement],
    best: &Plan,
) -> Option<Plan> {
    if former.len() < demand.stages.max(1) || former.last()?.layers.end != demand.layers() {
        return None;
    }
    let problem = Problem::new(demand, machines);
    let stays = |place: &Placement| {
        let at = problem.machines.iter().position(|machine| machine.id == place.machine)?;
        (problem.machines[at].free >= place.memory.total()).then_some(at)
    };
    let mut order: Vec<Option<usize>> = former.iter().map(stays).collect();
    if order.iter().all(Option::is_none) {
        return None;
    }
    let mut stages = former.to_vec();
    for (stage, place) in stages.iter_mut().enumerate() {
        if order[stage].is_none() {
            let is_free = |at: usize| !order.contains(&Some(at));
            let warm = spares.iter().filter(|spare| spare.layers == place.layers).find_map(|spare| {
                let at = problem.machines.iter().position(|machine| machine.id == spare.machine)?;
                is_free(at).then(|| (at, spare.clone()))
            });
            let cold = || {
                let at = problem.machine_for(place.layers, is_free)?;
                Some((at, problem.place(at, place.layers)))
            };
            let (at, new) = warm.or_else(cold)?;
            (order[stage], *place) = (Some(at), new);
        }
    }
    let order: Vec<usize> = order.into_iter().flatten().collect();
    let ends: Vec<usize> = stages.iter().map(|place| place.layers.end).collect();
    if !cut::ranges(&ends).eq(stages.iter().map(|place| place.layers)) {
        return None;
    }
    let predicted = predict::of(&problem, delays, &order, &ends);
    if should_move(&predicted, &best.predicted) {
        return None;
    }
    let found = Found { order, ends, cost: predicted.per_token, least_possible: predicted.per_token };
    let binding = Binding::of(&problem, delays, &found);
    let more = predicted.per_token / best.predicted.per_token;
    let beyond_best = ((1.0 + best.beyond_best) * more - 1.0).max(0.0);
    Some(Plan { stages, predicted, beyond_best, binding })
}
