//! Which machines take part, and which of them are first and last.
//!
//! A stage's cost depends on its machine, its role and its number of layers alone. So this is a knapsack problem: give
//! each machine no layers, or some in one of the roles, such that all layers, the embedding and the head are placed, at
//! the least total cost. Dynamic program over the machines, with the state
//!
//! ```text
//! (stages so far, up to the least number asked for; embedding placed?; head placed?; layers placed)
//! ```
//!
//! ```text
//! cost'[state + stage] = min(cost[state + stage], cost[state] + stage cost)      for every role and number of layers
//! ```
//!
//! Exact; O(machines · stages asked for · layers²). Machines that some best plan does without are left out first
//! ([`prune`](super::prune)). If the table would not fit [`MAX_STEPS`], the machines that compute a layer most cheaply
//! are kept, and the result is marked as not exact.

use super::{
    candidate_cost::{CandidateCost, Role},
    prune::undominated,
};

/// The machines of a plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection {
    pub(super) cost: f64,
    /// Indices in the problem, first stage first. How many layers each gets is for [`partition`](super::partition).
    pub(super) order: Vec<usize>,
    /// Whether no selection costs less.
    pub(super) exact: bool,
}

/// Costs that differ by less than this, a picosecond, are equal: of equal choices the first one stays.
const EQUAL: f64 = 1e-12;
/// Bounds the memory of the back-tracking steps: 4 bytes each, 64 MiB.
const MAX_STEPS: usize = 1 << 24;

/// Bits of a state that say what is placed besides layers.
const EMBEDDING: usize = 1;
const HEAD: usize = 2;
const BOTH_ENDS: usize = EMBEDDING | HEAD;

/// Whether a cost is less than another one by more than rounding.
pub(super) fn is_less(a: f64, b: f64) -> bool {
    a + EQUAL < b
}

/// The cheapest selection of at least `min_stages` machines.
pub(super) fn cheapest(candidates: &[CandidateCost], layers: usize, min_stages: usize) -> Option<Selection> {
    let candidates = undominated(candidates, layers);
    let whole = if min_stages <= 1 { cheapest_whole(&candidates, layers) } else { None };
    let (kept, exact) = limit_table(candidates, layers, min_stages);
    let split = SelectionTable::new(layers, min_stages).cheapest(&kept);
    let (cost, order) = match (whole, split) {
        (Some(whole), Some(split)) if is_less(split.0, whole.0) => split,
        (Some(whole), _) => whole,
        (None, split) => split?,
    };
    Some(Selection { cost, order, exact })
}

/// The machine that holds the whole model most cheaply.
fn cheapest_whole(candidates: &[CandidateCost], layers: usize) -> Option<(f64, Vec<usize>)> {
    let fitting = candidates.iter().filter(|candidate| candidate.max_layers(Role::Whole) == layers);
    let costs = fitting.map(|candidate| (candidate.stage(Role::Whole, layers), vec![candidate.machine]));
    costs.reduce(|best, next| if is_less(next.0, best.0) { next } else { best })
}

/// All candidates if their table fits [`MAX_STEPS`], which may fail if many stages are asked for; otherwise those that
/// compute a layer most cheaply. Also says whether all were kept.
fn limit_table(mut candidates: Vec<CandidateCost>, layers: usize, min_stages: usize) -> (Vec<CandidateCost>, bool) {
    let most = MAX_STEPS / SelectionTable::new(layers, min_stages).states();
    if candidates.len() <= most {
        return (candidates, true);
    }
    candidates.sort_by(|a, b| a.stage(Role::Middle, 1).total_cmp(&b.stage(Role::Middle, 1)));
    candidates.truncate(most.max(min_stages));
    (candidates, false)
}

/// The last machine's part in the cheapest selection that leads to a state.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// 0 if the machine is left out, otherwise its role + 1.
    role: u8,
    /// Whether the stages had reached their highest count before this one.
    count_was_full: bool,
    layers: u16,
}

/// Layout of the states. Plans of two stages or more; a plan of one stage is not in the table.
struct SelectionTable {
    layers: usize,
    /// Stages are counted up to this number. First and last are two stages anyway, so less than three needs no count.
    max_count: usize,
}

/// The states with the same number of stages and the same ends placed.
#[derive(Clone, Copy)]
struct StateRow {
    count: usize,
    ends: usize,
}

impl SelectionTable {
    fn new(layers: usize, min_stages: usize) -> Self {
        Self { layers, max_count: if min_stages > 2 { min_stages } else { 0 } }
    }

    /// How many states there are.
    fn states(&self) -> usize {
        (self.max_count + 1) * (BOTH_ENDS + 1) * (self.layers + 1)
    }

