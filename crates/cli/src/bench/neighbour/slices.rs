//! The device time of a slice, after which the worker observes its machine again. By the worker's own figures: nobody
//! else sees where a slice begins.

use super::{report::Row, selection::Selection, site::Site};
use anyhow::Result;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Limits in percent of all cores: one within a single thread's reach on most machines, and one that takes all threads.
const LIMITS: [u32; 2] = [25, 75];
/// The worker's percentiles cover its last minute, so nothing of the limit before is left in them after this time.
const SECONDS: usize = 61;
/// The accepted p99 of the divisible slices, in ms.
const BAR_MS: f64 = 8.0;

pub(super) async fn rows(site: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let load = site.load().await?;
    for percent in LIMITS {
        let name = format!("slice at {percent} %");
        selection.announce(&name);
        site.limit(&[("cpu", &percent.to_string())]).await?;
        sleep(Duration::from_secs(u64::try_from(selection.scaled(SECONDS))?)).await;
        let now = site.status().await?.contribution;
        let (divisible, all, longest) = (now.divisible_slice_p99_ms, now.slice_p99_ms, now.longest_slice_ms);
        let measured = format!("p99 {divisible:.1} ms where it can be cut, {all:.1} of all, longest {longest:.1}");
        let raw = json!({ "cap": percent, "divisible_p99_ms": divisible, "p99_ms": all, "longest_ms": longest });
        rows.push(Row::new(name, measured, "p99 at most 8 ms, or one unit", divisible <= BAR_MS, raw));
    }
    drop(load);
    site.unlimited().await?;
    Ok(rows)
}
