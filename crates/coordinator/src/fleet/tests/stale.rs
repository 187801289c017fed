//! Plans that are made while the fleet changes, without a clock or a thread.

use crate::fleet::{
    driver::{Driver, demo_model},
    event::Event,
};
use gogrid_wire::{
    PeerId,
    control::{ToCoordinator, ToWorker},
};
use std::time::Duration;

/// Lent memory: the whole demo model with a context for each of 64 sessions, and not once more with one.
const MEMORY: u64 = 600 << 20;

fn id(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// A core with one model, and no machine.
fn driver(stages: usize, replicas: usize) -> Driver {
    Driver::new(&[demo_model("demo", stages, replicas)])
}

fn connect(driver: &mut Driver, number: u8) {
    let hello = driver.hello(id(number), "cpu", MEMORY);
    driver.step(hello);
}

/// Makes the plan that was asked for first, and tells the core.
fn plan(driver: &mut Driver) {
    let request = driver.plans.pop_front().expect("a plan was asked for");
    driver.step(Event::Planned { job: request.job(), outcome: request.run() });
}

/// Machines that were told to load a stage.
fn loads(driver: &Driver) -> Vec<u8> {
    let loads = driver.sent.iter().filter(|(_, message)| matches!(message, ToWorker::Load(_)));
    loads.map(|(peer, _)| peer.0[0]).collect()
}

#[test]
fn a_plan_whose_machine_is_gone_is_made_again() {
    let mut driver = driver(1, 1);
    connect(&mut driver, 1);
    assert_eq!(driver.plans.len(), 1);
    connect(&mut driver, 2);
    assert_eq!(driver.plans.len(), 1, "one plan at a time");
    let gone = driver.gone(id(1));
    driver.step(gone);
    plan(&mut driver);
    assert_eq!(loads(&driver), [0u8; 0], "it was for the machine that is gone");
    plan(&mut driver);
    assert_eq!(loads(&driver), [2]);
}

#[test]
fn a_plan_without_a_place_is_made_again_when_there_may_be_one() {
    let mut driver = driver(2, 1);
    connect(&mut driver, 1);
    connect(&mut driver, 2);
    plan(&mut driver);
    assert_eq!(loads(&driver), [0u8; 0], "it knew of one machine, and two are needed");
    plan(&mut driver);
    assert_eq!(loads(&driver).len(), 2);
}

#[test]
fn a_plan_that_failed_is_not_made_again_until_something_changes() {
    let mut driver = driver(2, 1);
    connect(&mut driver, 1);
    plan(&mut driver);
    for _ in 0..10 {
        driver.now += Duration::from_millis(100);
        let beat = driver.beat(id(1));
        driver.step(beat);
        driver.step(Driver::tick());
    }
    assert!(driver.plans.is_empty());
    connect(&mut driver, 2);
    assert_eq!(driver.plans.len(), 1);
}

#[test]
fn a_plan_that_still_fits_counts_whatever_else_has_changed() {
    let mut driver = driver(1, 1);
    connect(&mut driver, 1);
    connect(&mut driver, 2);
    connect(&mut driver, 3);
    let gone = driver.gone(id(2));
    driver.step(gone);
    plan(&mut driver);
    assert_eq!(loads(&driver), [1]);
}

#[test]
fn a_model_that_is_not_served_does_not_wait_for_the_plan_of_a_replica() {
    let mut driver = driver(1, 2);
    connect(&mut driver, 1);
    driver.settle();
    connect(&mut driver, 2);
    // The plan of a replica is on its way.
    let replica = driver.plans.pop_front().expect("a replica is planned");
    let gone = driver.gone(id(1));
    driver.step(gone);
    plan(&mut driver);
    assert_eq!(loads(&driver), [1, 2]);
    // Its result is ignored.
    driver.step(Event::Planned { job: replica.job(), outcome: replica.run() });
    driver.settle();
    assert_eq!(loads(&driver), [1, 2]);
}

#[test]
fn spares_and_replicas_are_not_loaded_twice_for_a_machine_that_serves_meanwhile() {
    let mut driver = driver(2, 2);
    for number in 1..4 {
        connect(&mut driver, number);
    }
    driver.settle();
    let before = loads(&driver).len();
    assert_eq!(before, 3, "two stages and a spare");
    connect(&mut driver, 4);
    let replica = driver.plans.pop_front().expect("a replica is planned");
    // A machine of it leaves.
    let draining = driver.message(id(4), ToCoordinator::Draining);
    driver.step(draining);
    driver.step(Event::Planned { job: replica.job(), outcome: replica.run() });
    driver.settle();
    assert_eq!(loads(&driver).len(), before);
}
