//! What is said of a machine that takes no work, and to whom.

use super::grid::Grid;
use crate::generate::{GenerateError, NotReady};

#[tokio::test]
async fn a_consumer_learns_nothing_of_machines_and_the_operator_only_the_class() {
    let grid = Grid::with_pipelines(1, 1, 1).await;
    grid.machines[0].pause(true).await;
    grid.wait_status("it is known as paused", |status| !status.models[0].ready).await;
    let reason = grid.model().await.reason.expect("a reason");
    assert_eq!(reason, "machine-0 takes no work now: paused by its owner");
    let error = grid.ask(&[300, 5], 3).await.finish().await.expect_err("nobody serves it");
    assert!(matches!(error, GenerateError::NotReady { reason: NotReady::Stopped, .. }), "{error}");
    let told = error.to_string();
    assert_eq!(told, "the model 'demo' is not ready: the machines that serve it take no work now");
}
