//! What an operator reads about a plan, and the choices behind it.

use super::{
    super::{Machine, PlanError, Predicted, plan, replicas, should_move, spares},
    shapes::{cpu, demand, even, takes},
};

fn binding(stages: usize, machines: &[Machine]) -> String {
    let manifest = even(8);
    plan(&demand(&manifest, stages), machines).expect("a plan").binding.to_string()
}

#[test]
fn what_fits_one_machine_goes_there_because_of_the_delay() {
    let text = binding(1, &[cpu(1, 60), cpu(2, 60)]);
    assert!(text.starts_with("one machine holds it all; delay: one machine more would cost"), "{text}");
    assert_eq!(binding(1, &[cpu(1, 60)]), "one machine holds it all; no other machine can take a part of it");
}

#[test]
fn what_does_not_fit_is_split_because_of_memory() {
    let text = binding(1, &[cpu(1, 13), cpu(2, 13), cpu(3, 13), cpu(4, 13)]);
    assert!(text.starts_with("memory: 2 machines, because no fewer hold the"), "{text}");
    assert!(text.contains("none lends more than 13.0 MiB; delay: one machine more"), "{text}");
}

#[test]
fn the_operators_wish_is_named() {
    let text = binding(2, &[cpu(1, 60), cpu(2, 60)]);
    assert!(text.starts_with("the operator: 2 stages are asked for, 1 would do"), "{text}");
}

#[test]
fn fast_machines_share_what_a_slow_one_could_hold() {
    let machines = [takes(cpu(1, 60), 50.0), takes(cpu(2, 13), 1.0), takes(cpu(3, 13), 1.0)];
    let text = binding(1, &machines);
    assert!(text.starts_with("speed: 1 would hold it, but a token takes less on 2 machines"), "{text}");
}

#[test]
fn a_model_that_cannot_be_placed_has_a_reason() {
    let manifest = even(8);
    let error = |stages, machines: &[Machine]| plan(&demand(&manifest, stages), machines).expect_err("no place");
    assert_eq!(error(1, &[]), PlanError::NoMachines);
    assert_eq!(error(9, &[cpu(1, 60)]), PlanError::TooFewLayers { wanted: 9, layers: 8 });
    assert_eq!(error(2, &[cpu(1, 60)]), PlanError::TooFewMachines { wanted: 2, connected: 1 });
    assert!(matches!(error(1, &[cpu(1, 5), cpu(2, 5)]), PlanError::NotEnoughMemory { machines: 2, .. }));
    let groups = ["lab".to_owned()];
    let demand = super::super::Demand { groups: &groups, ..demand(&manifest, 1) };
    let lab = Machine { groups: groups.to_vec(), ..cpu(2, 60) };
    let refused = plan(&demand, &[cpu(1, 60)]);
    assert_eq!(refused.expect_err("no place").to_string(), "no machine of the groups lab is connected");
    let placed = plan(&demand, &[cpu(1, 60), lab.clone()]).expect("a plan");
    assert_eq!(placed.stages[0].machine, lab.id);
}

#[test]
fn equal_machines_share_evenly_and_the_largest_come_first() {
    let manifest = even(8);
    let machines = [cpu(1, 18), cpu(2, 30), cpu(3, 30)];
    let plan = plan(&demand(&manifest, 2), &machines).expect("a plan");
    let stages: Vec<_> = plan.stages.iter().map(|stage| (stage.machine.0[0], stage.layers.len())).collect();
    assert_eq!(stages, [(2, 4), (3, 4)]);
}

#[test]
fn whole_contexts_that_are_asked_for_have_room() {
    let manifest = even(8);
    let machines = [cpu(1, 18), cpu(2, 18), cpu(3, 18)];
    let demand = super::super::Demand { concurrency: 3, sessions: 3, ..demand(&manifest, 1) };
    let plan = plan(&demand, &machines).expect("a plan");
    assert_eq!(plan.stages.len(), 2, "one context fits one machine, three do not");
    assert!(plan.stages.iter().all(|stage| stage.kv_tokens == 3 * 256));
}

#[test]
fn a_machine_that_flaps_is_taken_last() {
    let manifest = even(8);
    let flapping = Machine { reliability: 0.4, ..cpu(1, 90) };
    let plan = plan(&demand(&manifest, 1), &[flapping, cpu(2, 60)]).expect("a plan");
    assert_eq!(plan.stages[0].machine, cpu(2, 60).id);
}

#[test]
fn other_machines_make_replicas_and_spares() {
    let manifest = even(8);
    let demand = demand(&manifest, 1);
    let machines: Vec<Machine> = (1..=7).map(|id| cpu(id, 13)).collect();
    let first = plan(&demand, &machines).expect("a plan");
    let more = replicas(&demand, &machines, &first, 8);
    assert_eq!(more.len(), 2, "seven machines are three pairs and one");
    let mut used: Vec<_> = more.iter().chain([&first]).flat_map(|plan| &plan.stages).map(|s| s.machine).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 6);

    // The stage on the machine that is lost most often is the one to keep warm.
    let shaky = first.stages[1].machine;
    let machines: Vec<Machine> = machines
        .into_iter()
        .map(|machine| Machine { reliability: if machine.id == shaky { 0.5 } else { 1.0 }, ..machine })
        .collect();
    let spares = spares(&demand, &machines, &first.stages);
    assert_eq!(spares.iter().map(|spare| spare.stage).collect::<Vec<_>>(), [1, 0]);
    assert!(
        spares[0].place.machine != spares[1].place.machine && spares.iter().all(|spare| spare.place.memory.weights > 0)
    );
}

#[test]
fn a_small_gain_is_not_worth_a_move() {
    let takes = |ms: f64| Predicted { per_token: ms / 1e3, per_prompt_token: ms / 1e4 };
    assert!(!should_move(&takes(50.0), &takes(45.0)) && !should_move(&takes(50.0), &takes(60.0)));
    assert!(should_move(&takes(50.0), &takes(30.0)));
}
