//! Every plan there is, tried one after another.

use super::{
    super::{
        Delays, Demand, Machine,
        cut::ranges,
        problem::Problem,
        search::{self, SLACK},
        seat::Role,
    },
    shapes::{delays, demand, even, machines, uneven},
};
use proptest::prelude::*;

/// The least cost of all plans; `None` where there is none.
fn least(problem: &Problem<'_>, delays: &Delays) -> Option<f64> {
    let mut best = None;
    orders(problem.machines.len(), &mut Vec::new(), &mut |order| {
        if order.len() < problem.demand.stages {
            return;
        }
        cuts(problem.layers(), order.len(), &mut Vec::new(), &mut |ends| {
            let cost = cost(problem, delays, order, ends);
            best = [best, cost].into_iter().flatten().reduce(f64::min);
        });
    });
    best
}

/// Of one plan, by the definition; `None` where it does not fit.
fn cost(problem: &Problem<'_>, delays: &Delays, order: &[usize], ends: &[usize]) -> Option<f64> {
    let mut cost = delays.route(order.iter().map(|at| problem.machines[*at]));
    for (at, layers) in order.iter().copied().zip(ranges(ends)) {
        let machine = problem.machines[at];
        if problem.need(at, layers) > machine.free {
            return None;
        }
        let own = problem.fixed(at, Role::of(layers, problem.layers()));
        cost += (own + problem.speed(at).layer * layers.len() as f64) / machine.reliability;
    }
    Some(cost)
}

fn orders(machines: usize, order: &mut Vec<usize>, each: &mut dyn FnMut(&[usize])) {
    for next in (0..machines).filter(|at| !order.contains(at)).collect::<Vec<_>>() {
        order.push(next);
        each(order);
        orders(machines, order, each);
        order.pop();
    }
}

fn cuts(layers: usize, stages: usize, ends: &mut Vec<usize>, each: &mut dyn FnMut(&[usize])) {
    let start = ends.last().copied().unwrap_or(0);
    if stages == 0 {
        return;
    }
    if stages == 1 {
        if start < layers {
            ends.push(layers);
            each(ends);
            ends.pop();
        }
        return;
    }
    for end in start + 1..layers {
        ends.push(end);
        cuts(layers, stages - 1, ends, each);
        ends.pop();
    }
}

/// What holds for every search: nothing is below the bound, and the bound is below everything.
fn bounded(demand: &Demand<'_>, machines: &[Machine], delays: &Delays) -> Result<(), TestCaseError> {
    let problem = Problem::new(demand, machines);
    let least = least(&problem, delays);
    let found = search::best(&problem, delays);
    if let Some(found) = &found {
        let cost = cost(&problem, delays, &found.order, &found.ends);
        let cost = cost.ok_or_else(|| TestCaseError::fail("the plan does not fit"))?;
        prop_assert!((cost - found.cost).abs() < 1e-9, "costs {cost}, says {}", found.cost);
        let least = least.ok_or_else(|| TestCaseError::fail("there is a plan after all"))?;
        prop_assert!(found.least_possible <= least + 1e-9, "bound {} above {least}", found.least_possible);
        if problem.is_uniform() {
            prop_assert!((found.least_possible - least).abs() < 1e-9, "{} is not {least}", found.least_possible);
            prop_assert!(cost <= least * (1.0 + SLACK) + 1e-9);
        }
    }
    prop_assert!(found.is_some() || least.is_none() || !problem.is_uniform(), "a plan is there and not found");
    Ok(())
}

proptest! {
    #[test]
    fn the_best_plan_is_found(machines in machines(1..5), layers in 1_usize..7, stages in 1_usize..4) {
        let manifest = even(layers);
        bounded(&demand(&manifest, stages), &machines, &Delays::default())?;
    }

    #[test]
    fn so_it_is_with_delays_of_pairs(machines in machines(2..5), delays in delays(4), layers in 2_usize..6) {
        let manifest = even(layers);
        bounded(&demand(&manifest, 1), &machines, &delays)?;
    }

    #[test]
    fn with_layers_of_different_sizes_the_bound_holds(
        machines in machines(1..5), manifest in uneven(1..6), delays in delays(4), pairs: bool,
    ) {
        let delays = if pairs { delays } else { Delays::default() };
        bounded(&demand(&manifest, 1), &machines, &delays)?;
    }
}
