//! The pause that a client notices when a machine of its answer goes away.

use super::{
    median,
    random_model::{LLAMA_1_1B, Shape},
    stream,
};
use crate::{
    args::{BenchModel, RecoveryArgs, RecoveryWay as Way},
    launch::{self, Cluster, Launch},
};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use gogrid_coordinator::{
    NewModel,
    status::{PipelineState, Status},
};
use gogrid_model::Quant;
use serde::Serialize;
use std::{
    fmt::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Stages of a pipeline: the fewest that have a link between machines.
const STAGES: usize = 2;
/// Tokens before the machine goes.
const BEFORE: usize = 8;
/// Tokens in all: so many that the answer is not over when a machine that was asked to leave has left.
const TOKENS: usize = 128;
/// Tokens of the prompt and of the answer that is not disturbed.
const COST_TOKENS: u32 = 128;
/// Rounds of it, at least: what is looked for is smaller than what rounds differ by.
const COST_ROUNDS: u32 = 10;
/// In percent.
const MOST_COST: f64 = 2.0;
/// Every pipeline must be back within this time before the next round.
const BACK_WITHIN: Duration = Duration::from_secs(180);
/// The 1.1B shape, for prompts of 4,096 tokens.
const LONG: Shape = Shape { context: 8192, ..LLAMA_1_1B };
/// How often the status is asked for meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(50);

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Anew => "killed, all anew",
            Self::Kept => "killed, the rest kept",
            Self::Spare => "killed, warm spare",
            Self::Replica => "killed, replica",
            Self::LeavesReplica => "leaves, replica",
            Self::LeavesSpare => "leaves, warm spare",
        }
    }

    /// The longest pause that is accepted, where taking the prompt in takes so long; `None` where none is promised.
    fn bar(self, prefill: f64) -> Option<f64> {
        match self {
            Self::Anew | Self::Kept => None,
            Self::Spare | Self::Replica => Some(1.0 + prefill),
            Self::LeavesReplica | Self::LeavesSpare => Some(0.15 + prefill),
        }
    }

    fn pipelines(self) -> usize {
        if matches!(self, Self::Replica | Self::LeavesReplica) { 2 } else { 1 }
    }

    /// Machines of all pipelines, or one more than one has.
    fn workers(self) -> usize {
        if self.pipelines() == 1 { STAGES + 1 } else { 2 * STAGES }
    }

    fn has_spare(self) -> bool {
        matches!(self, Self::Spare | Self::LeavesSpare)
    }

    /// Pipelines that the model may have: a spare is kept where one more has no room.
    fn replicas(self) -> usize {
        if self.has_spare() { 2 } else { self.pipelines() }
    }

    fn leaves(self) -> bool {
        matches!(self, Self::LeavesReplica | Self::LeavesSpare)
    }
}

/// Everything, for scripts.
#[derive(Debug, Serialize)]
struct Report {
    costs: Vec<Cost>,
    rows: Vec<Row>,
}

/// What a token costs more on stages that keep what a replay needs.
#[derive(Debug, Serialize)]
struct Cost {
    model: &'static str,
    percent: f64,
}

impl Cost {
    fn is_missed(&self) -> bool {
        self.percent > MOST_COST
    }
}

/// One way, one model, one prompt's length.
#[derive(Debug, Serialize)]
struct Row {
    model: &'static str,
    way: Way,
    prompt_tokens: u32,
    /// The undisturbed time to the first token, in seconds.
    prefill: f64,
    /// Every pause, in seconds, the shortest first.
    pauses: Vec<f64>,
}

