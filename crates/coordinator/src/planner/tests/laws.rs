//! Properties of every plan.

use super::{
    super::{Machine, plan, predict, problem::Problem, search, search::SLACK},
    greedy,
    shapes::{cpu, demand, even, machines, uneven},
};
use gogrid_model::Layers;
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_layer_is_placed_once_in_order_and_no_memory_is_exceeded(
        machines in machines(1..16), manifest in uneven(1..12), stages in 1_usize..4,
    ) {
        let Ok(plan) = plan(&demand(&manifest, stages), &machines) else { return Ok(()) };
        let mut next = 0;
        for stage in &plan.stages {
            prop_assert!(stage.layers.start == next && stage.layers.end > next);
            next = stage.layers.end;
            let machine = machines.iter().find(|machine| machine.id == stage.machine).expect("a machine");
            prop_assert!(stage.memory.total() <= machine.free, "{} of {}", stage.memory.total(), machine.free);
            prop_assert!(stage.kv_tokens >= manifest.config.context_length as u64, "one whole context");
            prop_assert!(stage.kv_budget == stage.memory.kv && stage.memory.headroom >= stage.memory.peak() / 5);
            prop_assert_eq!(plan.stages.iter().filter(|other| other.machine == stage.machine).count(), 1);
        }
        prop_assert_eq!(next, manifest.config.layers.len());
        prop_assert!(plan.stages.len() >= stages);
        prop_assert!(plan.beyond_best >= 0.0 && plan.beyond_best.is_finite());
    }

    #[test]
    fn no_plan_is_slower_than_a_greedy_one(
        machines in machines(1..12), manifest in uneven(1..12), stages in 1_usize..4,
    ) {
        let machines: Vec<Machine> =
            machines.into_iter().map(|machine| Machine { reliability: 1.0, ..machine }).collect();
        let demand = demand(&manifest, stages);
        let problem = Problem::new(&demand, &machines);
        let Some((order, ends)) = greedy::plan(&problem) else { return Ok(()) };
        let mut start = 0;
        let before: Vec<_> = order.iter().zip(&ends).map(|(at, end)| {
            let layers = Layers { start: std::mem::replace(&mut start, *end), end: *end };
            (problem.machines[*at].id, layers)
        }).collect();
        let before = predict(&demand, &machines, &before).expect("a plan");
        let now = plan(&demand, &machines).expect("there is a plan");
        prop_assert!(now.predicted.per_token <= before.per_token * (1.0 + SLACK) + 1e-9);
    }

    /// More memory, a faster or nearer machine, or one machine more never raises the least cost.
    #[test]
    fn more_is_never_slower(
        machines in machines(2..10), layers in 1_usize..10, at in 0_usize..10, more in 1_u64..20, how in 0..4,
    ) {
        let manifest = even(layers);
        let demand = demand(&manifest, 1);
        let least = |machines: &[Machine]| {
            search::best(&Problem::new(&demand, machines)).map(|found| found.lower_bound)
        };
        let Some(before) = least(&machines) else { return Ok(()) };
        let mut better = machines.clone();
        let at = at % machines.len();
        match how {
            0 => better[at].free += more << 20,
            1 => {
                if let Some(speed) = &mut better[at].measured {
                    speed.layer /= 1.0 + more as f64;
                }
            }
            2 => better[at].link.delay /= 1.0 + more as f64,
            _ => better.push(cpu(99, more)),
        }
        let after = least(&better).expect("there is a plan still");
        prop_assert!(after <= before + 1e-9, "{after} after {before}");
    }
}