    fn state(&self, row: StateRow, layers: usize) -> usize {
        (row.count * (BOTH_ENDS + 1) + row.ends) * (self.layers + 1) + layers
    }

    fn rows(&self) -> impl Iterator<Item = StateRow> {
        (0..=self.max_count).flat_map(|count| (0..=BOTH_ENDS).map(move |ends| StateRow { count, ends }))
    }

    /// The cost and the machines, first stage first, of the cheapest plan of two stages or more.
    fn cheapest(&self, candidates: &[CandidateCost]) -> Option<(f64, Vec<usize>)> {
        let mut costs = vec![f64::INFINITY; self.states()];
        costs[self.state(StateRow { count: 0, ends: 0 }, 0)] = 0.0;
        // By candidate, then by state.
        let mut steps = vec![Step::default(); self.states() * candidates.len()];
        for (candidate, steps) in candidates.iter().zip(steps.chunks_exact_mut(self.states())) {
            let before = costs.clone();
            for row in self.rows() {
                for role in [Role::First, Role::Middle, Role::Last] {
                    self.add_stage(candidate, role, row, &before, &mut costs, steps);
                }
            }
        }
        let goal = self.state(StateRow { count: self.max_count, ends: BOTH_ENDS }, self.layers);
        costs[goal].is_finite().then(|| (costs[goal], self.trace_back(candidates, &steps)))
    }

    /// Extends all states of a row by a stage on one machine.
    fn add_stage(
        &self,
        candidate: &CandidateCost,
        role: Role,
        row: StateRow,
        before: &[f64],
        costs: &mut [f64],
        steps: &mut [Step],
    ) {
        let added = ends_of(role);
        if row.ends & added != 0 || candidate.max_layers(role) == 0 {
            return;
        }
        let next_row = StateRow { count: (row.count + 1).min(self.max_count), ends: row.ends | added };
        let (from, to) = (self.state(row, 0), self.state(next_row, 0));
        let step = Step { role: role as u8 + 1, count_was_full: row.count == self.max_count, layers: 0 };
        for placed in 0..self.layers {
            let without_layers = before[from + placed] + candidate.stage(role, 0);
            if without_layers.is_infinite() {
                continue;
            }
            for layers in 1..=candidate.max_layers(role).min(self.layers - placed) {
                let cost = without_layers + candidate.layer * layers as f64;
                let state = to + placed + layers;
                if is_less(cost, costs[state]) {
                    costs[state] = cost;
                    steps[state] = Step { layers: layers as u16, ..step };
                }
            }
        }
    }

    /// Follows the steps from the goal back to the start.
    fn trace_back(&self, candidates: &[CandidateCost], steps: &[Step]) -> Vec<usize> {
        let mut row = StateRow { count: self.max_count, ends: BOTH_ENDS };
        let mut placed = self.layers;
        let mut chosen: Vec<(Role, usize)> = Vec::new();
        for (candidate, steps) in candidates.iter().zip(steps.chunks_exact(self.states())).rev() {
            let step = steps[self.state(row, placed)];
            let Some(role) = Role::ALL.into_iter().find(|role| *role as u8 + 1 == step.role) else { continue };
            chosen.push((role, candidate.machine));
            placed -= usize::from(step.layers);
            row.ends &= !ends_of(role);
            row.count -= usize::from(!step.count_was_full);
        }
        chosen.reverse();
        // `Role` is declared in pipeline order; machines with the same role stay in the order of the candidates.
        chosen.sort_by_key(|(role, _)| *role as u8);
        chosen.into_iter().map(|(_, machine)| machine).collect()
    }
}

/// What a stage places besides layers.
fn ends_of(role: Role) -> usize {
    match role {
        Role::Whole => BOTH_ENDS,
        Role::First => EMBEDDING,
        Role::Middle => 0,
        Role::Last => HEAD,
    }
}

/// The cost of these machines in these roles, with the layers given to the cheapest machines first. `None` if they do
/// not hold all layers, or if there are more machines than layers.
pub(super) fn distributed_cost(stages: &[(CandidateCost, Role)], layers: usize) -> Option<f64> {
    let mut left = layers.checked_sub(stages.len())?;
    let mut by_layer_cost: Vec<&(CandidateCost, Role)> = stages.iter().collect();
    by_layer_cost.sort_by(|(a, _), (b, _)| a.layer.total_cmp(&b.layer));
    let mut cost = 0.0;
    for (candidate, role) in by_layer_cost {
        // Every stage has one layer; the rest goes to the cheapest machines that hold more.
        let more = left.min(candidate.max_layers(*role).checked_sub(1)?);
        left -= more;
        cost += candidate.stage(*role, 1 + more);
    }
    (left == 0).then_some(cost)
}
