//! Which constraints bind: why a plan has this number of stages, for the operator to read.

use super::{
    candidate_cost::{CandidateCost, LayerSizes, Role},
    problem::Problem,
    search::Solution,
    select::{self, distributed_cost},
};
use bytesize::ByteSize;
use gogrid_model::Layers;
use std::fmt;

/// Why a plan has neither fewer nor more stages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BindingConstraints {
    stages: usize,
    why_not_fewer: FewerStages,
    why_not_more: MoreStages,
}

/// Why not fewer stages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FewerStages {
    /// One is the least.
    Single,
    /// Fewer machines do not hold the model. In bytes: what it needs in one piece, and the most that a machine lends.
    Memory { needed: u64, most_lent: u64 },
    /// The operator asks for this number; `fewest` would do.
    Requested { fewest: usize },
    /// `fewest` machines would hold the model, but take longer.
    Slower { fewest: usize },
}

/// Why not more stages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum MoreStages {
    /// What the best further machine would add to the cost, in seconds a token; negative if it would save time, which
    /// happens if the plan gave time up for memory or the search was not exact.
    Cost(f64),
    /// No other machine holds a layer.
    NoMachine,
    /// Every stage has one layer.
    NoLayer,
}

impl BindingConstraints {
    pub(super) fn of(problem: &Problem<'_>, solution: &Solution) -> Self {
        let stages = solution.order.len();
        Self { stages, why_not_fewer: why_not_fewer(problem, stages), why_not_more: why_not_more(problem, solution) }
    }
}

fn why_not_fewer(problem: &Problem<'_>, stages: usize) -> FewerStages {
    if stages == 1 {
        return FewerStages::Single;
    }
    let fewest = fewest_stages(problem).unwrap_or(stages);
    if fewest >= stages {
        let needed = problem.memory_needed(0, Layers::all(problem.layers()));
        return FewerStages::Memory { needed, most_lent: problem.machines[0].free };
    }
    if stages <= problem.demand.stages { FewerStages::Requested { fewest } } else { FewerStages::Slower { fewest } }
}

/// The fewest machines that hold the model: if each stage costs 1 and layers cost nothing, the cheapest selection has
/// the fewest stages.
fn fewest_stages(problem: &Problem<'_>) -> Option<usize> {
    let candidates = problem.candidates(LayerSizes::Largest).into_iter();
    let counted: Vec<_> =
        candidates.map(|candidate| CandidateCost { layer: 0.0, fixed: [1.0; 4], ..candidate }).collect();
    select::cheapest(&counted, problem.layers(), 1).map(|selection| selection.order.len())
}

fn why_not_more(problem: &Problem<'_>, solution: &Solution) -> MoreStages {
    let layers = problem.layers();
    if solution.order.len() >= layers {
        return MoreStages::NoLayer;
    }
    let candidates = problem.all_candidates();
    let stages: Vec<(CandidateCost, Role)> =
        solution.stages().map(|(machine, range)| (candidates[machine], Role::of(range, layers))).collect();
    let unused = candidates.iter().filter(|candidate| !solution.order.contains(&candidate.machine));
    let costs = unused.filter_map(|candidate| cost_with(&stages, *candidate, layers));
    match costs.reduce(f64::min) {
        Some(cost) => MoreStages::Cost(cost - solution.cost),
        None => MoreStages::NoMachine,
    }
}

/// The cost of a plan's machines and one more, with the layers distributed again.
fn cost_with(stages: &[(CandidateCost, Role)], new: CandidateCost, layers: usize) -> Option<f64> {
    if let [(only, Role::Whole)] = stages {
        let new_last = distributed_cost(&[(*only, Role::First), (new, Role::Last)], layers);
        let new_first = distributed_cost(&[(new, Role::First), (*only, Role::Last)], layers);
        return [new_last, new_first].into_iter().flatten().reduce(f64::min);
    }
    distributed_cost(&[stages, &[(new, Role::Middle)]].concat(), layers)
}

impl fmt::Display for BindingConstraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.stages;
        match self.why_not_fewer {
            FewerStages::Single => write!(f, "one machine holds it all")?,
            FewerStages::Memory { needed, most_lent } => {
                let (needed, most_lent) = (ByteSize(needed), ByteSize(most_lent));
                write!(
                    f,
                    "memory: {stages} machines, because no fewer hold the {needed} that it needs in one piece with a fifth of headroom, and none lends more than {most_lent}"
                )?;
            }
            FewerStages::Requested { fewest } => {
                write!(f, "the operator: {stages} stages are asked for, {fewest} would do")?;
            }
            FewerStages::Slower { fewest } => {
                write!(f, "speed: {fewest} would hold it, but a token takes less on {stages} machines")?;
            }
        }
        match self.why_not_more {
            MoreStages::Cost(seconds) if seconds >= 0.0 => {
                write!(f, "; delay: one machine more would cost {:.2} ms a token more than it brings", seconds * 1e3)
            }
            MoreStages::Cost(seconds) => {
                write!(f, "; one machine more would bring {:.2} ms a token", -seconds * 1e3)
            }
            MoreStages::NoMachine => write!(f, "; no other machine can take a part of it"),
            MoreStages::NoLayer => write!(f, "; every layer has a machine of its own"),
        }
    }
}
