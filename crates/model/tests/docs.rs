//! docs/MODELS.md says what the code knows.
#![allow(clippy::unwrap_used)]

use gogrid_model::{WeightType, families};
use std::collections::BTreeSet;
use std::path::Path;

fn docs() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/MODELS.md")).unwrap()
}

/// What stands in backquotes.
fn quoted(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_table_of_families_is_the_list_of_the_code() {
    let docs = docs();
    let cells = docs.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let rows: Vec<_> = cells
        .filter(|cells| cells.len() == 6 && cells[1].contains("ForCausalLM"))
        .map(|cells| (quoted(cells[1]), quoted(cells[4])))
        .collect();
    let listed: Vec<_> =
        families().into_iter().map(|(class, gguf)| (BTreeSet::from([class]), BTreeSet::from_iter(gguf))).collect();
    assert_eq!(rows, listed);
}

#[test]
fn every_weight_type_is_named() {
    let docs = docs();
    let words: BTreeSet<&str> = docs.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for dtype in WeightType::ALL {
        assert!(words.contains(dtype.to_string().as_str()), "{dtype}");
    }
}
