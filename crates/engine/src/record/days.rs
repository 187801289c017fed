//! The work of each day, and the energy that it took.

use super::energy::{AtRest, method};
use gogrid_limits::DailyUse;
use gogrid_panel_api::{Day, Days, EnergyFigures};
use std::time::Duration;

/// Somewhat more than a year.
const MOST_DAYS: usize = 400;
/// Samples are taken every 2 s at least; a longer time between two was a sleep, in which nothing ran.
const LONGEST_STEP: Duration = Duration::from_secs(15);

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
    /// Everybody's; `None` if it is not known.
    pub(crate) cpu_total: Option<f32>,
    pub(crate) cores: u32,
    /// The power of the processors by their own meter, in watts.
    pub(crate) cpu_watts: Option<f32>,
    /// The power of the GPU that is lent, in watts; `None` without one, or where its driver does not tell.
    pub(crate) gpu_watts: Option<f32>,
    /// The worker's part of the GPU's time.
    pub(crate) gpu: f32,
    /// Everybody's; `None` without a GPU, or if it is not known.
    pub(crate) gpu_total: Option<f32>,
}

/// Days on which the worker ran, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    days: Vec<Day>,
    pub(super) figures: EnergyFigures,
    pub(super) rest: AtRest,
    /// The latest work, which shows what can be measured.
    latest: WorkDelta,
}

impl Calendar {
    pub(super) fn new(mut days: Vec<Day>, figures: EnergyFigures, rest: AtRest) -> Self {
        days.drain(..days.len().saturating_sub(MOST_DAYS));
        Self { days, figures, rest, latest: WorkDelta::default() }
    }

    /// Adds work to a day (`2026-11-25`), which is the last one unless the clock was set back.
    pub(crate) fn add(&mut self, date: &str, work: &WorkDelta) {
        let work = WorkDelta { elapsed: work.elapsed.min(LONGEST_STEP), ..*work };
        self.rest.observe(&work);
        let energy = self.rest.energy(&work, &self.figures);
        let day = match self.find(date) {
            Ok(at) => &mut self.days[at],
            Err(at) => {
                self.days.insert(at, Day { date: date.to_owned(), ..Day::default() });
                &mut self.days[at]
            }
        };
        let seconds = work.elapsed.as_secs_f64();
        day.running_seconds += seconds;
        day.tokens = day.tokens.saturating_add(work.tokens);
        // Beside work the worker takes next to nothing, and that is no part of what it lends.
        if work.busy || work.tokens > 0 {
            day.active_seconds += if work.busy { seconds } else { 0.0 };
            day.energy_wh += energy.wh;
            day.metered_wh += energy.metered_wh;
        }
        self.latest = work;
        if self.days.len() > MOST_DAYS {
            // The oldest but this one, which is the first where the clock was set back.
            self.days.remove(usize::from(self.days[0].date == date));
        }
    }

    /// What was lent on a day.
    pub(crate) fn lent_on(&self, date: &str) -> DailyUse {
        let day = self.find(date).ok().map(|at| &self.days[at]);
        day.map_or_else(DailyUse::default, |day| DailyUse {
            // A damaged file may hold any number.
            time: Duration::try_from_secs_f64(day.active_seconds).unwrap_or_default(),
            energy_wh: day.energy_wh,
        })
    }

    /// A day, with or without work.
    pub(crate) fn day(&self, date: &str) -> Day {
        let found = self.find(date).ok().map(|at| self.days[at].clone());
        found.unwrap_or_else(|| Day { date: date.to_owned(), ..Day::default() })
    }

    fn find(&self, date: &str) -> Result<usize, usize> {
        self.days.binary_search_by(|day| day.date.as_str().cmp(date))
    }

    pub(crate) fn days(&self) -> Days {
        Days {
            days: self.days.clone(),
            method: method(&self.latest, &self.figures),
            figures: self.figures.clone(),
            rest_watts: self.rest.watts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: WorkDelta = WorkDelta {
        elapsed: Duration::from_secs(10),
        tokens: 100,
        busy: true,
        cpu: 0.5,
        cpu_total: Some(0.5),
        cores: 8,
        cpu_watts: None,
        gpu_watts: Some(200.0),
        gpu: 0.25,
        gpu_total: Some(1.0),
    };

    fn calendar() -> Calendar {
        Calendar::new(Vec::new(), EnergyFigures::default(), AtRest::default())
    }

    #[test]
    fn half_the_cores_and_a_quarter_of_the_gpu() {
        let mut calendar = calendar();
        calendar.add("2026-11-25", &STEP);
        calendar.add("2026-11-25", &WorkDelta { gpu_watts: None, ..STEP });
        let [day] = &calendar.days().days[..] else { panic!("one day") };
        assert_eq!((day.tokens, day.active_seconds, day.running_seconds), (200, 20.0, 20.0));
        assert!((day.energy_wh * 360.0 - (20.0 + 50.0 + 20.0)).abs() < 1e-6, "{day:?}");
        assert!((day.metered_wh * 360.0 - 50.0).abs() < 1e-6, "{day:?}");
        let lent = calendar.lent_on("2026-11-25");
        assert_eq!((lent.time, lent.energy_wh), (Duration::from_secs(20), day.energy_wh));
        assert_eq!(calendar.lent_on("2026-11-26"), DailyUse::default(), "a new day begins at nothing");
    }

    #[test]
    fn days_are_in_order_whatever_the_clock_does_and_an_idle_one_only_ran() {
        let mut calendar = calendar();
        for date in ["2026-11-25", "2026-11-26", "2026-11-24", "2026-11-26"] {
            calendar.add(date, &STEP);
        }
        calendar.add("2026-11-27", &WorkDelta { tokens: 0, busy: false, ..STEP });
        let days = calendar.days().days;
        let seen: Vec<_> = days.iter().map(|day| (day.date.as_str(), day.tokens)).collect();
        assert_eq!(seen, [("2026-11-24", 100), ("2026-11-25", 100), ("2026-11-26", 200), ("2026-11-27", 0)]);
        let idle = Day { date: "2026-11-27".into(), running_seconds: 10.0, ..Day::default() };
        assert_eq!(days[3], idle, "no energy without work");
    }

    #[test]
    fn a_sleep_is_no_work() {
        let mut calendar = calendar();
        calendar.add("2026-11-25", &WorkDelta { elapsed: Duration::from_secs(3600), ..STEP });
        assert_eq!(calendar.days().days[0].active_seconds, 15.0);
    }

    #[test]
    fn the_oldest_days_go_first() {
        let day = |n: usize| Day { date: format!("{n:04}"), ..Day::default() };
        let days = (0..MOST_DAYS + 5).map(day).collect();
        let mut calendar = Calendar::new(days, EnergyFigures::default(), AtRest::default());
        calendar.add("9999", &STEP);
        let days = calendar.days().days;
        assert_eq!((days.len(), days[0].date.as_str()), (MOST_DAYS, "0006"));
        // The clock is set back to before all of them.
        calendar.add("0000", &STEP);
        assert_eq!((calendar.day("0000").tokens, calendar.days().days.len()), (100, MOST_DAYS));
    }

    #[test]
    fn damaged_figures_are_no_panic() {
        let day = Day { date: "2026-11-25".into(), tokens: u64::MAX, active_seconds: -1.0, ..Day::default() };
        let mut calendar = Calendar::new(vec![day], EnergyFigures::default(), AtRest::default());
        assert_eq!(calendar.lent_on("2026-11-25").time, Duration::ZERO);
        calendar.add("2026-11-25", &STEP);
        assert_eq!(calendar.day("2026-11-25").tokens, u64::MAX);
    }
}
