//! Stories of a machine and its user, in virtual time. Each `scenarios/*.yaml` is one; a new complaint becomes a new file.

#![expect(clippy::unwrap_used, reason = "tests panic where a scenario cannot be read")]

#[path = "scenarios/broken.rs"]
mod broken;
#[path = "scenarios/story.rs"]
mod story;
#[path = "scenarios/world.rs"]
mod world;

use gogrid_limits::Governor;
use rstest::rstest;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use story::Story;

#[rstest]
fn holds(#[files("tests/scenarios/*.yaml")] path: PathBuf) {
    let story = Story::read(&path);
    let mut governor = Governor::new(story.limits(), story.machine());
    let missed: String = world::run(&story, &mut governor).into_iter().flatten().collect();
    assert!(missed.is_empty(), "{}: {}\n{missed}", path.display(), story.intent);
}

/// The bands are worth something: every broken governor is caught, and every expectation is missed by one of them.
#[test]
fn broken_governors_are_caught_and_no_expectation_lets_all_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut caught: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut scenarios = 0;
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
        let story = Story::read(&path);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut useful = vec![false; story.expect.len()];
        for (way, mut keeper) in broken::all(&story.limits(), story.machine()) {
            let missed = world::run(&story, keeper.as_mut());
            let by = caught.entry(way).or_default();
            by.extend(missed.iter().any(Option::is_some).then(|| name.clone()));
            useful.iter_mut().zip(&missed).for_each(|(useful, missed)| *useful |= missed.is_some());
        }
        for (useful, expect) in useful.iter().zip(&story.expect) {
            assert!(useful, "{name}: every broken governor passes {expect:?}");
        }
        scenarios += 1;
    }
    assert!(scenarios >= 20, "only {scenarios} scenarios were found");
    for (way, by) in caught {
        assert!(!by.is_empty(), "no scenario catches a governor that {way}");
    }
}
