//! Thousands of machines. `gogrid plan` shows how long that takes; a test would measure the machine that it runs on.

use super::{
    super::{Machine, candidate_cost::LayerSizes, plan, problem::Problem, prune::undominated},
    shapes::{cpu, demand, even, takes},
};
use gogrid_wire::PeerId;

fn company(count: usize) -> Vec<Machine> {
    let machine = |at: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&at.to_le_bytes());
        // A faster machine has less memory and no two are equal, so none is better than another in everything.
        let (mib, ms) = (6 + at % 12, 1.0 + (at % 12) as f64 / 4.0 + at as f64 * 1e-6);
        Machine { id: PeerId(id), ..takes(cpu(0, mib as u64), ms) }
    };
    (0..count).map(machine).collect()
}

#[test]
fn of_equal_machines_no_more_stay_than_a_pipeline_can_have_stages() {
    let manifest = even(20);
    let demand = demand(&manifest, 1);
    let machines: Vec<Machine> = company(2000).into_iter().map(|machine| takes(machine, 1.0)).collect();
    let problem = Problem::new(&demand, &machines);
    let candidates = problem.candidates(LayerSizes::Largest);
    let kept = undominated(&candidates, 20);
    assert!(kept.len() <= 20 * 12, "twelve sizes, twenty stages: {}", kept.len());
}

#[test]
fn thousands_of_machines_are_planned_exactly() {
    let manifest = even(20);
    let plan = plan(&demand(&manifest, 1), &company(2000)).expect("a plan");
    assert!(plan.beyond_best <= 0.02 + 1e-9);
}
