//! The best of what the searches find, and how far from the best it can be.

use super::{
    Delays, Machine,
    cut::{Cuts, ranges},
    fill,
    problem::{Problem, View},
    route::{self, EXACT, Ways},
    seat::{Role, Seat},
};
use gogrid_model::Layers;

/// So much of the least cost is given for room: machines that were measured as nearly equal share the layers evenly,
/// instead of one being filled to the brim for a gain that nobody can measure.
pub(super) const SLACK: f64 = 0.02;
/// Machines around which plans are looked for when there are too many for an exact search with delays of pairs.
const CENTRES: usize = 16;
/// Halvings in the search for the fullest machine's share: to less than a thousandth.
const HALVINGS: usize = 12;

/// Machines in order, by their places in the problem, with the end of each one's layers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) order: Vec<usize>,
    pub(super) ends: Vec<usize>,
    /// Seconds of one token, weighted by reliability.
    pub(super) cost: f64,
    /// No plan costs less.
    pub(super) least_possible: f64,
}

/// The cheapest plan; `None` where there is none.
pub(super) fn best(problem: &Problem<'_>, delays: &Delays) -> Option<Found> {
    let (searched, least_possible) = if delays.is_empty() { by_machine(problem) } else { by_pair(problem, delays) };
    let seats = problem.seats_without_delay();
    let orders = searched.into_iter().filter_map(|order| in_order(problem, delays, &seats, order));
    let by_memory = first_machines(problem, delays, &seats);
    let better = |best: Found, next: Found| if next.cost + fill::EQUAL < best.cost { next } else { best };
    let best = orders.chain(by_memory).reduce(better)?;
    let best = roomier(problem, &seats, best);
    // With layers of different sizes a search that counts on luck may find less than there is.
    Some(Found { least_possible: least_possible.min(best.cost), ..best })
}

/// Where delays belong to machines.
fn by_machine(problem: &Problem<'_>) -> (Vec<Vec<usize>>, f64) {
    let (layers, least) = (problem.layers(), problem.demand.stages);
    let delay = |machine: usize| problem.machines[machine].link.delay;
    let careful = fill::cheapest(&problem.seats(View::Careful, delay), layers, least);
    let least_possible = match &careful {
        Some(found) if found.exact && problem.is_uniform() => found.cost,
        _ => bound(problem, fill::cheapest(&problem.seats(View::Hopeful, delay), layers, least).as_ref()),
    };
    (careful.map(|found| found.order).into_iter().collect(), least_possible)
}

/// Where delays belong to pairs.
fn by_pair(problem: &Problem<'_>, delays: &Delays) -> (Vec<Vec<usize>>, f64) {
    let (layers, least) = (problem.layers(), problem.demand.stages);
    let exact = |seats: &[Seat]| {
        let machines: Vec<&Machine> = seats.iter().map(|seat| problem.machines[seat.machine]).collect();
        let between = |a: &&Machine| machines.iter().map(|b| delays.between(a, b)).collect();
        let ways = Ways {
            outside: machines.iter().map(|machine| machine.link.delay).collect(),
            between: machines.iter().map(between).collect(),
        };
        route::cheapest(seats, &ways, layers, least)
    };
    let careful = problem.seats(View::Careful, |_| 0.0);
    let found = if careful.len() <= EXACT { exact(&careful) } else { None };
    if let Some(found) = found.as_ref().filter(|_| problem.is_uniform()) {
        return (vec![found.order.clone()], found.cost);
    }
    // Every stage has a hop that comes and one that goes, neither shorter than its machine's shortest: half of both
    // belongs to it. Where a pair is not known its delay is above either machine's own.
    let known = delays.shortest();
    let shortest = |machine: usize| {
        let Machine { id, link, .. } = problem.machines[machine];
        known.get(id).copied().unwrap_or(f64::INFINITY).min(link.delay) / 2.0
    };
    let relaxed = fill::cheapest(&problem.seats(View::Hopeful, shortest), layers, least);
    let least_possible = bound(problem, relaxed.as_ref());
    let relaxed = relaxed.map(|found| found.order).unwrap_or_default();
    if let Some(found) = found {
        return (vec![found.order], least_possible);
    }

    // The best machines around each centre: those that take a layer most cheaply, the way from there included.
    let around = |centre: usize| {
        let from = problem.machines[centre];
        let cost = |seat: &Seat| {
            let most = seat.most.iter().copied().max().unwrap_or(1).max(1);
            let way = 2.0 * delays.between(from, problem.machines[seat.machine]);
            let cost = seat.layer + (seat.fixed[Role::Middle as usize] + way) / most as f64;
            if seat.machine == centre { 0.0 } else { cost }
        };
        let mut near: Vec<(f64, Seat)> = careful.iter().map(|seat| (cost(seat), *seat)).collect();
        near.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let near: Vec<Seat> = near.into_iter().take(EXACT).map(|(_, seat)| seat).collect();
        exact(&near).map(|found| found.order)
    };
    let mut by_speed = careful.clone();
    by_speed.sort_by(|a, b| a.cost(Role::Middle, 1).total_cmp(&b.cost(Role::Middle, 1)));
    let mut centres: Vec<usize> = relaxed.iter().copied().take(CENTRES / 2).collect();
    centres.extend(by_speed.iter().map(|seat| seat.machine).filter(|at| !relaxed.contains(at)));
    centres.truncate(CENTRES);
    let mut orders: Vec<Vec<usize>> = centres.into_iter().filter_map(around).collect();
    if !relaxed.is_empty() {
        orders.push(nearest_next(problem, delays, relaxed));
    }
    (orders, least_possible)
}

