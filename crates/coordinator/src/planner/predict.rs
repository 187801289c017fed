use super::{
    Delays, Demand, Machine,
    cut::ranges,
    problem::{HOP, Problem},
    seat::Role,
};
use gogrid_model::Layers;
use gogrid_wire::PeerId;

/// What one request can expect that has the pipeline for itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Predicted {
    /// Seconds of one token: all stages and hops, one after another.
    pub(crate) per_token: f64,
    /// Seconds of one token of a long prompt, whose chunks follow each other through the stages: the slowest stage's.
    pub(crate) per_prompt_token: f64,
}

/// What to expect of stages that are there; `None` where a machine is not among `machines`, or the stages are not the
/// whole model in order.
pub(crate) fn predict(
    demand: &Demand<'_>,
    machines: &[Machine],
    delays: &Delays,
    stages: &[(PeerId, Layers)],
) -> Option<Predicted> {
    let problem = Problem::new(demand, machines);
    let place = |(id, _): &(PeerId, Layers)| problem.machines.iter().position(|machine| machine.id == *id);
    let order = stages.iter().map(place).collect::<Option<Vec<usize>>>()?;
    let ends: Vec<usize> = stages.iter().map(|(_, layers)| layers.end).collect();
    let whole = ends.last() == Some(&problem.layers()) && ranges(&ends).eq(stages.iter().map(|(_, layers)| *layers));
    whole.then(|| of(&problem, delays, &order, &ends))
}

pub(super) fn of(problem: &Problem<'_>, delays: &Delays, order: &[usize], ends: &[usize]) -> Predicted {
    let mut per_token = HOP + delays.route(order.iter().map(|at| problem.machines[*at]));
    let mut per_prompt_token: f64 = 0.0;
    for (at, layers) in order.iter().copied().zip(ranges(ends)) {
        let (role, speed, count) = (Role::of(layers, problem.layers()), problem.speed(at), layers.len() as f64);
        per_token += problem.fixed(at, role) + speed.layer * count;
        let transfers = role.transfers() * problem.transfer(at);
        per_prompt_token = per_prompt_token.max(speed.prompt_layer * count + transfers);
    }
    Predicted { per_token, per_prompt_token }
}
