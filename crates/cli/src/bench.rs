//! `gogrid bench`: the figures that docs/PERFORMANCE.md quotes. What is compared runs in alternation, so that a drift
//! of the machine's speed affects all alike, and medians are shown.

pub(crate) mod engine;
mod local;
mod neighbour;
mod parity;
mod pipeline;
mod prefix;
mod quality;
mod random_model;
mod recovery;
mod rounding;
mod stream;

use crate::args::BenchCommand;
use anyhow::Result;
use std::process::ExitCode;

pub(crate) async fn run(command: BenchCommand) -> Result<ExitCode> {
    match command {
        BenchCommand::Parity(args) => tokio::task::spawn_blocking(move || parity::run(&args)).await?,
        BenchCommand::Engine(args) => tokio::task::spawn_blocking(move || engine::run(&args)).await?,
        BenchCommand::Quality(args) => tokio::task::spawn_blocking(move || quality::run(&args)).await?,
        BenchCommand::Pipeline(args) => pipeline::run(&args).await,
        BenchCommand::Prefix(args) => prefix::run(&args).await,
        BenchCommand::Neighbour(args) => neighbour::run(&args).await,
        BenchCommand::Recovery(args) => recovery::run(&args).await,
        BenchCommand::Rounding(args) => tokio::task::spawn_blocking(move || rounding::run(&args)).await?,
        BenchCommand::Frames(args) => tokio::task::spawn_blocking(move || neighbour::draw_frames(&args)).await?,
    }
}

/// The median, the upper one of two; 0 for no values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 4.0);
        assert_eq!(median(vec![]), 0.0);
    }
}
