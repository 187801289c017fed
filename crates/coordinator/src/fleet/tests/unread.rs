//! Clients that do not read.

use super::{
    grid::{Grid, SOON},
    ring::expected,
};

const PROMPT: [u32; 3] = [300, 5, 812];
const TOKENS: usize = 200;

#[tokio::test]
async fn clients_that_do_not_read_give_their_places_to_others_and_miss_nothing() {
    let grid = Grid::with_pipelines(1, 1, 1).await;
    // As many as may run at once; none of them reads.
    let mut silent = Vec::new();
    for number in 0..64 {
        silent.push((number, grid.ask(&[number, 7], TOKENS).await));
    }
    let other = grid.ask(&PROMPT, 20).await;
    let answer = tokio::time::timeout(SOON, other.finish()).await.expect("they do not keep it waiting");
    assert_eq!(answer.expect("whole"), expected(&PROMPT, 20));
    for (number, stream) in silent {
        assert_eq!(stream.finish().await.expect("whole"), expected(&[number, 7], TOKENS));
    }
    grid.nothing_is_left().await;
}
