//! Which machines, in which order, where delays belong to pairs of machines. Exact for few machines: the shortest way
//! through every subset (Held and Karp, <https://doi.org/10.1137/0110015>), with the layers shared out on it.

use super::{
    fill::{Cheapest, EQUAL, shared},
    seat::{Role, Seat},
};

/// Machines that are few: 2¹⁰ subsets, and 10 · 10 ends of each, take some ten milliseconds.
pub(super) const EXACT: usize = 10;

/// Delays of one way: from the coordinator and back, and between machines, by their places among the seats.
pub(super) struct Ways {
    pub(super) outside: Vec<f64>,
    pub(super) between: Vec<Vec<f64>>,
}

/// The cheapest plan of at least so many stages over these machines, at most [`EXACT`] of them, whose seats count no
/// delay. The cost is the sum of theirs and of the delays.
pub(super) fn cheapest(seats: &[Seat], ways: &Ways, layers: usize, least: usize) -> Option<Cheapest> {
    let whole = (0..seats.len()).filter(|at| least <= 1 && seats[*at].most(Role::Whole) == layers);
    let whole = whole.map(|at| (seats[at].cost(Role::Whole, layers) + 2.0 * ways.outside[at], vec![at]));
    let firsts = (0..seats.len()).filter(|at| seats[*at].most(Role::First) > 0);
    let split = firsts.filter_map(|first| Routes::new(first, seats.len(), ways).cheapest(seats, ways, layers, least));
    let better = |best: (f64, _), next: (f64, _)| if next.0 + EQUAL < best.0 { next } else { best };
    let (cost, order) = whole.chain(split).reduce(better)?;
    Some(Cheapest { cost, order: order.into_iter().map(|at| seats[at].machine).collect(), exact: true })
}

/// The shortest ways from one machine through every set of machines to every end.
struct Routes {
    machines: usize,
    first: usize,
    /// By set and end.
    delays: Vec<f64>,
    before: Vec<usize>,
}

impl Routes {
    fn new(first: usize, machines: usize, ways: &Ways) -> Self {
        let size = (1 << machines) * machines;
        let mut this = Self { machines, first, delays: vec![f64::INFINITY; size], before: vec![first; size] };
        let start = this.at(1 << first, first);
        this.delays[start] = ways.outside[first];
        for set in 1_usize..1 << machines {
            for end in (0..machines).filter(|end| set >> end & 1 == 1) {
                let so_far = this.delays[this.at(set, end)];
                if !so_far.is_finite() {
                    continue;
                }
                for next in (0..machines).filter(|next| set >> next & 1 == 0) {
                    let to = this.at(set | 1 << next, next);
                    let delay = so_far + ways.between[end][next];
                    if delay < this.delays[to] {
                        (this.delays[to], this.before[to]) = (delay, end);
                    }
                }
            }
        }
        this
    }

    fn at(&self, set: usize, end: usize) -> usize {
        set * self.machines + end
    }

    fn cheapest(&self, seats: &[Seat], ways: &Ways, layers: usize, least: usize) -> Option<(f64, Vec<usize>)> {
        let mut best: Option<(f64, usize, usize)> = None;
        let fastest = seats.iter().map(|seat| seat.layer).fold(f64::INFINITY, f64::min) * layers as f64;
        for set in (1_usize..1 << self.machines).filter(|set| set.count_ones() as usize >= least.max(2)) {
            for last in (0..self.machines).filter(|last| *last != self.first && seats[*last].most(Role::Last) > 0) {
                let delay = self.delays[self.at(set, last)] + ways.outside[last];
                let known = best.map_or(f64::INFINITY, |(cost, ..)| cost);
                if !delay.is_finite() {
                    continue;
                }
                let role = |at| match at {
                    at if at == self.first => Role::First,
                    at if at == last => Role::Last,
                    _ => Role::Middle,
                };
                let members = (0..self.machines).filter(|at| set >> at & 1 == 1);
                let taking_part: f64 = members.clone().map(|at| seats[at].cost(role(at), 0)).sum();
                if delay + taking_part + fastest >= known {
                    continue;
                }
                let members: Vec<(Seat, Role)> = members.map(|at| (seats[at], role(at))).collect();
                let cost = shared(&members, layers).map(|cost| cost + delay);
                if let Some(cost) = cost.filter(|cost| cost + EQUAL < known) {
                    best = Some((cost, set, last));
                }
            }
        }
        best.map(|(cost, set, last)| (cost, self.way(set, last)))
    }

    fn way(&self, mut set: usize, last: usize) -> Vec<usize> {
        let (mut order, mut end) = (vec![last], last);
        while end != self.first {
            let before = self.before[self.at(set, end)];
            set &= !(1 << end);
            order.push(before);
            end = before;
        }
        order.reverse();
        order
    }
}
