use crate::args::{NeighbourArgs, NeighbourRow};
use clap::ValueEnum;
use gogrid_model::DeviceSpec;

/// With this many windows a limit, the other rows are counted as their bars demand.
const ALL_WINDOWS: usize = 30;

/// The rows to measure, and how thoroughly.
pub(super) struct Selection {
    rows: Vec<NeighbourRow>,
    /// Windows of one second for each limit.
    pub(super) windows: usize,
    pub(super) device: DeviceSpec,
}

impl Selection {
    pub(super) fn new(args: &NeighbourArgs) -> Self {
        let rows = if args.rows.is_empty() { NeighbourRow::value_variants().to_vec() } else { args.rows.clone() };
        Self { rows, windows: args.windows as usize, device: args.device }
    }

    pub(super) fn has(&self, row: NeighbourRow) -> bool {
        self.rows.contains(&row)
    }

    pub(super) fn has_any(&self, rows: &[NeighbourRow]) -> bool {
        rows.iter().any(|row| self.has(*row))
    }

    /// A row's usual count, reduced in proportion if fewer windows are asked for than the bars need; at least three.
    pub(super) fn scaled(&self, count: usize) -> usize {
        (count * self.windows.min(ALL_WINDOWS)).div_ceil(ALL_WINDOWS).max(3)
    }

    /// Tells the person who waits what is measured now.
    pub(super) fn announce(&self, what: &str) {
        eprintln!("measuring: {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn selection(line: &[&str]) -> Selection {
        let args =
            crate::args::Args::try_parse_from([&["gogrid", "bench", "neighbour"], line].concat()).expect("valid");
        let crate::args::Command::Bench(crate::args::BenchCommand::Neighbour(args)) = args.command else {
            panic!("the bench")
        };
        Selection::new(&args)
    }

    #[test]
    fn rows_are_chosen_by_number_or_name() {
        let some = selection(&["--rows", "1,pause,10"]);
        assert_eq!(some.rows, [NeighbourRow::CpuLimit, NeighbourRow::Pause, NeighbourRow::Gpu]);
        assert_eq!(selection(&[]).rows.len(), 10);
    }

    #[test]
    fn fewer_windows_shrink_the_other_counts_and_more_do_not_raise_them() {
        assert_eq!(selection(&[]).scaled(50), 50);
        assert_eq!(selection(&["--windows", "60"]).scaled(50), 50);
        assert_eq!(selection(&["--windows", "6"]).scaled(50), 10);
        assert_eq!(selection(&["--windows", "3"]).scaled(20), 3);
    }
}
