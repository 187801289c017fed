//! When a model gets a pipeline, another one, or a new one.

use super::{
    grid::{Grid, hurried},
    ring::expected,
};
use crate::status::{PipelineState, Status};
use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const PROMPT: [u32; 3] = [300, 5, 812];

#[tokio::test]
async fn a_model_has_as_many_pipelines_as_it_may_and_as_fit_on_machines_of_their_own() {
    let grid = Grid::with_pipelines(7, 3, 2).await;
    let (mut first, second) = (grid.members(0).await, grid.members(1).await);
    assert_eq!((first.len(), second.len()), (3, 3));
    first.retain(|machine| second.contains(machine));
    assert_eq!(first, Vec::<usize>::new(), "they share no machine");
    assert_eq!(grid.model().await.replicas, 2);
    // Three would be allowed here, and two fit.
    Grid::start(7, 3, 3).await.wait_pipelines(2).await;
}

#[tokio::test]
async fn requests_are_spread_over_the_pipelines() {
    let grid = Grid::with_pipelines(2, 1, 2).await;
    let mut streams = Vec::new();
    for number in 0..8 {
        let mut stream = grid.ask(&[number, 7], 3000 / 8).await;
        stream.read(1).await;
        streams.push((number, stream));
    }
    let sessions: Vec<usize> = grid.model().await.pipelines.iter().map(|pipeline| pipeline.sessions).collect();
    assert!(sessions.iter().all(|&sessions| sessions >= 2), "{sessions:?}");
    for (number, stream) in streams {
        assert_eq!(stream.finish().await.expect("whole"), expected(&[number, 7], 3000 / 8));
    }
}

#[tokio::test]
async fn a_model_that_is_not_served_gets_the_machines_of_anothers_replica() {
    let grid = Grid::with_pipelines(2, 1, 2).await;
    grid.add("second").await;
    let both = |status: &Status| status.models.len() == 2 && status.models.iter().all(|model| model.ready);
    grid.wait_status("both are served", both).await;
    assert_eq!(grid.model().await.pipelines.len(), 1);
}

#[tokio::test]
async fn a_machine_that_comes_and_goes_makes_at_most_one_plan_in_a_window() {
    let mut grid = Grid::with_pipelines(2, 1, 2).await;
    let start = Instant::now();
    let flapping = grid.members(1).await[0];
    let mut loads = 0;
    let windows = 3;
    while start.elapsed() < hurried().replan_window * windows {
        grid.machines[flapping].kill().await;
        loads += grid.machines[flapping].loads.load(Ordering::Relaxed);
        grid.join(flapping as u8).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    loads += grid.machines[flapping].loads.load(Ordering::Relaxed);
    assert!(
        (2..=windows as usize + 1).contains(&loads),
        "{loads} loads in {windows} windows, the first one's included"
    );
    grid.wait_pipelines(2).await;
}

#[tokio::test]
async fn a_model_that_is_not_served_is_planned_at_once_whatever_came_before() {
    let mut grid = Grid::with_pipelines(2, 1, 2).await;
    for _ in 0..10 {
        let start = Instant::now();
        for number in 0..2 {
            grid.machines[number].kill().await;
        }
        grid.join(0).await;
        grid.wait_pipelines(1).await;
        assert!(start.elapsed() < hurried().replan_window, "{:?}", start.elapsed());
        grid.join(1).await;
    }
}

#[tokio::test]
async fn a_pipeline_that_is_one_too_many_ends_when_its_answers_are_elsewhere() {
    let grid = Grid::with_pipelines(2, 1, 1).await;
    let mut stream = grid.ask(&PROMPT, 400).await;
    stream.read(10).await;
    let serving = grid.members(0).await[0];
    // Its owner will want it back after the answers under way: another pipeline is made, and takes them.
    grid.machines[serving].stop_soon(true).await;
    let other = 1 - serving;
    grid.wait_status("another is made", |status| {
        status.models[0].pipelines.iter().any(|pipeline| {
            pipeline.state == PipelineState::Ready && pipeline.stages[0].worker == format!("machine-{other}")
        })
    })
    .await;
    grid.machines[serving].stop_soon(false).await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, 400));
    grid.wait_pipelines(1).await;
    grid.nothing_is_left().await;
}

/// The machines of each pipeline, in the order of its stages; the pipelines in any order.
async fn pipelines(grid: &Grid) -> BTreeSet<Vec<String>> {
    let model = grid.model().await;
    let machines = model.pipelines.into_iter().map(|pipeline| pipeline.stages.into_iter().map(|stage| stage.worker_id));
    machines.map(Iterator::collect).collect()
}

#[tokio::test]
async fn a_coordinator_that_starts_again_goes_on_with_the_pipelines_that_served() {
    let mut grid = Grid::with_pipelines(5, 2, 2).await;
    let before = pipelines(&grid).await;
    grid.restart();
    // Otherwise the machines that connect first would serve first.
    for number in [4, 3, 1, 2, 0] {
        grid.join(number).await;
    }
    grid.wait_pipelines(2).await;
    assert_eq!(pipelines(&grid).await, before);
}

#[tokio::test]
async fn a_machine_that_does_not_come_back_is_not_waited_for_long() {
    let mut grid = Grid::with_pipelines(2, 2, 1).await;
    let before = grid.model().await.pipelines.swap_remove(0);
    grid.restart();
    grid.join(2).await;
    grid.join(1).await;
    let start = Instant::now();
    grid.wait_pipelines(1).await;
    assert!(start.elapsed() >= hurried().return_within / 2, "{:?}", start.elapsed());
    let now = grid.model().await.pipelines.swap_remove(0);
    let kept = before.stages.iter().zip(&now.stages).filter(|(before, now)| before == now).count();
    assert_eq!(kept, 1, "the one that is back keeps its stage: {before:?}, {now:?}");
}

#[tokio::test]
async fn who_was_lost_is_written_down_for_the_next_coordinator() {
    let mut grid = Grid::with_pipelines(2, 1, 1).await;
    for _ in 0..3 {
        grid.machines[0].kill().await;
        grid.join(0).await;
    }
    let recorded = grid.fleet.registry().reliability().await.expect("readable");
    let losses = recorded.iter().find(|(peer, ..)| *peer == grid.machines[0].id()).map(|(_, seen, _)| seen.losses);
    assert!(losses.is_some_and(|losses| losses > 2.9), "{recorded:?}");
    assert_eq!(recorded.len(), 1, "nobody else was lost");
}
