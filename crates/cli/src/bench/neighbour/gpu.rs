//! The GPU's time and memory under limits, as NVML counts them, and another program's frames beside the worker.

use super::{
    Wanted,
    frames::Frames,
    report::Row,
    site::{SETTLE, Site},
    windows::{Accuracy, percentile},
};
use crate::{args::BenchModel, worker_client::WorkerClient};
use anyhow::{Context, Result};
use gogrid_limits::Gpu;
use gogrid_model::DeviceSpec;
use gogrid_panel_api::{PauseRequest, Request, Response, Status};
use serde_json::json;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{process::Command, time::sleep};

/// Limits, in percent of the GPU's time.
const LIMITS: [u32; 3] = [25, 50, 75];
/// The limit of GPU memory beside them: what the model, its sessions and the runtime take, and half as much again.
const MEMORY: &str = "3GiB";
/// A window in which both counts are this close is right.
const CLOSE: f64 = 0.03;
/// Part of the windows that must be.
const WITHIN: f64 = 0.95;
/// States that are read in a window: NVML's own means are over a sixth of a second to a second.
const LOOK_EVERY_MS: u32 = 100;
const WINDOW: Duration = Duration::from_secs(1);
/// The limit beside which another program draws.
const DRAW_BESIDE: &str = "50";
/// Rounds of drawing alone and beside the worker.
const ROUNDS: usize = 4;
/// p99 of the frames beside the worker, of that alone.
const FRAMES_BAR: f64 = 1.5;

/// One window.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// By NVML: whoever it was. The bench runs nothing else there.
    seen: f64,
    /// By our own accounting.
    own: f64,
}

pub(super) async fn rows(wanted: &Wanted) -> Result<Vec<Row>> {
    if !matches!(wanted.device, DeviceSpec::Cuda(_)) {
        let why = format!("no GPU asked for (--device is {})", wanted.device);
        return Ok(vec![Row::not_measured("GPU limits, memory and frames", why, "see docs/LIMITS.md")]);
    }
    let mut site = Site::start(BenchModel::Random, wanted.device).await?;
    let mut rows = Vec::new();
    let mut peak = Peak::default();
    for percent in LIMITS {
        wanted.tell(&format!("GPU limit {percent} %"));
        rows.push(limit_row(&mut site, percent, wanted, &mut peak).await?);
    }
    rows.push(peak.row());
    wanted.tell("another program's frames");
    rows.push(frames_row(&mut site, wanted).await?);
    site.stop().await?;
    Ok(rows)
}

async fn limit_row(site: &mut Site, percent: u32, wanted: &Wanted, peak: &mut Peak) -> Result<Row> {
    const BAR: &str = "95 % within 3 points of each other and of the limit";
    let name = format!("GPU limit {percent} %");
    let _load = site.load().await?;
    site.limit(&[("gpu", &percent.to_string()), ("gpu-memory", MEMORY)]).await?;
    sleep(SETTLE).await;
    let mut follower = site.client().await?;
    follower.send(&Request::Follow { every_ms: LOOK_EVERY_MS }).await?;
    let mut windows = Vec::new();
    for _ in 0..wanted.windows {
        match window(&mut follower, peak).await? {
            Ok(window) => windows.push(window),
            Err(why) => return Ok(Row::not_measured(name, why, BAR)),
        }
    }
    site.unlimited().await?;
    let cap = f64::from(percent) / 100.0;
    let right = |window: &&Window| (window.seen - window.own).abs() <= CLOSE && (window.seen - cap).abs() <= CLOSE;
    let within = windows.iter().filter(right).count() as f64 / windows.len() as f64;
    let of = |value: fn(&Window) -> f64| windows.iter().map(value).collect::<Vec<_>>();
    let (seen, own) = (of(|window| window.seen), of(|window| window.own));
    let measured = format!(
        "NVML {:.1} %, own {:.1} %; {:.0} % of {} windows right",
        100.0 * Accuracy::of(&seen, cap).mean,
        100.0 * Accuracy::of(&own, cap).mean,
        100.0 * within,
        windows.len()
    );
    let raw = json!({ "cap": percent, "nvml": seen, "own": own, "within": within });
    Ok(Row::new(name, measured, BAR, within >= WITHIN, raw))
}

