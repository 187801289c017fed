//! Machines that beat and do not do what they were told.

use crate::fleet::{
    Activity, Event,
    driver::{Driver, demo_model},
};
use gogrid_wire::{
    Epoch, PeerId,
    control::{Lends, LoadFailure, ToCoordinator, ToWorker},
};
use std::{collections::BTreeMap, time::Duration};

const MEMORY: u64 = 600 << 20;
/// The machine that is planned with first, having a GPU.
const FAST: PeerId = PeerId([1; 32]);
const SLOW: PeerId = PeerId([2; 32]);
const TICK: Duration = Duration::from_millis(100);

fn driver() -> Driver {
    Driver::new(&[demo_model("demo", 1, 1)])
}

fn connect(driver: &mut Driver, peer: PeerId, device: &str) {
    let hello = driver.hello(peer, device, MEMORY);
    driver.step(hello);
    driver.settle();
}

/// Lets time pass in which every machine beats, and pipelines do this.
fn pass(driver: &mut Driver, time: Duration, activity: &BTreeMap<Epoch, Activity>) {
    let end = driver.now + time;
    while driver.now < end {
        driver.now += TICK;
        for peer in [FAST, SLOW] {
            let beat = driver.beat(peer);
            driver.step(beat);
        }
        driver.step(Event::Tick { activity: activity.clone() });
        driver.settle();
    }
}

fn idle() -> BTreeMap<Epoch, Activity> {
    BTreeMap::new()
}

/// The machine and epoch of the last stage that was to be loaded.
fn last_load(driver: &Driver) -> (PeerId, Epoch) {
    let load = driver.sent.iter().rev().find_map(|(peer, message)| match message {
        ToWorker::Load(spec) => Some((*peer, spec.epoch)),
        _ => None,
    });
    load.expect("something was loaded")
}

/// The machine that serves, if one does.
fn serving(driver: &Driver) -> Option<PeerId> {
    let ready = driver.core.builds().find(|build| build.is_ready())?;
    ready.peers().next()
}

#[test]
fn a_load_without_an_answer_goes_to_another_machine_and_the_silent_one_is_tried_again_later() {
    let mut driver = driver();
    driver.ignore_loads.insert(FAST);
    connect(&mut driver, FAST, "cuda:0");
    connect(&mut driver, SLOW, "cpu");
    assert_eq!((last_load(&driver).0, serving(&driver)), (FAST, None));
    pass(&mut driver, Duration::from_secs(30), &idle());
    assert_eq!(serving(&driver), None, "it has time");
    pass(&mut driver, Duration::from_secs(60), &idle());
    assert_eq!(serving(&driver), Some(SLOW));
    assert!(driver.core.reliability.of(FAST, driver.now) < driver.core.reliability.of(SLOW, driver.now));
    // Alone, it gets another chance after its quarantine.
    let gone = driver.gone(SLOW);
    driver.step(gone);
    driver.settle();
    driver.ignore_loads.clear();
    pass(&mut driver, Duration::from_secs(31), &idle());
    assert_eq!(serving(&driver), Some(FAST));
}

#[test]
fn the_reason_names_the_machine_that_is_left_out() {
    let mut driver = driver();
    driver.ignore_loads.insert(FAST);
    connect(&mut driver, FAST, "cuda:0");
    pass(&mut driver, Duration::from_secs(80), &idle());
    let status = driver.core.status(Vec::new(), &BTreeMap::new());
    let reason = status.models[0].reason.clone().expect("it is not served");
    assert!(reason.contains("did not load its stage in time"), "{reason}");
    assert!(reason.contains(&format!("machine-{}", FAST.short())), "{reason}");
}

#[test]
fn a_machine_that_was_paused_while_it_loaded_is_late_for_no_fault_of_its_own() {
    let mut driver = driver();
    driver.ignore_loads.insert(FAST);
    connect(&mut driver, FAST, "cuda:0");
    let lends = |computes| ToCoordinator::Lends(Lends { memory: MEMORY, stopped: None, computes });
    let paused = driver.message(FAST, lends(false));
    driver.step(paused);
    pass(&mut driver, Duration::from_secs(3600), &idle());
    let resumed = driver.message(FAST, lends(true));
    driver.step(resumed);
    // The coordinator itself slept, too.
    driver.now += Duration::from_secs(3600);
    pass(&mut driver, Duration::from_secs(30), &idle());
    assert_eq!(driver.core.builds().count(), 1, "the load goes on");
}

