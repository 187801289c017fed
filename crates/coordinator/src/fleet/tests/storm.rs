//! Everything at once, by seed: machines die, fall silent, leave, are wanted back, and come again, while requests run.

use super::{grid::Grid, ring::expected};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Seeds of one run; each takes some ten seconds.
const SEEDS: u64 = 3;
const MACHINES: u8 = 6;
const REQUESTS: u32 = 24;

#[tokio::test]
async fn no_answer_is_lost_or_wrong_whatever_happens_to_machines() {
    let first = std::env::var("GOGRID_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        println!("seed {seed}: run it alone with GOGRID_SEED={seed}");
        storm(seed).await;
    }
}

async fn storm(seed: u64) {
    let mut grid = Grid::with_pipelines(MACHINES, 3, 2).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..REQUESTS {
        let prompt: Vec<u32> = (0..random.random_range(1..40)).map(|at| (number * 31 + at) % 1900).collect();
        let tokens = random.random_range(50..300);
        let stream = grid.ask(&prompt, tokens).await;
        answers.spawn(async move { (stream.finish().await, expected(&prompt, tokens)) });
    }
    while !answers.is_empty() {
        disturb(&mut grid, &mut random).await;
        let pause = tokio::time::sleep(Duration::from_millis(random.random_range(5..100)));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                Some(done) = answers.join_next() => {
                    let (answer, expected) = done.expect("no panic");
                    assert_eq!(answer.unwrap_or_else(|error| panic!("seed {seed}: {error}")), expected, "seed {seed}");
                }
                else => break,
            }
        }
    }
    for number in 0..MACHINES {
        grid.machines[usize::from(number)].kill().await;
        grid.join(number).await;
    }
    grid.wait_pipelines(2).await;
    grid.nothing_is_left().await;
}

/// One machine dies, falls silent, leaves or is wanted back, and two come back as they should.
async fn disturb(grid: &mut Grid, random: &mut StdRng) {
    let number = random.random_range(0..MACHINES);
    let machine = &mut grid.machines[usize::from(number)];
    match random.random_range(0..6) {
        0 => machine.kill().await,
        1 => machine.silence(),
        2 => machine.drain().await,
        3 => machine.pause(true).await,
        4 => machine.stop_soon(true).await,
        _ => {
            machine.kill().await;
            grid.join(number).await;
        }
    }
    for _ in 0..2 {
        let back = random.random_range(0..MACHINES);
        let machine = &mut grid.machines[usize::from(back)];
        if machine.is_paused() {
            machine.pause(false).await;
        } else if machine.is_away() {
            machine.kill().await;
            grid.join(back).await;
        }
    }
}
