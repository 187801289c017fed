//! The cost of an idle worker, whose model is loaded and whose links are up.

use super::{
    report::Row,
    selection::Selection,
    site::{SETTLE, Site},
    windows::watch,
};
use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::sleep;

/// Windows of a second.
const WINDOWS: usize = 20;
/// The accepted part of one core.
const BAR: f64 = 0.003;

pub(super) async fn rows(site: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    selection.announce("nothing to do");
    sleep(SETTLE).await;
    let status = site.status().await?;
    ensure!(status.is_connected() && status.stages.iter().any(|stage| stage.loaded), "no model is loaded");
    let shares = watch(site.clock, 1, selection.scaled(WINDOWS)).await?;
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let measured = format!("{:.2} % of a core over {} s", 100.0 * mean, shares.len());
    let raw = json!({ "mean": mean, "windows": shares });
    Ok(vec![Row::new("nothing to do", measured, "under 0.3 % of a core", mean < BAR, raw)])
}
