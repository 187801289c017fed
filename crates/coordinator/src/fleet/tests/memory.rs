//! Models that share what machines lend.

use crate::fleet::driver::{Driver, demo_model};
use gogrid_wire::{PeerId, control::ToWorker};
use std::collections::BTreeMap;

const MACHINE: PeerId = PeerId([1; 32]);
/// Lent memory: the whole demo model with a context for each of 64 sessions, and not once more with one.
const MEMORY: u64 = 600 << 20;

fn driver(models: &[&str], memory: u64) -> Driver {
    let models: Vec<_> = models.iter().map(|name| demo_model(name, 1, 1)).collect();
    let mut driver = Driver::new(&models);
    let hello = driver.hello(MACHINE, "cpu", memory);
    driver.step(hello);
    driver.settle();
    driver
}

fn served(driver: &Driver) -> usize {
    driver.core.builds().filter(|build| build.is_ready()).count()
}

#[test]
fn a_model_gives_up_what_it_only_wishes_for_when_another_has_no_place() {
    let alone = driver(&["first"], MEMORY);
    let wish: Vec<u64> = alone.core.builds().map(|build| build.stages[0].place.memory.total()).collect();
    assert!(wish[0] > MEMORY * 3 / 4, "{wish:?}");
    let mut both = driver(&["first", "second"], MEMORY);
    assert_eq!(served(&both), 2);
    let held: u64 = both.core.builds().map(|build| build.stages[0].place.memory.total()).sum();
    assert!(held <= MEMORY, "{held}");
    // It does not begin again.
    let loads = |driver: &Driver| driver.sent.iter().filter(|(_, sent)| matches!(sent, ToWorker::Load(_))).count();
    let before = loads(&both);
    for _ in 0..100 {
        both.now += std::time::Duration::from_millis(100);
        let beat = both.beat(MACHINE);
        both.step(beat);
        both.step(Driver::tick());
        both.settle();
    }
    assert_eq!((loads(&both), served(&both)), (before, 2));
}

#[test]
fn a_model_without_a_place_is_told_what_is_lent_taken_and_free() {
    let driver = driver(&["first", "second"], 40 << 20);
    let status = driver.core.status(Vec::new(), &BTreeMap::new());
    let reason = status.models.iter().find_map(|model| model.reason.clone()).expect("one has no place");
    for words in ["needs about", "MiB free", "40 MiB are lent", "stages take"] {
        assert!(reason.contains(words), "{words} in {reason}");
    }
}
