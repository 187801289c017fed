use super::{
    super::{Machine, plan, repair, should_move, spares},
    shapes::{cpu, demand, even, machines, takes},
};
use gogrid_wire::PeerId;
use proptest::prelude::*;

#[test]
fn what_is_left_stays_and_a_warm_machine_comes_before_a_faster_one() {
    let manifest = even(8);
    let demand = demand(&manifest, 2);
    let all: Vec<Machine> = (1..=4).map(|id| cpu(id, 13)).collect();
    let former = plan(&demand, &all[..2]).expect("a plan").stages;
    let [first, second] = [former[0].machine, former[1].machine];
    let left: Vec<Machine> = all.iter().filter(|machine| machine.id != first).cloned().collect();
    let best = plan(&demand, &left).expect("a plan");
    let repaired = repair(&demand, &left, &former, &[], &best).expect("repaired");
    assert_eq!(repaired.stages[1], former[1]);
    assert_eq!(repaired.stages[0].layers, former[0].layers);

    // Of two unused machines, the one that has the stage loaded.
    let faster = left.iter().map(|m| if m.id == cpu(4, 13).id { takes(m.clone(), 0.09) } else { m.clone() });
    let faster: Vec<Machine> = faster.collect();
    let other: Vec<Machine> =
        left.iter().filter(|machine| ![second, cpu(4, 13).id].contains(&machine.id)).cloned().collect();
    let warm: Vec<_> = spares(&demand, &other, &former[..1]).into_iter().map(|spare| spare.place).collect();
    let best = plan(&demand, &faster).expect("a plan");
    let repaired = repair(&demand, &faster, &former, &warm, &best).expect("repaired");
    assert_eq!(repaired.stages[0].machine, warm[0].machine);
    assert_eq!(repaired.stages[0].kv_budget, warm[0].kv_budget, "it is the stage that is in memory");

    assert_eq!(repair(&demand, &left[1..], &former, &[], &best).map(|_| ()), None, "no machine of it is left");
    let needs_more = super::shapes::demand(&manifest, 3);
    assert_eq!(repair(&needs_more, &left, &former, &[], &best).map(|_| ()), None, "it has too few stages");
}

proptest! {
    /// Whichever machine is lost: the stages on the other machines stay as they were, the lost ones go to unused
    /// machines that have the memory, and the plan is nearly as good as the best one.
    #[test]
    fn a_repaired_plan_is_whole(machines in machines(3..9), stages in 1_usize..4, lost in 0_usize..4) {
        let manifest = even(8);
        let demand = demand(&manifest, stages);
        let Ok(former) = plan(&demand, &machines) else { return Ok(()) };
        let gone = former.stages[lost % former.stages.len()].machine;
        let left: Vec<Machine> = machines.into_iter().filter(|machine| machine.id != gone).collect();
        let Ok(best) = plan(&demand, &left) else { return Ok(()) };
        let Some(repaired) = repair(&demand, &left, &former.stages, &[], &best) else { return Ok(()) };
        for (before, now) in former.stages.iter().zip(&repaired.stages) {
            prop_assert_eq!(before.layers, now.layers);
            if before.machine == gone {
                let machine = left.iter().find(|machine| machine.id == now.machine).expect("it is there");
                prop_assert!(now.memory.total() <= machine.free);
            } else {
                prop_assert_eq!(before, now);
            }
        }
        let mut used: Vec<PeerId> = repaired.stages.iter().map(|stage| stage.machine).collect();
        used.sort_unstable();
        used.dedup();
        prop_assert_eq!(used.len(), former.stages.len(), "each has a machine of its own");
        prop_assert!(!should_move(&repaired.predicted, &best.predicted));
        prop_assert!(repaired.beyond_best >= 0.0);
    }
}
