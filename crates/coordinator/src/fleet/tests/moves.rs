//! An answer whose machines go away goes on elsewhere, with the same tokens.

use super::{
    grid::{Grid, SOON},
    ring::expected,
};
use crate::generate::GenerateError;

const PROMPT: [u32; 6] = [300, 5, 812, 1033, 64, 9];
/// Long enough that it does not end before the machines do.
const TOKENS: usize = 400;

/// Two pipelines of three machines, and which of them serves the first request; the other's machines.
async fn two_pipelines() -> Grid {
    Grid::with_pipelines(6, 3, 2).await
}

/// The machines of the pipeline that has the sessions, in the order of its stages.
async fn serving(grid: &Grid) -> Vec<usize> {
    let model = grid.model().await;
    let at = model.pipelines.iter().position(|pipeline| pipeline.sessions > 0).expect("a pipeline serves");
    grid.members(at).await
}

#[tokio::test]
async fn a_machine_that_dies_at_any_stage_and_any_token_costs_no_token() {
    for stage in 0..3 {
        for token in [1, 2, 7, 100] {
            let mut grid = two_pipelines().await;
            let mut stream = grid.ask(&PROMPT, TOKENS).await;
            stream.read(token).await;
            let members = serving(&grid).await;
            grid.machines[members[stage]].kill().await;
            assert_eq!(
                stream.finish().await.expect("whole"),
                expected(&PROMPT, TOKENS),
                "stage {stage}, token {token}"
            );
            grid.nothing_is_left().await;
        }
    }
}

#[tokio::test]
async fn a_machine_that_dies_during_the_prefill_costs_no_token() {
    let mut grid = two_pipelines().await;
    let stream = grid.ask(&PROMPT, TOKENS).await;
    grid.wait("the session is open", |grid| !grid.world.lock().kv.is_empty()).await;
    let members = serving(&grid).await;
    grid.machines[members[0]].kill().await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_machine_that_only_the_coordinator_loses_computes_on_for_nobody() {
    let grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(10).await;
    let members = serving(&grid).await;
    grid.machines[members[1]].cut_off().await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn machines_that_die_during_the_replay_and_after_it_cost_no_token() {
    let mut grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(20).await;
    // The other pipeline takes the session but does not compute, and then dies as well.
    let first = serving(&grid).await;
    let other: Vec<usize> = (0..6).filter(|number| !first.contains(number)).collect();
    grid.machines[other[1]].silence();
    grid.machines[first[1]].kill().await;
    grid.wait_status("the replay began", |status| status.sessions == 1).await;
    grid.machines[other[1]].kill().await;
    for number in [first[1], other[1]] {
        grid.join(number as u8).await;
    }
    stream.read(200).await;
    let again = serving(&grid).await;
    grid.machines[again[2]].kill().await;
    grid.join(again[2] as u8).await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_machine_that_is_silent_is_left_before_it_is_given_up_and_is_then_given_up() {
    let grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(10).await;
    let members = serving(&grid).await;
    grid.machines[members[1]].silence();
    stream.read(11).await;
    assert_eq!(grid.model().await.pipelines.len(), 2, "it is not lost yet");
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.wait_pipelines(1).await;
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_machine_that_leaves_hands_its_answers_over_without_computing_a_token_twice() {
    let mut grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(30).await;
    let members = serving(&grid).await;
    let drained = grid.machines[members[0]].drained.clone();
    grid.machines[members[0]].drain().await;
    tokio::time::timeout(SOON, drained.notified()).await.expect("it may go");
    stream.read(31).await;
    assert!(stream.tokens.len() < TOKENS, "long before the answer's end");
    grid.machines[members[0]].kill().await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    // Every token was sampled once: as many steps as tokens.
    assert_eq!(grid.world.lock().steps, TOKENS);
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_machine_that_leaves_finishes_its_answers_where_nobody_can_take_them() {
    let grid = Grid::with_pipelines(3, 3, 1).await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(30).await;
    let drained = grid.machines[1].drained.clone();
    grid.machines[1].drain().await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    assert_eq!(grid.world.lock().steps, TOKENS, "on the same machines");
    tokio::time::timeout(SOON, drained.notified()).await.expect("it may go");
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn an_owner_who_is_back_gets_the_machine_at_once() {
    let grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(30).await;
    let members = serving(&grid).await;
    grid.machines[members[2]].pause(true).await;
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    let id = grid.machines[members[2]].id().to_string();
    let status = grid.status().await;
    let worker = status.workers.iter().find(|worker| worker.id == id);
    assert!(worker.is_none_or(|worker| worker.stages.is_empty()), "it keeps no stage: {status:#?}");
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn an_answer_that_one_pipeline_fails_goes_on_over_another() {
    let grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(5).await;
    let members = serving(&grid).await;
    let id = grid.machines[members[2]].id();
    grid.world.lock().broken.insert(id);
    assert_eq!(stream.finish().await.expect("whole"), expected(&PROMPT, TOKENS));
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn an_answer_counts_for_today_once_its_client_has_all_of_it() {
    let grid = two_pipelines().await;
    let mut left = grid.ask(&PROMPT, TOKENS).await;
    left.read(5).await;
    drop(left);
    grid.ask(&PROMPT, TOKENS).await.finish().await.expect("whole");
    grid.nothing_is_left().await;
    assert_eq!(grid.router.answers().today(), 1);
}

#[tokio::test]
async fn an_answer_that_every_pipeline_fails_ends_with_the_reason() {
    let grid = two_pipelines().await;
    let mut stream = grid.ask(&PROMPT, TOKENS).await;
    stream.read(5).await;
    let ids: Vec<_> = grid.machines.iter().map(super::machine::Machine::id).collect();
    grid.world.lock().broken.extend(ids);
    let error = stream.finish().await.expect_err("no pipeline computes it");
    assert!(matches!(error, GenerateError::BadCandidates { .. }), "{error}");
    grid.nothing_is_left().await;
}

#[tokio::test]
async fn a_request_that_brings_every_pipeline_down_does_not_do_so_for_ever() {
    let mut grid = Grid::with_pipelines(1, 1, 1).await;
    grid.world.lock().halted = true;
    let stream = grid.ask(&PROMPT, TOKENS).await;
    let (router, fleet) = (grid.router.clone(), grid.fleet.clone());
    let failing = async move {
        while router.in_flight() > 0 {
            if fleet.status().await.expect("the fleet runs").sessions > 0 {
                grid.machines[0].kill().await;
                grid.join(0).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let (error, ()) = tokio::join!(stream.finish(), failing);
    let error = error.expect_err("given up");
    assert!(matches!(error, GenerateError::PipelineLost { delivered: 0 }), "{error}");
}
