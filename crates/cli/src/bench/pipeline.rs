use super::{
    local::{Local, Timing},
    median,
    random_model::LLAMA_1_1B,
    stream,
};
use crate::{
    args::{BenchModel, PipelineArgs},
    launch::{self, Cluster, Launch},
};
use anyhow::{Context, Result};
use bytesize::ByteSize;
use gogrid_coordinator::NewModel;
use gogrid_model::{DeviceSpec, Quant};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tempfile::TempDir;

/// A setup to time, with its timings so far.
struct Setup {
    name: String,
    cluster: Option<Cluster>,
    /// The hops of one token, from the coordinator through every worker and back.
    hops: usize,
    timings: Vec<Timing>,
}

pub(super) async fn run(args: &PipelineArgs) -> Result<ExitCode> {
    let both = [BenchModel::Demo, BenchModel::Random];
    for model in if args.model.is_empty() { &both[..] } else { &args.model } {
        bench(*model, args).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn bench(model: BenchModel, args: &PipelineArgs) -> Result<()> {
    let folder = folder()?;
    let (name, path) = self::model(model, folder.path()).await?;
    let devices = args.device.iter().map(DeviceSpec::to_string).collect::<Vec<_>>().join(", ");
    println!(
        "model {name}, {}, on {devices}; prompt {} tokens, {} generated, one request at a time, median of {}",
        args.quant, args.prompt, args.tokens, args.rounds
    );
    let device = args.device.first().copied().unwrap_or_default();
    eprintln!("loading the model into this process");
    let mut local = Some(load(path.clone(), args.quant, device).await?);
    let unlinked = Setup { name: "one process, no links".into(), cluster: None, hops: 0, timings: Vec::new() };
    let mut setups = vec![unlinked];
    for &workers in if args.workers.is_empty() { &[1, 2, 4][..] } else { &args.workers } {
        eprintln!("starting a pipeline of {workers}");
        let cluster = start(&path, workers as usize, args.quant, &args.device).await?;
        let name = if workers == 1 { "1 worker".into() } else { format!("{workers} workers") };
        let hops = workers as usize + 1;
        setups.push(Setup { name, cluster: Some(cluster), hops, timings: Vec::new() });
    }
    // Ids of words in both vocabularies, no special tokens.
    let prompt: Vec<u32> = (0..args.prompt).map(|position| 100 + position * 7 % 1000).collect();
    // The first round warms up caches and connections and does not count.
    for round in 0..=args.rounds {
        for setup in &mut setups {
            eprintln!("round {round} of {}: {}", args.rounds, setup.name);
            let timing = match &setup.cluster {
                Some(cluster) => stream::time(&cluster.url, name, &prompt, args.tokens as usize).await?,
                None => {
                    let (timed, timing) = time_local(local.take(), prompt.clone(), args.tokens as usize).await?;
                    local = Some(timed);
                    timing
                }
            };
            if round > 0 {
                setup.timings.push(timing);
            }
        }
    }
    print(&setups, args.prompt);
    for cluster in setups.into_iter().filter_map(|setup| setup.cluster) {
        cluster.stop().await;
    }
    println!();
    Ok(())
}

async fn load(path: PathBuf, quant: Quant, device: DeviceSpec) -> Result<Local> {
    tokio::task::spawn_blocking(move || Local::load(&path, Some(quant), device)).await?
}

async fn time_local(local: Option<Local>, prompt: Vec<u32>, tokens: usize) -> Result<(Local, Timing)> {
    let mut local = local.context("the model is loaded")?;
    tokio::task::spawn_blocking(move || {
        let timing = local.time(&prompt, tokens)?;
        Ok((local, timing))
    })
    .await?
}

pub(super) fn folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("gogrid-bench-").tempdir().context("no temporary folder")
}

/// A model's name, and its files in a folder.
pub(super) async fn model(model: BenchModel, folder: &Path) -> Result<(&'static str, PathBuf)> {
    Ok(match model {
        BenchModel::Demo => ("demo", launch::demo_model(folder)?),
        BenchModel::Random => ("1.1b", LLAMA_1_1B.write_off_thread(folder.join("1.1b")).await?),
    })
}

/// A coordinator and a pipeline of that many workers.
pub(super) async fn start(model: &Path, workers: usize, quant: Quant, devices: &[DeviceSpec]) -> Result<Cluster> {
    let folder = folder()?;
    let model = NewModel {
        path: model.to_owned(),
        name: None,
        stages: workers,
        replicas: 1,
        quant: Some(quant),
        groups: Vec::new(),
        tools: None,
    };
    let launch = Launch {
        listen: "127.0.0.1:0".into(),
        model,
        workers,
        devices: devices.to_vec(),
        threads: None,
        whole_batches: false,
        keep_sessions: true,
    };
    Cluster::start(folder, launch).await
}

impl Setup {
    /// Prompt tokens per second, up to the first token.
    fn prefill_rate(&self, prompt: u32) -> f64 {
        f64::from(prompt) / median(self.timings.iter().map(|timing| timing.first.as_secs_f64()).collect())
    }

    fn ms_per_token(&self) -> f64 {
        median(self.timings.iter().map(ms_per_token).collect())
    }

    /// Milliseconds per token and hop beyond the unlinked run: the median over the rounds, in each of which both ran
    /// one after the other.
    fn hop(&self, unlinked: &Setup) -> Option<f64> {
        if self.hops == 0 {
            return None;
        }
        let overheads = self.timings.iter().zip(&unlinked.timings).map(|(a, b)| ms_per_token(a) - ms_per_token(b));
        Some(median(overheads.map(|overhead| overhead / self.hops as f64).collect()))
    }

    /// The peak resident memory of each process.
    fn peaks(&self) -> String {
        let pids = self.cluster.as_ref().map_or_else(|| vec![std::process::id()], Cluster::pids);
        let peaks = pids.into_iter().map(|pid| peak_memory(pid).map_or("unknown".into(), |peak| peak.to_string()));
        peaks.collect::<Vec<_>>().join(", ")
    }
}

/// Milliseconds per token after the first.
fn ms_per_token(timing: &Timing) -> f64 {
    timing.rest.as_secs_f64() * 1e3 / (timing.tokens - 1) as f64
}

fn print(setups: &[Setup], prompt: u32) {
    println!(
        "{:<24} {:>13} {:>12} {:>9} {:>9} {:>8}  peak memory (coordinator, workers)",
        "", "prefill tok/s", "decode tok/s", "ms/token", "unlinked", "ms/hop"
    );
    for setup in setups {
        let (ms, unlinked) = (setup.ms_per_token(), &setups[0]);
        let ratio = format!("{:+.1} %", 100.0 * (ms / unlinked.ms_per_token() - 1.0));
        let hop = setup.hop(unlinked).map_or("-".into(), |hop| format!("{hop:.3}"));
        println!(
            "{:<24} {:>13.0} {:>12.1} {ms:>9.2} {ratio:>9} {hop:>8}  {}",
            setup.name,
            setup.prefill_rate(prompt),
            1e3 / ms,
            setup.peaks()
        );
    }
}

/// The peak resident memory of a process. Only Linux tells that of another process.
fn peak_memory(pid: u32) -> Option<ByteSize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(ByteSize::kib)
}
