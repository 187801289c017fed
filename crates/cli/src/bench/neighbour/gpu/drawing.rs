//! Another program's frames, alone and beside the worker.

use crate::bench::neighbour::{
    frames::Frames, load::Asked, report::Row, selection::Selection, site::Site, windows::percentile,
};
use anyhow::{Context, Result};
use gogrid_model::DeviceSpec;
use gogrid_panel_api::{PauseRequest, Request};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::process::Command;

/// The limit beside which another program draws, in percent.
const BESIDE: &str = "50";
/// Rounds of drawing alone and beside the worker.
const ROUNDS: usize = 4;
/// The p99 of the frames beside the worker, relative to that alone.
const BAR: f64 = 1.5;

/// Measures with slices and, to show their gain, without. The load is answers and long prompts, whose batches are the
/// longest.
pub(super) async fn rows(sliced: &mut Site, whole: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    let name = format!("frames of 4 ms at 60 Hz, beside {BESIDE} %");
    selection.announce("another program's frames");
    let with = Drawn::beside(sliced, selection).await?;
    selection.announce("another program's frames beside whole batches");
    let without = Drawn::beside(whole, selection).await?;
    Ok(vec![
        Row::new(&name, with.text(), "p99 at most 1.5 times", with.times() <= BAR, with.raw()),
        Row::told(format!("{name}, without slices"), without.text(), without.raw()),
    ])
}

/// Frames in milliseconds from due to done.
struct Drawn {
    alone: Vec<f64>,
    beside: Vec<f64>,
    kernels: Option<u32>,
    slice_p99: f64,
}

impl Drawn {
    async fn beside(site: &mut Site, selection: &Selection) -> Result<Self> {
        let mut load = site.ask(Asked::Both)?;
        load.some().await?;
        site.limit(&[("gpu", BESIDE)]).await?;
        let mut drawn = Self { alone: Vec::new(), beside: Vec::new(), kernels: None, slice_p99: 0.0 };
        for _ in 0..selection.scaled(ROUNDS) {
            site.worker.command(&Request::Pause(PauseRequest::default())).await?;
            let frames = draw(selection.device, drawn.kernels).await?;
            // Calibrated while nothing else ran on the GPU.
            drawn.kernels = Some(frames.kernels);
            drawn.alone.extend(frames.ms);
            site.worker.command(&Request::Resume).await?;
            drawn.beside.extend(draw(selection.device, drawn.kernels).await?.ms);
        }
        drawn.slice_p99 = site.status().await?.contribution.slice_p99_ms;
        site.unlimited().await?;
        Ok(drawn)
    }

    fn p99(&self) -> [f64; 2] {
        [&self.beside, &self.alone].map(|ms| percentile(ms, 99.0))
    }

    fn times(&self) -> f64 {
        let [beside, alone] = self.p99();
        beside / alone
    }

    fn text(&self) -> String {
        let [beside, alone] = self.p99();
        let (times, count, slice) = (self.times(), self.beside.len(), self.slice_p99);
        format!("p99 {beside:.2} ms, {alone:.2} alone: {times:.2} times, of {count}; slices p99 {slice:.1} ms")
    }

    fn raw(&self) -> Value {
        json!({
            "alone_ms": self.alone, "beside_ms": self.beside, "kernels": self.kernels,
            "slice_p99_ms": self.slice_p99,
        })
    }
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