/// One window, or why NVML does not say.
async fn window(follower: &mut WorkerClient, peak: &mut Peak) -> Result<Result<Window, String>> {
    let mut seen = Vec::new();
    let first = next(follower).await?;
    let start = Instant::now();
    loop {
        let status = next(follower).await?;
        let gpu = match gpu(&status) {
            Ok(gpu) => gpu,
            Err(why) => return Ok(Err(why)),
        };
        match gpu.load.clone().into_result() {
            Ok(load) => seen.push(f64::from(load.total)),
            Err(why) => return Ok(Err(why)),
        }
        peak.see(gpu, status.usage.limit_bytes);
        let elapsed = start.elapsed();
        if elapsed >= WINDOW {
            let busy = status.contribution.busy_seconds - first.contribution.busy_seconds;
            let mean = seen.iter().sum::<f64>() / seen.len() as f64;
            return Ok(Ok(Window { seen: mean, own: busy / elapsed.as_secs_f64() }));
        }
    }
}

async fn next(follower: &mut WorkerClient) -> Result<Status> {
    loop {
        if let Response::Status(status) = follower.next_within(Duration::ZERO).await? {
            return Ok(*status);
        }
    }
}

fn gpu(status: &Status) -> Result<&Gpu, String> {
    let sample = status.sample.as_ref().ok_or("the machine was not looked at yet")?;
    sample.gpu.as_ref().ok_or("the worker sees no GPU")?.known().ok_or_else(|| "NVML does not answer".into())
}

/// The most GPU memory of the worker's process.
#[derive(Debug, Default)]
struct Peak {
    /// With the limit that held.
    bytes: Option<(u64, u64)>,
    unknown: Option<String>,
}

impl Peak {
    fn see(&mut self, gpu: &Gpu, limit: u64) {
        match gpu.memory_own.clone().into_result() {
            Ok(bytes) => self.bytes = self.bytes.max(Some((bytes, limit))),
            Err(why) => self.unknown = Some(why),
        }
    }

    fn row(self) -> Row {
        const NAME: &str = "GPU memory";
        const BAR: &str = "never over the limit";
        let Some((bytes, limit)) = self.bytes else {
            return Row::not_measured(NAME, self.unknown.unwrap_or_default(), BAR);
        };
        let mib = |bytes: u64| bytes >> 20;
        let measured = format!("{} MiB at most, as NVML counts; the limit is {} MiB", mib(bytes), mib(limit));
        Row::new(NAME, measured, BAR, bytes <= limit, json!({ "bytes": bytes, "limit": limit }))
    }
}

async fn frames_row(site: &mut Site, wanted: &Wanted) -> Result<Row> {
    let _load = site.load().await?;
    site.limit(&[("gpu", DRAW_BESIDE)]).await?;
    let (mut alone, mut beside, mut kernels) = (Vec::new(), Vec::new(), None);
    for _ in 0..wanted.part_of(ROUNDS) {
        site.worker.order(&Request::Pause(PauseRequest::default())).await?;
        let drawn = draw(wanted.device, kernels).await?;
        // Found while nothing else ran there.
        kernels = Some(drawn.kernels);
        alone.extend(drawn.ms);
        site.worker.order(&Request::Resume).await?;
        beside.extend(draw(wanted.device, kernels).await?.ms);
    }
    site.unlimited().await?;
    let (a, b) = (percentile(&alone, 99.0), percentile(&beside, 99.0));
    let measured = format!("p99 {b:.2} ms, {a:.2} alone: {:.2} times, of {}", b / a, beside.len());
    let raw = json!({ "alone_ms": alone, "beside_ms": beside, "kernels": kernels });
    let name = format!("frames of 4 ms at 60 Hz, beside {DRAW_BESIDE} %");
    Ok(Row::new(name, measured, "p99 at most 1.5 times", b <= FRAMES_BAR * a, raw))
}

async fn draw(device: DeviceSpec, kernels: Option<u32>) -> Result<Frames> {
    let mut command = Command::new(std::env::current_exe().context("this program's file cannot be found")?);
    command.args(["bench", "frames", "--device", &device.to_string()]);
    if let Some(kernels) = kernels {
        command.args(["--kernels", &kernels.to_string()]);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
    anyhow::ensure!(output.status.success(), "the program that draws failed ({})", output.status);
    serde_json::from_slice(&output.stdout).context("what the program that draws printed")
}
