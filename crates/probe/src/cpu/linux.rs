use super::window::{Reading, Window};
use crate::process_cpu_time;
use gogrid_limits::{Load, Signal};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

const STAT: &str = "/proc/stat";
/// For people.
pub(crate) const SOURCE: &str = STAT;
/// Room for the lines of some 800 cores; they come first.
const BUFFER_BYTES: usize = 64 * 1024;

/// The load of all cores, from `/proc/stat` and the process' CPU clock.
pub(crate) struct CpuMeter {
    /// Kept open: opening costs as much as reading.
    stat: Result<File, String>,
    buffer: Vec<u8>,
    start: Instant,
    tick_nanos: u64,
    window: Window,
}

impl CpuMeter {
    pub(crate) fn new() -> Self {
        let mut meter = Self {
            stat: File::open(STAT).map_err(|error| format!("{STAT} does not open: {error}")),
            buffer: vec![0; BUFFER_BYTES],
            start: Instant::now(),
            tick_nanos: 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1),
            window: Window::default(),
        };
        // A first reading for the first load to refer to.
        meter.load();
        meter
    }

    /// The load since the newest reading that is old enough.
    pub(crate) fn load(&mut self) -> Signal<Load> {
        match self.read() {
            Ok(reading) => self.window.load(reading),
            Err(reason) => Signal::Unknown(reason),
        }
    }

    fn read(&mut self) -> Result<Reading, String> {
        let stat = self.stat.as_ref().map_err(Clone::clone)?;
        // Before the system's counters, so that we never seem to have taken more than everybody.
        let own = process_cpu_time();
        let length = stat.read_at(&mut self.buffer, 0).map_err(|error| format!("{STAT} cannot be read: {error}"))?;
        let at = Instant::now();
        let (cores, spare_ticks) =
            parse(&self.buffer[..length]).ok_or_else(|| format!("{STAT} has no line of the form that is known"))?;
        let spare = Duration::from_nanos(spare_ticks * self.tick_nanos);
        Ok(Reading { at, cores, capacity: (at - self.start) * cores, spare, own })
    }
}

/// Number of cores, and the ticks in which all of them together had nothing to do.
fn parse(stat: &[u8]) -> Option<(u32, u64)> {
    let mut lines = stat.split(|byte| *byte == b'\n').take_while(|line| line.starts_with(b"cpu"));
    // cpu  user nice system idle iowait irq softirq steal guest guest_nice
    let total = std::str::from_utf8(lines.next()?).ok()?;
    let field = |index: usize| total.split_ascii_whitespace().nth(index)?.parse::<u64>().ok();
    // Kernels before 2.6 have no steal.
    let spare = field(4)? + field(5)? + field(8).unwrap_or(0);
    Some((u32::try_from(lines.count()).ok().filter(|cores| *cores > 0)?, spare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_time_is_idle_and_waiting_and_stolen() {
        let stat = b"cpu  10 20 30 400 50 6 7 80 9 1\ncpu0 5 10 15 200 25 3 3 40 4 0\ncpu1 5 10 15 200 25 3 4 40 5 1\nintr 5 6\n";
        assert_eq!(parse(stat), Some((2, 400 + 50 + 80)));
        assert_eq!(parse(b"cpu  1 2 3 4 5\ncpu0 1 2 3 4 5\n"), Some((1, 9)));
    }

    #[test]
    fn an_unknown_form_is_no_number() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"intr 1 2 3 4 5\n"), None);
        assert_eq!(parse(b"cpu  1 2 3\ncpu0 1 2 3\n"), None);
        assert_eq!(parse(b"cpu  1 2 3 4 5 6 7 8\n"), None);
    }
}
