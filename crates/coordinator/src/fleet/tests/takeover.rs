//! One machine takes another's place in a pipeline that serves.

use super::{
    grid::{Grid, SOON, hurried},
    ring::expected,
};
use crate::status::PipelineState;
use gogrid_wire::control::{Beat, Lends, StageBeat, StageSpeed, ToCoordinator};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const PROMPT: [u32; 3] = [300, 5, 812];
const TOKENS: usize = 400;

/// Of three machines, the two that serve, in order, and the one that does not.
async fn roles(grid: &Grid) -> ([usize; 2], usize) {
    let members = grid.members(0).await;
    let free = (0..3).find(|number| !members.contains(number)).expect("one is free");
    ([members[0], members[1]], free)
}

#[tokio::test]
async fn a_machine_that_leaves_is_replaced_before_it_goes() {
    for stage in [0, 1] {
        let mut grid = Grid::with_pipelines(3, 2, 1).await;
        let mut stream = grid.ask(&PROMPT, TOKENS).await;
        stream.read(30).await;
        let (members, free) = roles(&grid).await;
        let drained = grid.machines[members[stage]].drained.clone();
        grid.machines[members[stage]].drain().await;
        tokio::time::timeout(SOON, drained.notified()).await.expect("it may go");
        grid.machines[members[stage]].kill().await;
        let mut now = members;
        now[stage] = free;
        assert_eq!(grid.members(0).await, now, "the other stays where it is");
        assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
        grid.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_machine_that_is_killed_or_silent_is_replaced_and_the_others_stay() {
    for silent in [false, true] {
        let mut grid = Grid::with_pipelines(3, 2, 1).await;
        let mut stream = grid.ask(&PROMPT, TOKENS).await;
        stream.read(30).await;
        let (members, free) = roles(&grid).await;
        let start = Instant::now();
        match silent {
            true => grid.machines[members[1]].silence(),
            false => grid.machines[members[1]].kill().await,
        }
        stream.read(100).await;
        assert!(!silent || start.elapsed() < hurried().lost_after, "it was not waited for: {:?}", start.elapsed());
        assert_eq!(grid.members(0).await, [members[0], free]);
        assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
        grid.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_spare_is_kept_where_a_replica_has_no_room_and_takes_over_without_a_load() {
    let mut grid = Grid::start(3, 2, 2).await;
    grid.wait_pipelines(1).await;
    let (members, free) = roles(&grid).await;
    let loads = |grid: &Grid, number: usize| grid.machines[number].loads.load(Ordering::Relaxed);
    grid.wait("a spare is warm", |grid| loads(grid, free) == 1).await;
    let spare = grid.world.lock().loaded[&grid.machines[free].id()];
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(30).await;
    let stage = usize::from(spare[0] > 0);
    grid.machines[members[stage]].kill().await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    let mut now = members;
    now[stage] = free;
    assert_eq!(grid.members(0).await, now);
    // The next machine keeps a stage warm again; a fourth makes a replica of it.
    grid.join(members[stage] as u8).await;
    grid.wait("another spare is warm", |grid| loads(grid, members[stage]) == 1).await;
    grid.join(3).await;
    grid.wait_pipelines(2).await;
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_spare_is_let_go_when_there_is_a_replica_again() {
    for stage in [0, 1] {
        let mut grid = Grid::with_pipelines(4, 2, 2).await;
        let members = grid.members(0).await;
        let left = members[1 - stage];
        // It has memory for the spare beside its own part.
        let lends = Lends { memory: 8 << 30, stopped: None, computes: true };
        grid.machines[left].say(ToCoordinator::Lends(lends)).await;
        let loads = grid.machines[left].loads.load(Ordering::Relaxed);
        let held = |grid: &Grid| grid.machines[left].held.load(Ordering::Relaxed);
        grid.machines[members[stage]].kill().await;
        grid.wait("the machine that lost its neighbour keeps a spare", |grid| {
            grid.machines[left].loads.load(Ordering::Relaxed) > loads && held(grid) == 1
        })
        .await;
        grid.join(members[stage] as u8).await;
        grid.wait_pipelines(2).await;
        grid.wait("it keeps its part in the replica alone", |grid| held(grid) == 1).await;
    }
}

#[tokio::test]
async fn a_machine_that_is_back_in_time_keeps_its_place() {
    let grid = Grid::with_pipelines(3, 2, 1).await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(10).await;
    let (members, free) = roles(&grid).await;
    grid.machines[free].set_loading(true);
    grid.machines[members[0]].pause(true).await;
    grid.wait_status("another is to take its place", |status| {
        status.models[0].pipelines.iter().any(|pipeline| pipeline.state == PipelineState::Building)
    })
    .await;
    grid.machines[members[0]].pause(false).await;
    grid.wait_pipelines(1).await;
    assert_eq!(grid.members(0).await, members);
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_pipeline_moves_to_a_machine_that_is_much_faster() {
    let mut grid = Grid::with_pipelines(1, 1, 1).await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(10).await;
    let number = grid.model().await.pipelines[0].epoch;
    let epoch = |grid: &Grid| grid.world.lock().members.keys().copied().find(|e| u64::from(e.number()) == number);
    let epoch = epoch(&grid).expect("a machine was told of it");
    let speed = Some(StageSpeed { layer: 10_000_000, head: None, prompt_layer: None });
    let beat = Beat { stages: vec![StageBeat { epoch, sessions: 1, kv_used: 1, speed }] };
    grid.machines[0].say(ToCoordinator::Beat(beat)).await;
    // Another like it, of whom nothing better is known, and then one with a GPU.
    grid.join(1).await;
    tokio::time::sleep(hurried().improve_every + Duration::from_millis(100)).await;
    assert_eq!(grid.members(0).await, [0]);
    grid.join_with(2, "cuda:0").await;
    grid.wait_status("it has moved", |status| {
        let pipelines = &status.models[0].pipelines;
        pipelines.len() == 1 && pipelines[0].stages[0].worker == "machine-2"
    })
    .await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.nothing_is_left().await;
}
