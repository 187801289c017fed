//! Who takes over a stage that is in memory.

use super::{
    Executor, StageKey,
    test_stages::{OPTIONS, loaded},
};
use crate::{ledgers::Ledgers, pace::Paced, slices::PLANNED};
use gogrid_model::Layers;
use gogrid_wire::Epoch;
use tokio::sync::mpsc;

const FIRST: Epoch = Epoch(1);
const OTHER: Epoch = Epoch(2);
const NEXT: Epoch = Epoch(3);

#[tokio::test]
async fn a_model_takes_over_its_own_stage_and_never_one_that_serves_another_of_the_same_weights() {
    let (ledgers, (failures, _failed)) = (Ledgers::new(false), mpsc::channel(1));
    ledgers.device.set_limit(300 << 20);
    let executor = Executor::start("test", PLANNED, Paced::new(false), ledgers, failures).expect("a thread");
    let (key, loaded) = loaded(Layers { start: 3, end: 6 }, 64);
    let other = StageKey { model: "of the same weights".into(), ..key.clone() };
    executor.install(key.clone(), FIRST, OPTIONS, loaded).await.expect("it runs").expect("it fits");

    assert!(executor.reuse(other.clone(), OTHER, OPTIONS).await.is_none(), "the first goes on serving");
    assert!(executor.reuse(key.clone(), NEXT, OPTIONS).await.is_some(), "it takes over when the first is over");
    executor.park(FIRST, false).await;
    assert!(executor.retained(NEXT).await.is_some(), "it serves");
    executor.park(NEXT, false).await;
    assert!(executor.reuse(other, OTHER, OPTIONS).await.is_some(), "weights that serve nobody are not loaded again");
    assert!(executor.retained(OTHER).await.is_some());
}
