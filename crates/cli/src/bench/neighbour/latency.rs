//! A foreground program: every core has a thread that wakes every 10 ms and works for 2 ms. How late is it beside the
//! worker?

use super::{report::Row, selection::Selection, site::Site, windows::percentile};
use anyhow::{Context, Result};
use gogrid_panel_api::{PauseRequest, Request};
use serde_json::json;
use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

/// The time between two wake-ups, as of an animation or a game at 100 frames a second.
const PERIOD: Duration = Duration::from_millis(10);
/// Work of one period.
const WORK: Duration = Duration::from_millis(2);
/// The length of a block, alone or beside the worker.
const BLOCK: Duration = Duration::from_secs(5);
/// Blocks alone, and as many beside the worker.
const BLOCKS: usize = 6;
/// The fewest blocks, even if fewer windows are asked for.
const FEWEST_BLOCKS: usize = 2;
/// The p99 beside the worker, relative to that alone.
const BAR: f64 = 1.2;

pub(super) async fn rows(site: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    const NAME: &str = "a program in front, beside preset balanced";
    selection.announce(NAME);
    let _load = site.load().await?;
    site.worker.command(&Request::Preset { name: "balanced".into() }).await?;
    site.worker.command(&Request::Pause(PauseRequest::default())).await?;
    let rounds = tokio::task::spawn_blocking(calibrate).await?;
    let (mut alone, mut beside, mut worked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..selection.scaled(BLOCKS).max(FEWEST_BLOCKS) {
        alone.extend(block(site.cores, rounds).await?);
        site.worker.command(&Request::Resume).await?;
        let (cpu, start) = (site.clock.now()?, Instant::now());
        beside.extend(block(site.cores, rounds).await?);
        let used = (site.clock.now()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
        worked.push(used / site.cores as f64);
        site.worker.command(&Request::Pause(PauseRequest::default())).await?;
    }
    site.worker.command(&Request::Resume).await?;
    let reason = site.status().await?.reason;
    site.unlimited().await?;
    let worked = worked.iter().sum::<f64>() / worked.len() as f64;
    let (a, b) = (percentile(&alone, 99.0), percentile(&beside, 99.0));
    const BAR_TEXT: &str = "p99 at most 1.2 times";
    if worked < 0.001 {
        return Ok(vec![Row::not_measured(NAME, format!("the worker stood still: {reason}"), BAR_TEXT)]);
    }
    let measured = format!(
        "p99 {b:.2} ms, {a:.2} alone: {:.2} times (the worker took {:.1} % of all cores)",
        b / a,
        100.0 * worked
    );
    let percentiles = |values: &[f64]| {
        [50.0, 90.0, 99.0, 99.9, 100.0].map(|percent| (percent.to_string(), percentile(values, percent)))
    };
    let raw = json!({
        "alone_ms": std::collections::BTreeMap::from(percentiles(&alone)),
        "beside_ms": std::collections::BTreeMap::from(percentiles(&beside)),
        "worker_cpu": worked, "times": alone.len(), "work_ms": WORK.as_secs_f64() * 1e3, "reason": reason,
    });
    Ok(vec![Row::new(NAME, measured, BAR_TEXT, b <= BAR * a, raw)])
}

fn work(rounds: u64) {
    black_box((0..rounds).fold(1_u64, |state, round| black_box(state.wrapping_mul(6_364_136_223_846_793_005) ^ round)));
}

/// The rounds that make up the work on an idle machine, by the fastest of some tries.
fn calibrate() -> u64 {
    const ROUNDS: u64 = 200_000;
    const TRIES: usize = 20;
    let time = |_| {
        let start = Instant::now();
        work(ROUNDS);
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..TRIES).map(time).fold(f64::INFINITY, f64::min);
    (ROUNDS as f64 * WORK.as_secs_f64() / fastest) as u64
}

/// Milliseconds from due to done, of every thread and period.
async fn block(threads: usize, rounds: u64) -> Result<Vec<f64>> {
    let threads = (0..threads)
        .map(|number| thread::Builder::new().name(format!("front-{number}")).spawn(move || periods(rounds)))
        .collect::<Result<Vec<_>, _>>()?;
    let all =
        tokio::task::spawn_blocking(move || threads.into_iter().map(thread::JoinHandle::join).collect::<Vec<_>>());
    let mut times = Vec::new();
    for one in all.await? {
        times.extend(one.ok().context("a thread in front panicked")?);
    }
    Ok(times)
}

fn periods(rounds: u64) -> Vec<f64> {
    let (start, mut times) = (Instant::now(), Vec::new());
    let mut due = start + PERIOD;
    while due < start + BLOCK {
        // Nobody unparks it, but it may wake early by itself.
        while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            thread::park_timeout(wait);
        }
        work(rounds);
        times.push(due.elapsed().as_secs_f64() * 1e3);
        due += PERIOD;
    }
    times
}