pub(super) async fn run(args: &RecoveryArgs) -> Result<ExitCode> {
    let both = [BenchModel::Demo, BenchModel::Random];
    let (mut rows, mut costs) = (Vec::new(), Vec::new());
    let ways = if args.way.is_empty() { Way::value_variants() } else { &args.way };
    for model in if args.model.is_empty() { &both[..] } else { &args.model } {
        for way in ways {
            if *way == Way::Kept {
                costs.push(cost(*model, args).await?);
            }
            rows.extend(bench(*model, *way, args).await?);
        }
    }
    let missed = args.check && (rows.iter().any(Row::is_missed) || costs.iter().any(Cost::is_missed));
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&Report { costs, rows })?),
        false => print!("{}", table(&costs, &rows)),
    }
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An undisturbed answer over stages that keep what a replay needs, against stages that do not, in alternation.
async fn cost(model: BenchModel, args: &RecoveryArgs) -> Result<Cost> {
    let sites = [Site::start(model, Way::Anew, args).await?, Site::start(model, Way::Kept, args).await?];
    let prompt = prompt(COST_TOKENS);
    let mut times = [Vec::new(), Vec::new()];
    // The first of each warms up.
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

/// A grid that serves a model.
struct Site {
    cluster: Cluster,
    model: &'static str,
    /// The workers' ids, the first of which is that of worker 1.
    workers: Vec<String>,
    way: Way,
}

impl Site {
    async fn start(model: BenchModel, way: Way, args: &RecoveryArgs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gogrid-bench-").tempdir().context("no temporary folder")?;
        let (name, path) = match model {
            BenchModel::Demo => ("demo", launch::demo_model(folder.path())?),
            BenchModel::Random => ("1.1b", random_model(folder.path().join("1.1b")).await?),
        };
        let quant = Some(Quant::Q8_0);
        let model = NewModel { path, name: None, stages: STAGES, replicas: way.replicas(), quant };
        let (workers, devices) = (way.workers(), args.device.clone());
        let listen = "127.0.0.1:0".into();
        let keep_sessions = way != Way::Anew;
        let threads = args.threads.map_or(Some(1), |threads| Some(threads as usize));
        let launch = Launch { listen, model, workers, devices, threads, whole_batches: false, keep_sessions };
        let mut cluster = Cluster::start(folder, launch).await?;
        let mut ids = Vec::new();
        for number in 1..=workers {
            ids.push(cluster.worker_id(number).await?);
        }
        let site = Self { cluster, model: name, workers: ids, way };
        site.whole().await?;
        Ok(site)
    }

    /// One answer that loses a machine; its longest pause from then on.
    async fn round(&mut self, way: Way, prompt: &[u32]) -> Result<Duration> {
        let (url, model) = (self.cluster.url.clone(), self.model);
        let act = async || {
            let number = self.serving().await?;
            let start = Instant::now();
            match way.leaves() {
                true => self.cluster.ask_to_leave(number),
                false => self.cluster.kill(number).await?,
            }
            Ok((number, start))
        };
        let (arrivals, (number, start)) = stream::arrivals(&url, model, prompt, TOKENS, (BEFORE, act)).await?;
        self.cluster.restart(number).await?;
        self.whole().await?;
        let after = &arrivals[arrivals.partition_point(|at| *at <= start)..];
        let waits = std::iter::once(&start).chain(after).zip(after).map(|(from, to)| *to - *from);
        waits.max().context("no token came after the machine was gone")
    }

    /// The worker of the pipeline that has the session: of the stage that there is a spare of, or of the last.
    async fn serving(&self) -> Result<usize> {
        let status = self.cluster.status().await?;
        let spare = status.workers.iter().flat_map(|worker| &worker.stages).find(|stage| stage.spare);
        let pipelines = status.models.iter().flat_map(|model| &model.pipelines);
        let pipeline = pipelines.into_iter().find(|pipeline| pipeline.sessions > 0);
        let stage = pipeline.and_then(|pipeline| match spare {
            Some(spare) => pipeline.stages.iter().find(|stage| stage.layers == spare.layers),
            None => pipeline.stages.last(),
        });
        let stage = stage.context("no pipeline has the session")?;
        let at = self.workers.iter().position(|id| *id == stage.worker_id).context("an unknown worker")?;
        Ok(at + 1)
    }

    /// Waits until every pipeline and every worker is there.
    async fn whole(&self) -> Result<()> {
        let start = Instant::now();
        while !self.is_whole(&self.cluster.status().await?) {
            if start.elapsed() > BACK_WITHIN {
                bail!("the pipelines were not back within {} s", BACK_WITHIN.as_secs());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    fn is_whole(&self, status: &Status) -> bool {
        let pipelines: Vec<_> = status.models.iter().flat_map(|model| &model.pipelines).collect();
        let ready = pipelines.iter().filter(|pipeline| pipeline.state == PipelineState::Ready).count();
        let connected = status.workers.iter().filter(|worker| !worker.device.is_empty()).count();
        let mut stages = status.workers.iter().flat_map(|worker| &worker.stages);
        let warm = stages.any(|stage| stage.spare && stage.quant.is_some());
        ready == self.way.pipelines()
            && pipelines.len() == ready
            && connected == self.workers.len()
            && warm == self.way.has_spare()
    }
}

async fn random_model(path: PathBuf) -> Result<PathBuf> {
    let made = path.clone();
    tokio::task::spawn_blocking(move || LONG.write(&made)).await?.context("the random model cannot be written")?;
    Ok(path)
}

impl Row {
    /// The pause that so many in a hundred do not exceed.
    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.pauses.len() * percent).div_ceil(100).max(1);
        self.pauses.get(at - 1).copied().unwrap_or(0.0)
    }

    fn is_missed(&self) -> bool {
        self.way.bar(self.prefill).is_some_and(|bar| self.percentile(99) > bar)
    }
}

fn table(costs: &[Cost], rows: &[Row]) -> String {
    let mut text = String::new();
    for cost in costs {
        let missed = if cost.is_missed() { "  missed" } else { "" };
        let Cost { model, percent } = cost;
        let _ = writeln!(
            text,
            "{model:<6} keeping what a replay needs costs {percent:.1} % ({MOST_COST} % at most){missed}"
        );
    }
    let _ = writeln!(
        text,
        "{:<6} {:<24} {:>6} {:>11} {:>9} {:>9} {:>9}",
        "model", "a machine is", "prompt", "prefill ms", "p50 ms", "p99 ms", "bar ms"
    );
    for row in rows {
        let bar = row.way.bar(row.prefill).map_or("-".into(), |bar| format!("{:.0}", bar * 1e3));
        let _ = writeln!(
            text,
            "{:<6} {:<24} {:>6} {:>11.0} {:>9.0} {:>9.0} {bar:>9}{}",
            row.model,
            row.way.name(),
            row.prompt_tokens,
            row.prefill * 1e3,
            row.percentile(50) * 1e3,
            row.percentile(99) * 1e3,
            if row.is_missed() { "  missed" } else { "" }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(way: Way, pauses: &[f64]) -> Row {
        Row { model: "demo", way, prompt_tokens: 128, prefill: 0.5, pauses: pauses.to_vec() }
    }

    #[test]
    fn the_worst_of_few_pauses_is_judged_against_bar_and_prefill() {
        let pauses = [0.1, 0.2, 1.6];
        assert_eq!(row(Way::Replica, &pauses).percentile(50), 0.2);
        assert!(row(Way::Replica, &pauses).is_missed());
        assert!(!row(Way::Spare, &[0.1, 1.4]).is_missed());
        assert!(row(Way::LeavesSpare, &[0.7]).is_missed());
        assert!(!row(Way::Anew, &[9.0]).is_missed());
    }
}
