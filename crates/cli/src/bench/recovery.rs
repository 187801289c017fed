//! The pause that a client notices when a machine that works on its answer goes away.

mod report;
mod site;
mod way;

use super::{median, stream};
use crate::args::{BenchModel, RecoveryArgs, RecoveryWay as Way};
use anyhow::Result;
use clap::ValueEnum;
use report::{Cost, Report, Row};
use site::Site;
use std::process::ExitCode;

/// Tokens of the prompt and of the undisturbed answer.
const COST_TOKENS: u32 = 128;
/// The fewest rounds of the undisturbed answer: the cost is smaller than the rounds' own variation.
const COST_ROUNDS: u32 = 10;

pub(super) async fn run(args: &RecoveryArgs) -> Result<ExitCode> {
    let both = [BenchModel::Demo, BenchModel::Random];
    let models = if args.model.is_empty() { &both[..] } else { &args.model };
    let ways = if args.way.is_empty() { Way::value_variants() } else { &args.way };
    let mut report = Report { costs: Vec::new(), rows: Vec::new() };
    for model in models {
        for way in ways {
            if *way == Way::Retained {
                report.costs.push(cost(*model, args).await?);
            }
            report.rows.extend(bench(*model, *way, args).await?);
        }
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", report.table()),
    }
    let failed = args.check && report.is_missed();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Compares an undisturbed answer over stages that retain what a replay needs with one over stages that do not, in
/// alternation.
async fn cost(model: BenchModel, args: &RecoveryArgs) -> Result<Cost> {
    let sites = [Site::start(model, Way::Anew, args).await?, Site::start(model, Way::Retained, args).await?];
    let prompt = prompt(COST_TOKENS);
    let mut times = [Vec::new(), Vec::new()];
    // The first round warms up.
    let rounds = args.rounds.max(COST_ROUNDS);
    for round in 0..=rounds {
        for (site, times) in sites.iter().zip(&mut times) {
            let time = stream::time(&site.cluster.url, site.model, &prompt, COST_TOKENS as usize).await?.rest;
            if round > 0 {
                times.push(time.as_secs_f64());
            }
        }
        eprintln!("{} undisturbed: round {round} of {rounds}", sites[0].model);
    }
    let [without, with] = times.map(median);
    let model = sites[0].model;
    for site in sites {
        site.cluster.stop().await;
    }
    Ok(Cost { model, percent: (with / without - 1.0) * 100.0 })
}

/// Token ids of words in both vocabularies, none of them special.
fn prompt(tokens: u32) -> Vec<u32> {
    (0..tokens).map(|position| 100 + position * 7 % 1000).collect()
}

async fn bench(model: BenchModel, way: Way, args: &RecoveryArgs) -> Result<Vec<Row>> {
    let mut site = Site::start(model, way, args).await?;
    let mut rows = Vec::new();
    for &prompt_tokens in if args.prompt.is_empty() { &[128, 768][..] } else { &args.prompt } {
        let prompt = prompt(prompt_tokens);
        let prefill = stream::time(&site.cluster.url, site.model, &prompt, 2).await?.first.as_secs_f64();
        let mut pauses = Vec::new();
        for round in 1..=args.rounds {
            eprintln!("{} {}, {prompt_tokens} tokens: round {round} of {}", site.model, way.name(), args.rounds);
            pauses.push(site.round(way, &prompt).await?.as_secs_f64());
        }
        pauses.sort_unstable_by(f64::total_cmp);
        rows.push(Row { model: site.model, way, prompt_tokens, prefill, pauses });
    }
    site.cluster.stop().await;
    Ok(rows)
}
