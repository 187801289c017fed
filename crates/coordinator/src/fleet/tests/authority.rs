//! Machines that speak about other machines' stages.

use crate::fleet::{
    Event,
    build::Build,
    driver::{Driver, demo_model},
};
use gogrid_wire::{
    Epoch, PeerId, SessionId,
    control::{
        Beat, GoneReason, LoadFailure, RetainedSession, SessionError, StageBeat, StageSpeed, ToCoordinator, ToWorker,
    },
};

const OWNER: PeerId = PeerId([1; 32]);
const OTHER: PeerId = PeerId([2; 32]);

/// A model that one machine serves, and another machine that has no room for it.
fn served() -> (Driver, Epoch) {
    let mut driver = Driver::new(&[demo_model("demo", 1, 1)]);
    for (peer, memory) in [(OWNER, 600 << 20), (OTHER, 1 << 20)] {
        let hello = driver.hello(peer, "cpu", memory);
        driver.step(hello);
        driver.settle();
    }
    let mut epochs = driver.sent.iter().filter_map(|(_, message)| match message {
        ToWorker::Load(spec) => Some(spec.epoch),
        _ => None,
    });
    let epoch = epochs.next_back().expect("a stage was loaded");
    assert!(driver.core.build(epoch).is_some_and(Build::is_ready));
    (driver, epoch)
}

/// Everything that can be said about an epoch.
fn reports(epoch: Epoch) -> Vec<ToCoordinator> {
    let (message, session) = ("a lie".to_owned(), SessionId::new(epoch, 1));
    vec![
        ToCoordinator::Loaded { epoch, weight_bytes: 1, quant: "none".into(), bandwidth: Some(1) },
        ToCoordinator::LoadFailed { epoch, reason: LoadFailure::Failed },
        ToCoordinator::Started { epoch, kept: vec![RetainedSession { session, tokens: 9, outputs: true }] },
        ToCoordinator::SessionFailed { epoch, session, error: SessionError::Compute(message.clone()) },
        ToCoordinator::LinkLost { epoch, message },
        ToCoordinator::StageGone { epoch, reason: GoneReason::GivenUp },
    ]
}

#[test]
fn what_a_machine_says_of_others_stages_is_dropped_counted_and_lowers_its_reliability() {
    let (mut driver, epoch) = served();
    let before = driver.core.reliability.seen(OTHER, driver.now).mean();
    let reports = reports(epoch);
    let count = reports.len() as u64;
    for report in reports {
        let said = format!("{report:?}");
        let event = driver.message(OTHER, report);
        assert!(driver.core.step(event, driver.now).is_empty(), "nothing follows from {said}");
    }
    assert!(driver.core.build(epoch).is_some_and(Build::is_ready), "the pipeline serves on");
    assert_eq!(driver.core.workers[&OTHER].foreign_reports, count);
    assert_eq!(driver.core.workers[&OTHER].bandwidth, None);
    assert!(driver.core.reliability.seen(OTHER, driver.now).mean() < before);
}

#[test]
fn a_machine_ends_its_own_stage_and_may_be_late_with_it() {
    let (mut driver, epoch) = served();
    let before = driver.core.reliability.seen(OWNER, driver.now);
    for report in reports(epoch).into_iter().rev() {
        let event = driver.message(OWNER, report);
        driver.step(event);
        assert!(driver.core.build(epoch).is_none());
    }
    assert_eq!(driver.core.workers[&OWNER].foreign_reports, 0);
    assert_eq!(driver.core.reliability.seen(OWNER, driver.now), before);
}

#[test]
fn a_machine_is_not_known_to_be_fast_at_a_stage_that_another_has() {
    let (mut driver, epoch) = served();
    let speed = Some(StageSpeed { layer: 1, head: Some(1), prompt_layer: Some(1) });
    let stages = vec![StageBeat { epoch, sessions: u32::MAX, kv_used: 0, speed }; 2];
    let beat = driver.message(OTHER, ToCoordinator::Beat(Beat { stages }));
    driver.step(beat);
    assert!(driver.core.workers[&OTHER].measured.is_empty());
    driver.core.status(Vec::new(), &Default::default());
}

#[test]
fn a_pipeline_is_not_ready_before_its_stages_are_loaded() {
    let mut driver = Driver::new(&[demo_model("demo", 1, 1)]);
    let hello = driver.hello(OWNER, "cpu", 600 << 20);
    driver.step(hello);
    let request = driver.plans.pop_front().expect("a plan");
    driver.step(Event::Planned { job: request.job(), outcome: request.run() });
    driver.events.clear();
    let (_, ToWorker::Load(spec)) = driver.sent.last().expect("a load") else { panic!("a load") };
    let epoch = spec.epoch;
    let started = driver.message(OWNER, ToCoordinator::Started { epoch, kept: Vec::new() });
    driver.step(started);
    for role in [gogrid_wire::stage::Role::Receiver, gogrid_wire::stage::Role::Sender] {
        driver.step(Event::Attach { peer: OWNER, epoch, role });
    }
    let started = driver.message(OWNER, ToCoordinator::Started { epoch, kept: Vec::new() });
    driver.step(started);
    assert!(!driver.core.build(epoch).expect("it is being built").is_ready());
}
