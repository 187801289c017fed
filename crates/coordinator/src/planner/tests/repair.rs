use super::{
    super::{Delays, Machine, plan, repair, should_move, spares},
    shapes::{cpu, demand, even, machines, takes},
};
use gogrid_wire::PeerId;
use proptest::prelude::*;

#[test]
fn what_is_left_stays_and_a_warm_machine_comes_before_a_faster_one() {
    let (manifest, delays) = (even(8), Delays::default());
    let demand = demand(&manifest, 2);
    let all: Vec<Machine> = (1..=4).map(|id| cpu(id, 13)).collect();
    let former = plan(&demand, &all[..2], &delays).expect("a plan").stages;
    let [first, second] = [former[0].machine, former[1].machine];
    let left: Vec<Machine> = all.iter().filter(|machine| machine.id != first).cloned().collect();
    let best = plan(&demand, &left, &delays).expect("a plan");
    let repaired = repair(&demand, &left, &delays, &former, &[], &best).expect("repaired");
    assert_eq!(repaired.stages[1], former[1]);
    assert_eq!(repaired.stages[0].layers, former[0].layers);

    // Of two others, the one that has the stage in memory.
    let faster = left.iter().map(|m| if m.id == cpu(4, 13).id { takes(m.clone(), 0.09) } else { m.clone() });
    let faster: Vec<Machine> = faster.collect();
    let other: Vec<Machine> =
        left.iter().filter(|machine| ![second, cpu(4, 13).id].contains(&machine.id)).cloned().collect();
    let warm: Vec<_> = spares(&demand, &other, &former[..1]).into_iter().map(|spare| spare.place).collect();
    let best = plan(&demand, &faster, &delays).expect("a plan");
    let repaired = repair(&demand, &faster, &delays, &former, &warm, &best).expect("repaired");
    assert_eq!(repaired.stages[0].machine, warm[0].machine);
    assert_eq!(repaired.stages[0].kv_budget, warm[0].kv_budget, "it is the stage that is in memory");

    assert_eq!(repair(&demand, &left[1..], &delays, &former, &[], &best).map(|_| ()), None, "nobody of it is left");
    let needs_more = super::shapes::demand(&manifest, 3);
    assert_eq!(repair(&needs_more, &left, &delays, &former, &[], &best).map(|_| ()), None, "it has too few stages");
}

proptest! {
    /// Whoever is lost: the stages of machines that are left are as they were, the others are on machines of their own
    /// that have room, and it is nearly as good as the best plan.
    #[test]
    fn a_repaired_plan_is_whole(machines in machines(3..9), stages in 1_usize..4, lost in 0_usize..4) {
        let (manifest, delays) = (even(8), Delays::default());
        let demand = demand(&manifest, stages);
        let Ok(former) = plan(&demand, &machines, &delays) else { return Ok(()) };
        let gone = former.stages[lost % former.stages.len()].machine;
        let left: Vec<Machine> = machines.into_iter().filter(|machine| machine.id != gone).collect();
        let Ok(best) = plan(&demand, &left, &delays) else { return Ok(()) };
        let Some(repaired) = repair(&demand, &left, &delays, &former.stages, &[], &best) else { return Ok(()) };
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
