//! What the coordinator is built from.

use std::process::Command;

#[test]
fn the_coordinator_links_no_model_code() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "gogrid-coordinator", "--edges", "normal", "--prefix", "none", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.lines().any(|line| line.starts_with("gogrid-model ")), "{tree}");
    let computes = |line: &&str| line.starts_with("candle") || line.starts_with("gogrid-compute ");
    assert_eq!(tree.lines().find(computes), None);
}
