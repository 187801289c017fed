//! What is known of models that are not served yet.

use crate::{
    fleet::{
        Event,
        driver::{Driver, demo_model},
        event::Action,
    },
    generate::{GenerateError, NotReady},
    route::RouteTable,
};
use std::collections::BTreeMap;

/// What was published last.
fn published(actions: Vec<Action>) -> RouteTable {
    let published = actions.into_iter().rev().find_map(|action| match action {
        Action::Publish { opening, is_complete, .. } => {
            Some(RouteTable { open: BTreeMap::new(), opening, is_complete })
        }
        _ => None,
    });
    published.expect("something was published")
}

#[test]
fn a_model_is_not_unknown_while_its_files_are_read_or_the_registry_is() {
    let mut driver = Driver::new(&[]);
    let (record, _) = demo_model("demo", 1, 1);
    let started = RouteTable::default();
    assert!(matches!(started.find("demo").err(), Some(GenerateError::NotReady { .. })));
    let read = Event::ModelsRead(Some((vec![record.clone()], crate::registry::Groups::default())));
    let opening = published(driver.core.step(read, driver.now));
    let Some(GenerateError::NotReady { reason, .. }) = opening.find("demo").err() else { panic!("it is known") };
    assert_eq!(reason, NotReady::Reading);
    assert!(matches!(opening.find("other").err(), Some(GenerateError::UnknownModel { .. })));
    // One that cannot be used is unknown again.
    let unusable = Event::ModelOpened { record: Box::new(record), model: None };
    let after = published(driver.core.step(unusable, driver.now));
    assert!(matches!(after.find("demo").err(), Some(GenerateError::UnknownModel { .. })));
}
