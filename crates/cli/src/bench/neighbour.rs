//! `gogrid bench neighbour`: what the machine's user notices of a worker, one row for each promise of docs/LIMITS.md.
//!
//! ```text
//! Site: coordinator ◀─API─ Load (endless answers)
//!           │
//!        worker ◀─commands, status─ a row ─▶ the worker's CPU clock, other programs
//! ```
//! The rows observe the worker from outside, with the system's own clocks. Only the lengths of slices and the ledger
//! come from the worker itself.

mod changes;
mod clock;
mod frames;
mod gpu;
mod idle;
mod latency;
mod limiter;
mod limits;
mod load;
mod pauses;
mod report;
mod selection;
mod site;
mod slices;
mod spin;
mod windows;
mod yields;

pub(super) use frames::run as draw_frames;

use crate::args::{BenchModel, NeighbourArgs, NeighbourRow};
use anyhow::Result;
use gogrid_model::DeviceSpec;
use report::Report;
use selection::Selection;
use site::Site;
use std::process::ExitCode;

/// Measures, and prints a table or JSON.
pub(super) async fn run(args: &NeighbourArgs) -> Result<ExitCode> {
    use NeighbourRow as Row;
    gogrid_compute::check_built(args.device)?;
    let selection = Selection::new(args);
    let mut report = Report { device: args.device.to_string(), cores: gogrid_probe::logical_cores(), rows: Vec::new() };
    let rows = &mut report.rows;
    let on_cpu =
        [Row::CpuLimit, Row::OtherLimiters, Row::Efficiency, Row::Slices, Row::Pause, Row::Yield, Row::Latency];
    if selection.has_any(&on_cpu) || selection.has_any(&[Row::Idle]) {
        selection.announce("starting a worker with 1.1 billion parameters");
        let mut site = Site::start(BenchModel::Random, DeviceSpec::Cpu).await?;
        if selection.has(Row::Idle) {
            rows.extend(idle::rows(&mut site, &selection).await?);
        }
        if selection.has_any(&[Row::CpuLimit, Row::OtherLimiters, Row::Efficiency]) {
            rows.extend(limits::rows(&mut site, &selection).await?);
        }
        if selection.has(Row::Slices) {
            rows.extend(slices::rows(&mut site, &selection).await?);
        }
        if selection.has(Row::Pause) {
            rows.extend(pauses::rows(&mut site, &selection).await?);
        }
        if selection.has(Row::Yield) {
            rows.extend(yields::rows(&mut site, &selection).await?);
        }
        if selection.has(Row::Latency) {
            rows.extend(latency::rows(&mut site, &selection).await?);
        }
        site.stop().await?;
    }
    if selection.has(Row::Changes) {
        rows.extend(changes::rows(&selection).await?);
    }
    if selection.has(Row::Gpu) {
        rows.extend(gpu::rows(&selection).await?);
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", report.table()),
    }
    let failed = args.check && report.is_missed();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
