//! `gogrid bench neighbour`: what the machine's user notices of a worker. A row for each promise of docs/LIMITS.md.
//!
//! ```text
//! Site: coordinator ◀─API─ Load (answers without end)
//!           │
//!        worker ◀─orders, state─ a row ─▶ the worker's CPU clock, other programs
//! ```
//! The rows look at the worker from outside, with the system's own clocks; only lengths of slices and the ledger are
//! the worker's own word.

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
mod site;
mod slices;
mod spin;
mod windows;
mod yields;

pub(super) use frames::run as draw_frames;

use crate::args::{BenchModel, NeighbourArgs, NeighbourRow};
use anyhow::Result;
use clap::ValueEnum;
use gogrid_model::DeviceSpec;
use report::Report;
use site::Site;
use std::process::ExitCode;

/// Windows for which the counts of other rows are those of the bars.
const ALL_WINDOWS: usize = 30;

/// What is asked for.
struct Wanted {
    rows: Vec<NeighbourRow>,
    /// Windows of a second for each limit.
    windows: usize,
    device: DeviceSpec,
}

impl Wanted {
    fn new(args: &NeighbourArgs) -> Self {
        let rows = if args.rows.is_empty() { NeighbourRow::value_variants().to_vec() } else { args.rows.clone() };
        Self { rows, windows: args.windows as usize, device: args.device }
    }

    fn has(&self, row: NeighbourRow) -> bool {
        self.rows.contains(&row)
    }

    fn any(&self, rows: &[NeighbourRow]) -> bool {
        rows.iter().any(|row| self.has(*row))
    }

    /// So many, or as many in proportion where fewer windows are asked for than the bars need; at least three.
    fn part_of(&self, count: usize) -> usize {
        (count * self.windows.min(ALL_WINDOWS)).div_ceil(ALL_WINDOWS).max(3)
    }

    /// What is measured now, for whoever waits.
    fn tell(&self, what: &str) {
        eprintln!("measuring: {what}");
    }
}

/// Measures, and prints a table or JSON.
pub(super) async fn run(args: &NeighbourArgs) -> Result<ExitCode> {
    use NeighbourRow as Row;
    gogrid_compute::check_built(args.device)?;
    let wanted = Wanted::new(args);
    let mut report = Report { device: args.device.to_string(), cores: gogrid_probe::logical_cores(), rows: Vec::new() };
    let rows = &mut report.rows;
    let on_cpu =
        [Row::CpuLimit, Row::OtherLimiters, Row::Efficiency, Row::Slices, Row::Pause, Row::Yield, Row::Latency];
    if wanted.any(&on_cpu) || wanted.any(&[Row::Idle]) {
        wanted.tell("starting a worker with 1.1 billion parameters");
        let mut site = Site::start(BenchModel::Random, DeviceSpec::Cpu).await?;
        if wanted.has(Row::Idle) {
            rows.extend(idle::rows(&mut site, &wanted).await?);
        }
        if wanted.any(&[Row::CpuLimit, Row::OtherLimiters, Row::Efficiency]) {
            rows.extend(limits::rows(&mut site, &wanted).await?);
        }
        if wanted.has(Row::Slices) {
            rows.extend(slices::rows(&mut site, &wanted).await?);
        }
        if wanted.has(Row::Pause) {
            rows.extend(pauses::rows(&mut site, &wanted).await?);
        }
        if wanted.has(Row::Yield) {
            rows.extend(yields::rows(&mut site, &wanted).await?);
        }
        if wanted.has(Row::Latency) {
            rows.extend(latency::rows(&mut site, &wanted).await?);
        }
        site.stop().await?;
    }
    if wanted.has(Row::Changes) {
        rows.extend(changes::rows(&wanted).await?);
    }
    if wanted.has(Row::Gpu) {
        rows.extend(gpu::rows(&wanted).await?);
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", report.table()),
    }
    let failed = args.check && report.is_missed();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn wanted(line: &[&str]) -> Wanted {
        let args =
            crate::args::Args::try_parse_from([&["gogrid", "bench", "neighbour"], line].concat()).expect("valid");
        let crate::args::Command::Bench(crate::args::BenchCommand::Neighbour(args)) = args.command else {
            panic!("the bench")
        };
        Wanted::new(&args)
    }

    #[test]
    fn rows_are_chosen_by_number_or_name() {
        let some = wanted(&["--rows", "1,pause,10"]);
        assert_eq!(some.rows, [NeighbourRow::CpuLimit, NeighbourRow::Pause, NeighbourRow::Gpu]);
        assert_eq!(wanted(&[]).rows.len(), 10);
    }

    #[test]
    fn fewer_windows_shrink_the_other_counts_and_more_do_not_raise_them() {
        assert_eq!(wanted(&[]).part_of(50), 50);
        assert_eq!(wanted(&["--windows", "60"]).part_of(50), 50);
        assert_eq!(wanted(&["--windows", "6"]).part_of(50), 10);
        assert_eq!(wanted(&["--windows", "3"]).part_of(20), 3);
    }
}
