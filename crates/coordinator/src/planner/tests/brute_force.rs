//! The search against every possible plan.

use super::{
    super::{
        Demand, Machine,
        partition::layer_ranges,
        problem::{HOP, Problem},
        search::{self, SLACK},
    },
    shapes::{demand, even, machines, uneven},
};
use proptest::prelude::*;

/// The least cost of all plans; `None` if there is none.
fn least(problem: &Problem<'_>) -> Option<f64> {
    let mut best = None;
    orders(problem.machines.len(), &mut Vec::new(), &mut |order| {
        if order.len() < problem.demand.stages {
            return;
        }
        cuts(problem.layers(), order.len(), &mut Vec::new(), &mut |ends| {
            let cost = cost(problem, order, ends);
            best = [best, cost].into_iter().flatten().reduce(f64::min);
        });
    });
    best
}

/// The cost of one plan by its definition; `None` if it does not fit.
fn cost(problem: &Problem<'_>, order: &[usize], ends: &[usize]) -> Option<f64> {
    let mut cost = 0.0;
    for (at, layers) in order.iter().copied().zip(layer_ranges(ends)) {
        let machine = problem.machines[at];
        if problem.memory_needed(at, layers) > machine.free {
            return None;
        }
        let (first, last) = (layers.start == 0, layers.end == problem.layers());
        let transfers = f64::from(u8::from(!first) + u8::from(!last)) * problem.transfer_seconds(at);
        let speed = problem.speed(at);
        let head = if last { speed.head } else { 0.0 };
        let compute = speed.layer * layers.len() as f64 + head;
        cost += (HOP + 2.0 * machine.link.delay + transfers + compute) / machine.reliability;
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

/// Holds for every search: no plan costs less than the lower bound, and with layers of equal size the plan is the best.
fn check_search(demand: &Demand<'_>, machines: &[Machine]) -> Result<(), TestCaseError> {
    let problem = Problem::new(demand, machines);
    let least = least(&problem);
    let found = search::best(&problem);
    if let Some(found) = &found {
        let cost = cost(&problem, &found.order, &found.ends);
        let cost = cost.ok_or_else(|| TestCaseError::fail("the plan does not fit"))?;
        prop_assert!((cost - found.cost).abs() < 1e-9, "costs {cost}, says {}", found.cost);
        let least = least.ok_or_else(|| TestCaseError::fail("there is a plan after all"))?;
        prop_assert!(found.lower_bound <= least + 1e-9, "bound {} above {least}", found.lower_bound);
        if problem.is_uniform() {
            prop_assert!((found.lower_bound - least).abs() < 1e-9, "{} is not {least}", found.lower_bound);
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
        check_search(&demand(&manifest, stages), &machines)?;
    }

    #[test]
    fn with_layers_of_different_sizes_the_bound_holds(machines in machines(1..5), manifest in uneven(1..6)) {
        check_search(&demand(&manifest, 1), &machines)?;
    }
}
