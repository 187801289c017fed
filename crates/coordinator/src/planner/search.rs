//! The cheapest plan: selects machines, partitions the layers over them, and says how far from the best the result may
//! be.

use super::{
    candidate_cost::{CandidateCost, LayerSizes, Role},
    partition::{PartitionTable, layer_ranges},
    problem::Problem,
    select::{self, Selection},
};
use gogrid_model::Layers;

/// The part of the least cost that is given up for free memory. Machines that were measured as nearly equal then share
/// the layers evenly; otherwise one of them would be filled completely for a gain that nobody can measure.
pub(super) const SLACK: f64 = 0.02;
/// Bisection steps in the search for the least memory share of the fullest machine: to within 1/4096.
const BISECTION_STEPS: usize = 12;

/// Machines in order with the layers of each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solution {
    /// Indices of the machines in the problem, first stage first.
    pub(super) order: Vec<usize>,
    /// Where the layers of each stage end.
    pub(super) ends: Vec<usize>,
    /// Seconds of one token, each stage's divided by its machine's reliability.
    pub(super) cost: f64,
    /// No plan costs less.
    pub(super) lower_bound: f64,
}

impl Solution {
    /// An existing pipeline as a solution. `None` if the stages are not all layers in order.
    pub(super) fn new(problem: &Problem<'_>, order: Vec<usize>, layers: &[Layers]) -> Option<Self> {
        let ends: Vec<usize> = layers.iter().map(|layers| layers.end).collect();
        if ends.last() != Some(&problem.layers()) || !layer_ranges(&ends).eq(layers.iter().copied()) {
            return None;
        }
        let stages = order.iter().zip(layers);
        let cost = stages.map(|(machine, layers)| problem.stage_cost(*machine, *layers)).sum();
        Some(Self { order, ends, cost, lower_bound: 0.0 })
    }

    /// Each stage's machine, by its index, and layers.
    pub(super) fn stages(&self) -> impl Iterator<Item = (usize, Layers)> {
        self.order.iter().copied().zip(layer_ranges(&self.ends))
    }
}

/// The cheapest plan within [`SLACK`]; `None` if none was found. Exact if all layers have the same size.
pub(super) fn best(problem: &Problem<'_>) -> Option<Solution> {
    let (selection, lower_bound) = select_machines(problem);
    let selected = selection.and_then(|order| cheapest_partition(problem, order, f64::INFINITY));
    let candidates = selected.into_iter().chain(largest_machines(problem));
    let cheapest = candidates.reduce(|best, next| if select::is_less(next.cost, best.cost) { next } else { best })?;
    let balanced = balance_memory(problem, cheapest);
    // Rounding may put the bound above the cost.
    Some(Solution { lower_bound: lower_bound.min(balanced.cost), ..balanced })
}

/// The machines of the cheapest plan that surely fits, and a lower bound on the cost of every plan.
fn select_machines(problem: &Problem<'_>) -> (Option<Vec<usize>>, f64) {
    let (layers, min_stages) = (problem.layers(), problem.demand.stages);
    let fitting = select::cheapest(&problem.candidates(LayerSizes::Largest), layers, min_stages);
    let lower_bound = match &fitting {
        Some(selection) if selection.exact && problem.is_uniform() => selection.cost,
        _ => {
            let optimistic = select::cheapest(&problem.candidates(LayerSizes::Smallest), layers, min_stages);
            optimistic_bound(problem, optimistic.as_ref())
        }
    };
    (fitting.map(|selection| selection.order), lower_bound)
}

/// A lower bound from a selection that assumes the smallest layers. If that was not exact, or there is none: one stage,
/// and all layers on the machine that computes them most cheaply.
fn optimistic_bound(problem: &Problem<'_>, optimistic: Option<&Selection>) -> f64 {
    if let Some(selection) = optimistic.filter(|selection| selection.exact) {
        return selection.cost;
    }
    let candidates = problem.all_candidates();
    let least_layer = candidates.iter().map(|candidate| candidate.layer).fold(f64::INFINITY, f64::min);
    let least_fixed = candidates.iter().flat_map(|candidate| candidate.fixed).fold(f64::INFINITY, f64::min);
    least_layer * problem.layers() as f64 + least_fixed
}

/// The cheapest partition over these machines in this order, with no stage taking more than `max_share` of its
/// machine's memory.
fn cheapest_partition(problem: &Problem<'_>, order: Vec<usize>, max_share: f64) -> Option<Solution> {
    let candidates: Vec<CandidateCost> =
        order.iter().map(|machine| problem.candidate(*machine, LayerSizes::Largest)).collect();
    let cost = |position: usize, layers: Layers| {
        let machine = order[position];
        let fits = problem.fits(machine, layers) && problem.memory_share(machine, layers) <= max_share;
        fits.then(|| candidates[position].stage(Role::of(layers, problem.layers()), layers.len()))
    };
    let (cost, ends) = PartitionTable::new(problem.layers(), order.len(), cost).cheapest(order.len())?;
    Some(Solution { order, ends, cost, lower_bound: 0.0 })
}

/// The cheapest partition over the `n` machines with the most memory, for every `n`. If layers differ in size this
/// finds plans that the assumption of the largest layers rules out.
fn largest_machines(problem: &Problem<'_>) -> Vec<Solution> {
    if problem.is_uniform() {
        return Vec::new();
    }
    let most = problem.machines.len().min(problem.layers());
    let candidates = problem.all_candidates();
    let cost = |machine: usize, layers: Layers| {
        let role = Role::of(layers, problem.layers());
        problem.fits(machine, layers).then(|| candidates[machine].stage(role, layers.len()))
    };
    let table = PartitionTable::new(problem.layers(), most, cost);
    let solution = |machines: usize| {
        let (cost, ends) = table.cheapest(machines)?;
        Some(Solution { order: (0..machines).collect(), ends, cost, lower_bound: 0.0 })
    };
    (problem.demand.stages.max(1)..=most).filter_map(solution).collect()
}

/// Partitions the layers again over the same machines, so that the fullest machine is as empty as [`SLACK`] allows.
/// Then most sessions fit, and a batch of many sessions takes similar time on every stage.
fn balance_memory(problem: &Problem<'_>, cheapest: Solution) -> Solution {
    let max_cost = cheapest.cost * (1.0 + SLACK);
    let mut best = cheapest;
    let (mut low, mut high) = (0.0, fullest_share(problem, &best));
    for _ in 0..BISECTION_STEPS {
        let max_share = (low + high) / 2.0;
        match cheapest_partition(problem, best.order.clone(), max_share) {
            Some(found) if found.cost <= max_cost => {
                high = fullest_share(problem, &found);
                best = found;
            }
            _ => low = max_share,
        }
    }
    best
}

/// The largest share of a machine's memory that a stage takes.
fn fullest_share(problem: &Problem<'_>, solution: &Solution) -> f64 {
    let shares = solution.stages().map(|(machine, layers)| problem.memory_share(machine, layers));
    shares.fold(0.0, f64::max)
}
