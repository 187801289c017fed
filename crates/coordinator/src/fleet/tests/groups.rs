//! Models that are limited to groups of machines.

use crate::{
    fleet::{
        driver::{Driver, demo_model},
        event::Event,
    },
    registry::Groups,
};
use gogrid_wire::PeerId;

const MEMORY: u64 = 600 << 20;
/// The machine that is planned with first, having a GPU.
const FAST: PeerId = PeerId([1; 32]);
const SLOW: PeerId = PeerId([2; 32]);

/// The model for machines of the lab, in which these are.
fn groups(members: &[PeerId]) -> Groups {
    let lab = || vec!["lab".to_owned()];
    Groups { members: members.iter().map(|peer| (*peer, lab())).collect(), models: [("demo".to_owned(), lab())].into() }
}

fn serving(driver: &Driver) -> Vec<PeerId> {
    driver.core.builds().filter(|build| build.is_ready()).flat_map(|build| build.peers().collect::<Vec<_>>()).collect()
}

#[test]
fn a_model_goes_to_machines_of_its_groups_alone_and_follows_when_they_change() {
    let model = demo_model("demo", 1, 2);
    let mut driver = Driver::new(std::slice::from_ref(&model));
    let read = |driver: &mut Driver, members: &[PeerId]| {
        driver.step(Event::ModelsRead(Some((vec![model.0.clone()], groups(members)))));
        driver.settle();
    };
    read(&mut driver, &[SLOW]);
    for (peer, device) in [(FAST, "cuda:0"), (SLOW, "cpu")] {
        let hello = driver.hello(peer, device, MEMORY);
        driver.step(hello);
        driver.settle();
    }
    assert_eq!(serving(&driver), [SLOW], "it has no replica elsewhere either");
    read(&mut driver, &[FAST]);
    assert_eq!(serving(&driver), [FAST]);
    read(&mut driver, &[]);
    assert_eq!(serving(&driver), []);
    let status = driver.core.status(Vec::new(), &std::collections::BTreeMap::new());
    let reason = status.models[0].reason.clone().expect("it is not served");
    assert!(reason.contains("groups lab"), "{reason}");
}