#[test]
fn a_machine_that_loads_and_does_not_link_up_is_left() {
    let mut driver = driver();
    driver.ignore_loads.insert(FAST);
    connect(&mut driver, FAST, "cuda:0");
    let (_, epoch) = last_load(&driver);
    let loaded = ToCoordinator::Loaded { epoch, weight_bytes: 1, quant: "none".into(), bandwidth: None };
    let loaded = driver.message(FAST, loaded);
    driver.step(loaded);
    driver.events.clear();
    connect(&mut driver, SLOW, "cpu");
    pass(&mut driver, Duration::from_secs(10), &idle());
    assert_eq!(serving(&driver), None);
    pass(&mut driver, Duration::from_secs(10), &idle());
    assert_eq!(serving(&driver), Some(SLOW));
}

#[test]
fn a_step_without_an_answer_ends_the_pipeline_and_one_that_answers_slowly_stays() {
    let mut driver = driver();
    connect(&mut driver, FAST, "cuda:0");
    connect(&mut driver, SLOW, "cpu");
    let (machine, epoch) = last_load(&driver);
    assert_eq!((machine, serving(&driver)), (FAST, Some(FAST)));
    let asked = |replies| {
        let token_time = Duration::from_millis(50);
        BTreeMap::from([(epoch, Activity { sessions: 1, rows: 100, replies, token_time })])
    };
    for replies in 0..5 {
        pass(&mut driver, Duration::from_secs(15), &asked(replies));
        assert_eq!(last_load(&driver), (FAST, epoch), "it answers");
    }
    let idle = BTreeMap::from([(epoch, Activity { sessions: 1, replies: 4, ..Activity::default() })]);
    pass(&mut driver, Duration::from_secs(3600), &idle);
    assert_eq!(last_load(&driver), (FAST, epoch), "nothing is asked of it");
    // 20 s, and eight times what a hundred tokens take.
    pass(&mut driver, Duration::from_secs(59), &asked(4));
    assert_eq!(last_load(&driver), (FAST, epoch));
    pass(&mut driver, Duration::from_secs(2), &asked(4));
    assert_eq!(serving(&driver), Some(SLOW));
}

#[test]
fn a_machine_that_cannot_load_a_stage_does_not_keep_it_from_another() {
    let mut driver = driver();
    driver.ignore_loads.insert(FAST);
    connect(&mut driver, FAST, "cuda:0");
    connect(&mut driver, SLOW, "cpu");
    let (machine, epoch) = last_load(&driver);
    assert_eq!(machine, FAST);
    let failed = driver.message(FAST, ToCoordinator::LoadFailed { epoch, reason: LoadFailure::Failed });
    driver.step(failed);
    driver.settle();
    assert_eq!(serving(&driver), Some(SLOW));
}

#[test]
fn only_what_is_a_machines_own_fault_costs_its_reliability() {
    for (reason, is_blamed, is_left_out) in [
        (LoadFailure::Failed, true, true),
        (LoadFailure::Unreachable, false, true),
        (LoadFailure::Disk, false, true),
        (LoadFailure::Memory, false, false),
    ] {
        let mut driver = driver();
        driver.ignore_loads.insert(FAST);
        connect(&mut driver, FAST, "cuda:0");
        let (_, epoch) = last_load(&driver);
        let before = driver.core.reliability.of(FAST, driver.now);
        let failed = driver.message(FAST, ToCoordinator::LoadFailed { epoch, reason });
        driver.step(failed);
        assert_eq!(driver.core.reliability.of(FAST, driver.now) < before, is_blamed, "{reason}");
        assert_eq!(driver.core.quarantined(&"demo".into()).is_some(), is_left_out, "{reason}");
    }
}

#[test]
fn nothing_is_placed_on_a_machine_that_says_it_computes_nothing() {
    let mut driver = driver();
    let hello = driver.hello(FAST, "cuda:0", MEMORY);
    driver.step(hello);
    let idle = driver.message(FAST, ToCoordinator::Lends(Lends { memory: MEMORY, stopped: None, computes: false }));
    driver.step(idle);
    driver.settle();
    assert!(driver.sent.iter().all(|(_, message)| !matches!(message, ToWorker::Load(_))));
}

#[test]
fn a_plan_that_was_made_before_a_machine_failed_does_not_count() {
    let mut driver = driver();
    connect(&mut driver, SLOW, "cpu");
    let (_, epoch) = last_load(&driver);
    driver.core.blame(epoch, &[SLOW], "it was late", Duration::from_secs(30));
    assert!(driver.core.is_usable(SLOW) && !driver.core.may_take(&"demo".into(), SLOW));
    assert!(driver.core.may_take(&"another".into(), SLOW), "its other models go on");
}
