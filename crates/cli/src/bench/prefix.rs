//! How soon the second turn of a conversation answers, whose beginning the workers still have.

use super::{median, pipeline, stream};
use crate::args::{BenchModel, PrefixArgs};
use anyhow::{Result, ensure};
use std::process::ExitCode;

/// Tokens that a turn adds to the conversation.
const TURN: u32 = 64;
/// Tokens of an answer: what matters is when the first one comes.
const ANSWER: usize = 8;

pub(super) async fn run(args: &PrefixArgs) -> Result<ExitCode> {
    let both = [BenchModel::Demo, BenchModel::Random];
    for model in if args.model.is_empty() { &both[..] } else { &args.model } {
        bench(*model, args).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn bench(model: BenchModel, args: &PrefixArgs) -> Result<()> {
    let folder = pipeline::folder()?;
    let (name, path) = pipeline::model(model, folder.path()).await?;
    println!("model {name}, {}; a turn of {} tokens, and one of {TURN} more", args.quant, args.prompt);
    println!(
        "{:>8} {:>14} {:>15} {:>7} {:>14}",
        "workers", "first turn, ms", "second turn, ms", "ratio", "tokens cached"
    );
    for &workers in if args.workers.is_empty() { &[1, 2][..] } else { &args.workers } {
        let cluster = pipeline::start(&path, workers as usize, args.quant, &args.device).await?;
        let mut seen: [Vec<f64>; 3] = Default::default();
        // The first round warms up caches and connections and does not count.
        for round in 0..=args.rounds {
            eprintln!("round {round} of {}: {workers} workers", args.rounds);
            // Every conversation is another one.
            let token = |at: u32| 100 + (at * 7 + round * 31) % 1000;
            let turns = [args.prompt, args.prompt + TURN].map(|tokens| (0..tokens).map(token).collect::<Vec<_>>());
            let salt = round.to_string();
            let (first, cached) = stream::time_behind(&cluster.url, name, &turns[0], ANSWER, &salt).await?;
            ensure!(cached == 0, "{cached} tokens of the first turn were cached");
            let (second, cached) = stream::time_behind(&cluster.url, name, &turns[1], ANSWER, &salt).await?;
            if round > 0 {
                let ms = [first, second].map(|timing| timing.first.as_secs_f64() * 1e3);
                seen.iter_mut().zip([ms[0], ms[1], cached as f64]).for_each(|(all, one)| all.push(one));
            }
        }
        let [first, second, cached] = seen.map(median);
        println!("{workers:>8} {first:>14.1} {second:>15.1} {:>7.3} {cached:>14}", second / first);
        cluster.stop().await;
    }
    println!();
    Ok(())
}
