//! Two sites.

use super::{
    super::{Delays, Machine, plan},
    shapes::{cpu, demand, even, takes},
};

/// So many machines, in turn here and there; from one site to the other it takes `ms`.
fn two_sites(count: u8, ms: f64) -> (Vec<Machine>, Delays) {
    let machines: Vec<Machine> = (1..=count).map(|id| takes(cpu(id, 14), 1.0)).collect();
    let mut delays = Delays::default();
    for a in &machines {
        for b in machines.iter().filter(|b| a.id.0[0] % 2 != b.id.0[0] % 2) {
            delays.set(a.id, b.id, ms / 1e3);
        }
    }
    (machines, delays)
}

fn sites(machines: &[Machine], delays: &Delays) -> (Vec<u8>, f64) {
    let manifest = even(8);
    let plan = plan(&demand(&manifest, 3), machines, delays).expect("a plan");
    (plan.stages.iter().map(|stage| stage.machine.0[0] % 2).collect(), plan.beyond_best)
}

#[test]
fn a_pipeline_stays_on_one_site_where_it_can() {
    for count in [8, 40] {
        let (machines, delays) = two_sites(count, 20.0);
        let (sites, _) = sites(&machines, &delays);
        assert!(sites.iter().all(|site| *site == sites[0]), "{count} machines: {sites:?}");
    }
}

#[test]
fn a_pipeline_that_needs_both_sites_crosses_once() {
    let (machines, delays) = two_sites(4, 20.0);
    let manifest = even(8);
    let plan = plan(&demand(&manifest, 4), &machines, &delays).expect("a plan");
    let sites: Vec<u8> = plan.stages.iter().map(|stage| stage.machine.0[0] % 2).collect();
    assert_eq!(sites.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1, "{sites:?}");
}

#[test]
fn the_bound_says_how_far_the_best_may_be() {
    let (machines, delays) = two_sites(8, 20.0);
    assert!(sites(&machines, &delays).1 <= 0.02, "eight machines are searched through");
    let (machines, delays) = two_sites(40, 20.0);
    assert!(sites(&machines, &delays).1 < 0.2, "{}", sites(&machines, &delays).1);
}
