//! The work of each day, and an estimate of the energy that it took.

use gogrid_panel_api::{Day, Days};
use std::time::Duration;

/// Somewhat more than a year.
const MOST_DAYS: usize = 400;
/// Power of a busy core of a desktop or laptop beyond that of an idle one, in watts: 3 to 10 are measured on usual
/// machines. Few systems let an unprivileged program read the processor's own meter.
const WATTS_PER_CORE: f64 = 5.0;
/// Shown beside the figures.
const METHOD: &str = "An estimate. Each core that GoGrid keeps busy counts as 5 W. The GPU counts with the power that \
                      its driver tells, times GoGrid's part of the GPU's load; a GPU that does not tell counts nothing. \
                      What the machine takes when idle is not counted.";

/// The work between two samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct WorkDelta {
    pub(crate) elapsed: Duration,
    /// Rows computed.
    pub(crate) tokens: u64,
    /// Whether there was something to compute.
    pub(crate) busy: bool,
    /// The worker's part of all cores' time.
    pub(crate) cpu: f32,
    pub(crate) cores: u32,
    /// The power of the GPU that is lent, in watts; `None` without one, or where its driver does not tell.
    pub(crate) gpu_watts: Option<f32>,
    /// The worker's part of the GPU's load, between 0 and 1.
    pub(crate) gpu: f32,
}

impl WorkDelta {
    fn watt_hours(&self) -> f64 {
        let cpu = f64::from(self.cpu) * f64::from(self.cores) * WATTS_PER_CORE;
        let gpu = f64::from(self.gpu_watts.unwrap_or_default()) * f64::from(self.gpu);
        (cpu + gpu) * self.elapsed.as_secs_f64() / 3600.0
    }
}

/// Days with work, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Calendar(Vec<Day>);

impl Calendar {
    pub(crate) fn new(mut days: Vec<Day>) -> Self {
        days.drain(..days.len().saturating_sub(MOST_DAYS));
        Self(days)
    }

    /// Adds work to a day (`2026-11-25`), which is the last one unless the clock was set back.
    pub(crate) fn add(&mut self, date: &str, work: &WorkDelta) {
        if work.tokens == 0 && !work.busy {
            return;
        }
        let day = match self.0.binary_search_by(|day| day.date.as_str().cmp(date)) {
            Ok(at) => &mut self.0[at],
            Err(at) => {
                self.0.insert(at, Day { date: date.to_owned(), ..Day::default() });
                &mut self.0[at]
            }
        };
        day.tokens += work.tokens;
        day.active_seconds += if work.busy { work.elapsed.as_secs_f64() } else { 0.0 };
        day.energy_wh += work.watt_hours();
        if self.0.len() > MOST_DAYS {
            self.0.remove(0);
        }
    }

    pub(crate) fn days(&self) -> Days {
        Days { days: self.0.clone(), method: METHOD.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: WorkDelta = WorkDelta {
        elapsed: Duration::from_secs(3600),
        tokens: 100,
        busy: true,
        cpu: 0.5,
        cores: 8,
        gpu_watts: Some(200.0),
        gpu: 0.25,
    };

    #[test]
    fn an_hour_of_half_the_cores_and_a_quarter_of_the_gpu() {
        let mut calendar = Calendar::default();
        calendar.add("2026-11-25", &HOUR);
        calendar.add("2026-11-25", &WorkDelta { gpu_watts: None, ..HOUR });
        let day = Day { date: "2026-11-25".into(), tokens: 200, active_seconds: 7200.0, energy_wh: 70.0 + 20.0 };
        assert_eq!(calendar.days().days, [day]);
    }

    #[test]
    fn days_are_in_order_whatever_the_clock_does_and_idle_ones_are_none() {
        let mut calendar = Calendar::default();
        for date in ["2026-11-25", "2026-11-26", "2026-11-24", "2026-11-26"] {
            calendar.add(date, &HOUR);
        }
        calendar.add("2026-11-27", &WorkDelta { tokens: 0, busy: false, ..HOUR });
        let days = calendar.days().days;
        let seen: Vec<_> = days.iter().map(|day| (day.date.as_str(), day.tokens)).collect();
        assert_eq!(seen, [("2026-11-24", 100), ("2026-11-25", 100), ("2026-11-26", 200)]);
    }

    #[test]
    fn the_oldest_days_go_first() {
        let day = |n: usize| Day { date: format!("{n:04}"), ..Day::default() };
        let mut calendar = Calendar::new((0..MOST_DAYS + 5).map(day).collect());
        calendar.add("9999", &HOUR);
        let days = calendar.days().days;
        assert_eq!((days.len(), days[0].date.as_str()), (MOST_DAYS, "0006"));
    }
}
