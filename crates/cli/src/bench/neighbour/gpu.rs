//! The GPU's time and memory under limits, as counted by NVML, and another program's frames beside the worker.

mod drawing;
mod peak;
mod share;

use super::{load::Asked, report::Row, selection::Selection, site::Site};
use crate::args::BenchModel;
use anyhow::Result;
use gogrid_model::DeviceSpec;
use share::Shares;

pub(super) async fn rows(selection: &Selection) -> Result<Vec<Row>> {
    if !matches!(selection.device, DeviceSpec::Cuda(_)) {
        let why = format!("no GPU asked for (--device is {})", selection.device);
        return Ok(vec![Row::not_measured("GPU limits, memory and frames", why, "see docs/LIMITS.md")]);
    }
    let mut site = Site::start(BenchModel::Random, selection.device).await?;
    let mut shares = Shares::new(&mut site, selection);
    let mut rows = vec![shares.changing().await?];
    for asked in [Asked::Answers, Asked::Prompts] {
        rows.extend(shares.steady(asked).await?);
    }
    rows.push(std::mem::take(&mut shares.peak).row());
    let mut whole = Site::start_without_slices(BenchModel::Random, selection.device).await?;
    rows.extend(drawing::rows(&mut site, &mut whole, selection).await?);
    whole.stop().await?;
    site.stop().await?;
    Ok(rows)
}
