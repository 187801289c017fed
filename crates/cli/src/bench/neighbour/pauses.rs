//! The time from the command to pause until nothing is computed.

use super::{report::Row, selection::Selection, site::Site, windows::percentile};
use anyhow::Result;
use gogrid_panel_api::{PauseRequest, Request};
use rand::RngExt;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Pauses.
const PAUSES: usize = 50;
/// The accepted p99.
const BAR_MS: f64 = 50.0;
/// The time before each pause in ms, so that pauses come at any moment of a step.
const BETWEEN_MS: std::ops::Range<u64> = 50..400;
/// After a pause the worker's CPU clock is watched for this time …
const WATCHED: Duration = Duration::from_millis(100);
/// … at this interval …
const READ_EVERY: Duration = Duration::from_millis(4);
/// … in which the worker may use this much CPU time to keep its links alive. A core that computes uses all of it.
const AT_REST: Duration = Duration::from_millis(1);

pub(super) async fn rows(site: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    selection.announce("pauses");
    let _load = site.load().await?;
    let (mut taken, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..selection.scaled(PAUSES) {
        let between = rand::rng().random_range(BETWEEN_MS);
        sleep(Duration::from_millis(between)).await;
        let start = Instant::now();
        site.worker.command(&Request::Pause(PauseRequest::default())).await?;
        let done = start.elapsed();
        answered.push(done.as_secs_f64() * 1e3);
        taken.push(last_use(site, start, done).await?.as_secs_f64() * 1e3);
        site.worker.command(&Request::Resume).await?;
    }
    let p99 = percentile(&taken, 99.0);
    let measured = format!(
        "p99 {p99:.1} ms, middle {:.1}, of {} (answered: p99 {:.1})",
        percentile(&taken, 50.0),
        taken.len(),
        percentile(&answered, 99.0)
    );
    let raw = json!({ "ms": taken, "answered_ms": answered });
    Ok(vec![Row::new("pause until nothing is computed", measured, "p99 at most 50 ms", p99 <= BAR_MS, raw)])
}

/// The time from the command to the last use of the CPU by the worker's clock, and at least to the answer.
async fn last_use(site: &Site, start: Instant, done: Duration) -> Result<Duration> {
    let (mut last, mut cpu) = (done, site.clock.now()?);
    while start.elapsed() < done + WATCHED {
        sleep(READ_EVERY).await;
        let now = site.clock.now()?;
        if now - cpu > AT_REST {
            last = start.elapsed();
        }
        cpu = now;
    }
    Ok(last)
}