/// What no plan is below, by a search that counts on luck; where that one was not exact, or found nothing: all layers at
/// the cheapest, and one stage.
fn bound(problem: &Problem<'_>, found: Option<&fill::Cheapest>) -> f64 {
    if let Some(found) = found.filter(|found| found.exact) {
        return found.cost;
    }
    let seats = problem.seats_without_delay();
    let least = |of: &dyn Fn(&Seat) -> f64| seats.iter().map(of).fold(f64::INFINITY, f64::min);
    let stage = least(&|seat| seat.fixed.iter().copied().fold(f64::INFINITY, f64::min));
    least(&|seat| seat.layer) * problem.layers() as f64 + stage
}

/// The same first machine, then always the nearest of the rest.
fn nearest_next(problem: &Problem<'_>, delays: &Delays, mut rest: Vec<usize>) -> Vec<usize> {
    let mut order = vec![rest.remove(0)];
    while let Some(last) = order.last().copied().filter(|_| !rest.is_empty()) {
        let way = |at: &usize| delays.between(problem.machines[last], problem.machines[*at]);
        let next = (0..rest.len()).min_by(|a, b| way(&rest[*a]).total_cmp(&way(&rest[*b])));
        order.push(rest.remove(next.unwrap_or(0)));
    }
    order
}

/// The cheapest cut over these machines in this order.
fn in_order(problem: &Problem<'_>, delays: &Delays, seats: &[Seat], order: Vec<usize>) -> Option<Found> {
    let cost = |at: usize, layers| stage_cost(problem, seats, order[at], layers);
    let (cost, ends) = Cuts::new(problem.layers(), order.len(), cost).of(order.len())?;
    let cost = cost + delays.route(order.iter().map(|at| problem.machines[*at]));
    Some(Found { order, ends, cost, least_possible: 0.0 })
}

/// The cheapest cuts over the first machines of all, however many: finds a place where the careful view of layers of
/// different sizes sees none.
fn first_machines(problem: &Problem<'_>, delays: &Delays, seats: &[Seat]) -> Vec<Found> {
    if problem.is_uniform() && delays.is_empty() {
        return Vec::new();
    }
    let most = problem.machines.len().min(problem.layers());
    let cuts = Cuts::new(problem.layers(), most, |at, layers| stage_cost(problem, seats, at, layers));
    let found = |machines: usize| {
        let (cost, ends) = cuts.of(machines)?;
        let cost = cost + delays.route(problem.machines[..machines].iter().copied());
        Some(Found { order: (0..machines).collect(), ends, cost, least_possible: 0.0 })
    };
    (problem.demand.stages.max(1)..=most).filter_map(found).collect()
}

fn stage_cost(problem: &Problem<'_>, seats: &[Seat], machine: usize, layers: Layers) -> Option<f64> {
    let fits = problem.need(machine, layers) <= problem.machines[machine].free;
    fits.then(|| seats[machine].cost(Role::of(layers, problem.layers()), layers.len()))
}

/// The same machines, cut such that the fullest is as little full as the slack allows: then most sessions fit, and a
/// batch of many spends its time evenly.
fn roomier(problem: &Problem<'_>, seats: &[Seat], found: Found) -> Found {
    let Found { order, ends, cost, least_possible } = found;
    let stages = |ends: &[usize]| order.iter().copied().zip(ranges(ends)).collect::<Vec<_>>();
    let fullest = |ends: &[usize]| {
        let shares = stages(ends).into_iter().map(|(machine, layers)| problem.share(machine, layers));
        shares.fold(0.0, f64::max)
    };
    let compute = |ends: &[usize]| {
        let costs =
            stages(ends).into_iter().filter_map(|(machine, layers)| stage_cost(problem, seats, machine, layers));
        costs.sum::<f64>()
    };
    let delays = cost - compute(&ends);
    let within = |share: f64| {
        let cost = |at: usize, layers| {
            let cost = stage_cost(problem, seats, order[at], layers)?;
            (problem.share(order[at], layers) <= share).then_some(cost)
        };
        Cuts::new(problem.layers(), order.len(), cost).of(order.len()).map(|(cost, ends)| (cost + delays, ends))
    };
    let mut best = (cost, ends.clone());
    let (mut low, mut high) = (0.0, fullest(&ends));
    for _ in 0..HALVINGS {
        let share = (low + high) / 2.0;
        match within(share) {
            Some((found, ends)) if found <= cost * (1.0 + SLACK) => {
                high = fullest(&ends);
                best = (found, ends);
            }
            _ => low = share,
        }
    }
    let (cost, ends) = best;
    Found { order, ends, cost, least_possible }
}
