//! Which machines, and how many layers each, where a stage's cost depends on its machine alone. Exact dynamic
//! programming over (machines, layers, embedding and head placed or not): O(machines · layers²).

use super::{
    prune::undominated,
    seat::{Role, Seat},
};

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cheapest {
    pub(super) cost: f64,
    /// Machines by their places in the problem, the first stage's first. Which layers each has is for `cut`.
    pub(super) order: Vec<usize>,
    /// Whether nothing is cheaper.
    pub(super) exact: bool,
}

/// Costs that differ by less are equal (a picosecond): the machine that comes first is taken then.
pub(super) const EQUAL: f64 = 1e-12;
/// Bounds what is written down to find the way back: 64 MiB.
const MOST_STEPS: usize = 1 << 24;

/// How a state was reached.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// 0 where the machine is left out, else its role and one.
    role: u8,
    /// Whether the count was at its highest before.
    full: bool,
    layers: u16,
}

/// The cheapest plan of at least so many stages.
pub(super) fn cheapest(seats: &[Seat], layers: usize, least: usize) -> Option<Cheapest> {
    let seats = undominated(seats, layers);
    let whole = seats
        .iter()
        .filter(|seat| least <= 1 && seat.most(Role::Whole) == layers)
        .map(|seat| (seat.cost(Role::Whole, layers), vec![seat.machine]));
    let whole = whole.reduce(|best, next| if next.0 + EQUAL < best.0 { next } else { best });
    let (few, exact) = affordable(seats, layers, least);
    let split = Table::new(layers, least).fill(&few);
    let (cost, order) = match (whole, split) {
        (Some(whole), Some(split)) if split.0 + EQUAL < whole.0 => split,
        (Some(whole), _) => whole,
        (None, split) => split?,
    };
    Some(Cheapest { cost, order, exact })
}

/// All of them, unless so many stages are asked of so many machines that the table would not fit memory: then those
/// that take a layer most cheaply.
fn affordable(mut seats: Vec<Seat>, layers: usize, least: usize) -> (Vec<Seat>, bool) {
    let most = MOST_STEPS / Table::new(layers, least).states();
    if seats.len() <= most {
        return (seats, true);
    }
    seats.sort_by(|a, b| a.cost(Role::Middle, 1).total_cmp(&b.cost(Role::Middle, 1)));
    seats.truncate(most.max(least));
    (seats, false)
}

struct Table {
    layers: usize,
    /// Stages are counted up to here. First and last are two anyway.
    count_to: usize,
}

impl Table {
    fn new(layers: usize, least: usize) -> Self {
        Self { layers, count_to: if least > 2 { least } else { 0 } }
    }

    fn states(&self) -> usize {
        (self.count_to + 1) * 4 * (self.layers + 1)
    }

    /// `ends`: 1 where the embedding is placed, 2 where the head is.
    fn state(&self, count: usize, ends: usize, layers: usize) -> usize {
        (count * 4 + ends) * (self.layers + 1) + layers
    }

    fn fill(&self, seats: &[Seat]) -> Option<(f64, Vec<usize>)> {
        let mut costs = vec![f64::INFINITY; self.states()];
        costs[self.state(0, 0, 0)] = 0.0;
        let mut steps = vec![Step::default(); self.states() * seats.len()];
        for (seat, steps) in seats.iter().zip(steps.chunks_exact_mut(self.states())) {
            let before = costs.clone();
            for count in 0..=self.count_to {
                for ends in 0..4 {
                    for role in [Role::First, Role::Middle, Role::Last] {
                        self.take(seat, role, (count, ends), &before, &mut costs, steps);
                    }
                }
            }
        }
        let end = self.state(self.count_to, 3, self.layers);
        costs[end].is_finite().then(|| (costs[end], self.way_back(seats, &steps)))
    }

    /// Tries the machine in a role on top of all states of one count and `ends`.
    fn take(
        &self,
        seat: &Seat,
        role: Role,
        (count, ends): (usize, usize),
        before: &[f64],
        costs: &mut [f64],
        steps: &mut [Step],
    ) {
        let end = end_of(role);
        if ends & end != 0 || seat.most(role) == 0 {
            return;
        }
        let from = self.state(count, ends, 0);
        let to = self.state((count + 1).min(self.count_to), ends | end, 0);
        for placed in 0..self.layers {
            let base = before[from + placed] + seat.cost(role, 0);
            if !base.is_finite() {
                continue;
            }
            for layers in 1..=seat.most(role).min(self.layers - placed) {
                let cost = base + seat.layer * layers as f64;
                let at = to + placed + layers;
                if cost + EQUAL < costs[at] {
                    costs[at] = cost;
                    steps[at] = Step { role: role as u8 + 1, full: count == self.count_to, layers: layers as u16 };
                }
            }
        }
    }

    fn way_back(&self, seats: &[Seat], steps: &[Step]) -> Vec<usize> {
        let (mut count, mut ends, mut placed) = (self.count_to, 3, self.layers);
        let mut chosen: Vec<(Role, usize)> = Vec::new();
        for (seat, steps) in seats.iter().zip(steps.chunks_exact(self.states())).rev() {
            let step = steps[self.state(count, ends, placed)];
            let Some(role) = Role::ALL.into_iter().find(|role| *role as u8 + 1 == step.role) else { continue };
            chosen.push((role, seat.machine));
            placed -= usize::from(step.layers);
            ends &= !end_of(role);
            count = if step.full { count } else { count - 1 };
        }
        chosen.reverse();
        chosen.sort_by_key(|(role, _)| *role as u8);
        chosen.into_iter().map(|(_, machine)| machine).collect()
    }
}

/// Which of `ends` a stage places.
fn end_of(role: Role) -> usize {
    match role {
        Role::Whole => 3,
        Role::First => 1,
        Role::Middle => 0,
        Role::Last => 2,
    }
}

/// Adds up the cost of such machines with their roles, layers given to the cheapest first; `None` where they do not hold
/// all, or there are more machines than layers.
pub(super) fn shared(seats: &[(Seat, Role)], layers: usize) -> Option<f64> {
    let mut left = layers.checked_sub(seats.len())?;
    let mut cost = 0.0;
    let mut order: Vec<&(Seat, Role)> = seats.iter().collect();
    order.sort_by(|(a, _), (b, _)| a.layer.total_cmp(&b.layer));
    for (seat, role) in order {
        let more = left.min(seat.most(*role).checked_sub(1)?);
        left -= more;
        cost += seat.cost(*role, 1 + more);
    }
    (left == 0).then_some(cost)
}
