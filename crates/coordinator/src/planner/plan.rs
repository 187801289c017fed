use super::{
    binding::BindingConstraints,
    demand::Demand,
    machine::Machine,
    placement::Placement,
    predict::{Predicted, predict_solution},
    problem::Problem,
    search,
};
use gogrid_model::{Layers, Quant};

/// The stages of a pipeline in order, and what to expect of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Placement>,
    pub(crate) predicted: Predicted,
    /// An upper bound on the relative distance from the best plan: (cost − lower bound) / lower bound.
    pub(crate) beyond_best: f64,
    /// Why the plan has this number of stages.
    pub(crate) binding: BindingConstraints,
}

/// Why a model cannot be placed; the operator reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("no machine is connected")]
    NoMachines,
    #[error("no machine of the groups {} is connected", .0.join(", "))]
    NoGroup(Vec<String>),
    #[error("no connected machine loads weights of the type {0}")]
    NoWeightType(Quant),
    #[error("{wanted} stages are asked for, but only {connected} machines are connected")]
    TooFewMachines { wanted: usize, connected: usize },
    #[error("{wanted} stages are asked for, but the model has {layers} layers")]
    TooFewLayers { wanted: usize, layers: usize },
    #[error(
        "the model needs about {} MiB with the KV memory of {concurrency} whole contexts and a fifth of headroom, and the {machines} connected machines have {} MiB free, which no cut of its layers fits",
        needed >> 20, free >> 20
    )]
    NotEnoughMemory { needed: u64, concurrency: usize, free: u64, machines: usize },
}

/// Finds the plan with the least cost for one model.
///
/// # Errors
/// The demand cannot be met with these machines.
pub(crate) fn plan(demand: &Demand<'_>, machines: &[Machine]) -> Result<Plan, PlanError> {
    let (layers, wanted) = (demand.layers(), demand.stages.max(1));
    if machines.is_empty() {
        return Err(PlanError::NoMachines);
    }
    if wanted > layers {
        return Err(PlanError::TooFewLayers { wanted, layers });
    }
    let problem = Problem::new(demand, machines);
    let connected = problem.machines.len();
    if connected == 0 {
        return Err(match machines.iter().find(|machine| demand.is_of_groups(machine)) {
            Some(machine) => PlanError::NoWeightType(demand.quant(machine.device.kind())),
            None => PlanError::NoGroup(demand.groups.to_vec()),
        });
    }
    if wanted > connected {
        return Err(PlanError::TooFewMachines { wanted, connected });
    }
    let solution = search::best(&problem).ok_or_else(|| PlanError::NotEnoughMemory {
        needed: problem.memory_needed(0, Layers::all(layers)),
        concurrency: demand.concurrency.max(1),
        free: problem.machines.iter().map(|machine| machine.free).sum(),
        machines: connected,
    })?;
    Ok(Plan {
        stages: solution.stages().map(|(machine, layers)| problem.placement(machine, layers)).collect(),
        predicted: predict_solution(&problem, &solution),
        beyond_best: solution.cost / solution.lower_bound - 1.0,
        binding: BindingConstraints::of(&problem, &solution),
    })
}
