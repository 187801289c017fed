//! Charts: means over steps of equal length, in rings of fixed size.

use gogrid_panel_api::{Point, Range};
use std::collections::VecDeque;

/// A machine that was not sampled for this time was asleep or busy: charts show a gap. It is sampled every 2 s at least.
const GAP_MS: u64 = 15_000;
/// From this length on a step is shown before it is over.
const LONG_STEP_MS: u64 = 60_000;

/// One chart's time axis.
#[derive(Debug)]
pub(crate) struct Series {
    step_ms: u64,
    keep: usize,
    points: VecDeque<Point>,
    step: Step,
    /// When the last sample was taken.
    until_ms: Option<u64>,
}

impl Series {
    /// The series of a range, empty.
    pub(crate) fn of(range: Range) -> Self {
        let (step_ms, keep) = match range {
            Range::Minute => (1_000, 60),
            Range::TenMinutes => (5_000, 120),
            Range::Day => (300_000, 288),
        };
        Self { step_ms, keep, points: VecDeque::new(), step: Step::default(), until_ms: None }
    }

    /// Goes on from the points that were saved before this start.
    pub(crate) fn restore(&mut self, points: Vec<Point>) {
        self.points = points.into();
        self.trim();
        // The last step was under way: it goes on if it is not over.
        if let Some(part) = self.points.pop_back_if(|point| point.at_ms % self.step_ms != 0) {
            self.step.add(&part, part.at_ms % self.step_ms);
            self.until_ms = Some(part.at_ms);
        }
    }

    /// Takes in a sample: its values are means since the sample before.
    pub(crate) fn add(&mut self, sample: &Point) {
        let now = sample.at_ms;
        let since = match self.until_ms.replace(now) {
            Some(before) if before <= now && now - before <= GAP_MS => before,
            before => {
                self.skip(before, now);
                now
            }
        };
        let mut from = since;
        while from < now {
            let end = (from / self.step_ms + 1) * self.step_ms;
            let to = end.min(now);
            self.step.add(sample, to - from);
            if to == end {
                self.points.extend(std::mem::take(&mut self.step).mean(end));
                self.trim();
            }
            from = to;
        }
    }

    /// A sample that is the first, comes after a gap, or after the clock was set back, says nothing of the time before.
    fn skip(&mut self, before: Option<u64>, now: u64) {
        self.points.retain(|point| point.at_ms <= now);
        match before {
            Some(before) if before <= now && before / self.step_ms == now / self.step_ms => {}
            Some(before) if before <= now => {
                self.points.extend(std::mem::take(&mut self.step).mean(before));
                self.trim();
            }
            _ => self.step = Step::default(),
        }
    }

    /// The points, oldest first. If steps are long, the one under way is the last point: a chart of a day does not wait
    /// five minutes for its first.
    pub(crate) fn points(&self) -> Vec<Point> {
        let under_way = self.until_ms.filter(|_| self.step_ms >= LONG_STEP_MS).and_then(|until| self.step.mean(until));
        self.points.iter().cloned().chain(under_way).collect()
    }

    /// When the chart of now begins, in milliseconds since 1970.
    pub(crate) fn begins_ms(&self) -> u64 {
        self.until_ms.unwrap_or_default().saturating_sub(self.step_ms * self.keep as u64)
    }

    pub(crate) fn step_ms(&self) -> u64 {
        self.step_ms
    }

    fn trim(&mut self) {
        while self.points.len() > self.keep {
            self.points.pop_front();
        }
    }
}

/// The number of values in a point.
const VALUES: usize = 13;

/// The step under way.
#[derive(Debug, Default)]
struct Step {
    /// Value times milliseconds, and the milliseconds in which it was known.
    sums: [(f64, u64); VALUES],
}

impl Step {
    fn add(&mut self, sample: &Point, ms: u64) {
        for ((sum, known), value) in self.sums.iter_mut().zip(values(sample)) {
            if let Some(value) = value {
                *sum += value * ms as f64;
                *known += ms;
            }
        }
    }

    /// The means; `None` before the first sample.
    fn mean(&self, at_ms: u64) -> Option<Point> {
        let values = self.sums.map(|(sum, known)| (known > 0).then(|| sum / known as f64));
        values.iter().any(Option::is_some).then(|| point(at_ms, values))
    }
}

fn values(point: &Point) -> [Option<f64>; VALUES] {
    let share = |share: Option<f32>| share.map(f64::from);
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    [
        share(point.cpu),
        share(point.cpu_others),
        Some(f64::from(point.cpu_limit)),
        share(point.gpu),
        share(point.gpu_others),
        share(point.gpu_limit),
        bytes(point.memory),
        bytes(point.memory_others),
        bytes(point.memory_limit),
        Some(f64::from(point.tokens_per_second)),
        share(point.cpu_allowed),
        share(point.gpu_allowed),
        bytes(point.memory_allowed),
    ]
}

fn point(at_ms: u64, values: [Option<f64>; VALUES]) -> Point {
    let share = |value: Option<f64>| value.map(|value| value as f32);
    let bytes = |value: Option<f64>| value.map(|value| value as u64);
    let [
        cpu,
        cpu_others,
        cpu_limit,
        gpu,
        gpu_others,
        gpu_limit,
        memory,
        memory_others,
        memory_limit,
        tokens,
        allowed @ ..,
    ] = values;
    let [cpu_allowed, gpu_allowed, memory_allowed] = allowed;
    Point {
        at_ms,
        cpu: share(cpu),
        cpu_others: share(cpu_others),
        cpu_limit: share(cpu_limit).unwrap_or_default(),
        gpu: share(gpu),
        gpu_others: share(gpu_others),
        gpu_limit: share(gpu_limit),
        memory: bytes(memory),
        memory_others: bytes(memory_others),
        memory_limit: bytes(memory_limit),
        tokens_per_second: share(tokens).unwrap_or_default(),
        cpu_allowed: share(cpu_allowed),
        gpu_allowed: share(gpu_allowed),
        memory_allowed: bytes(memory_allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, cpu: Option<f32>) -> Point {
        Point { at_ms, cpu, cpu_limit: 0.5, memory: Some(1 << 30), ..Point::default() }
    }

    fn seen(series: &Series) -> Vec<(u64, Option<f32>)> {
        series.points.iter().map(|point| (point.at_ms, point.cpu)).collect()
    }

    #[test]
    fn a_step_is_the_mean_by_time_of_its_samples() {
        let mut series = Series::of(Range::Minute);
        for (at, cpu) in [(10_000, 0.9), (10_250, 0.4), (11_000, 0.8), (11_500, 0.2)] {
            series.add(&sample(at, Some(cpu)));
        }
        let [(at, Some(cpu))] = seen(&series)[..] else { panic!("one step is over: {series:?}") };
        assert_eq!(at, 11_000);
        assert!((cpu - 0.7).abs() < 1e-6, "a quarter at 0.4 and three at 0.8: {cpu}");
        assert_eq!(series.points[0].memory, Some(1 << 30));
    }

    #[test]
    fn a_sample_counts_for_the_time_since_the_one_before() {
        let mut series = Series::of(Range::Minute);
        [10_000, 12_000, 14_000].into_iter().for_each(|at| series.add(&sample(at, Some(0.25))));
        assert_eq!(seen(&series), [11_000, 12_000, 13_000, 14_000].map(|at| (at, Some(0.25))));
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let mut series = Series::of(Range::Minute);
        for (at, cpu) in [(10_000, None), (11_000, None), (11_500, Some(0.5)), (12_000, None)] {
            series.add(&sample(at, cpu));
        }
        assert_eq!(seen(&series), [(11_000, None), (12_000, Some(0.5))]);
    }

    #[test]
    fn a_sleep_is_a_gap_and_a_clock_that_is_set_back_takes_the_future_with_it() {
        let mut series = Series::of(Range::Minute);
        [10_000, 11_000, 12_000].into_iter().for_each(|at| series.add(&sample(at, Some(0.1))));
        [3_600_000, 3_601_000].into_iter().for_each(|at| series.add(&sample(at, Some(0.2))));
        assert_eq!(seen(&series), [(11_000, Some(0.1)), (12_000, Some(0.1)), (3_601_000, Some(0.2))]);
        [11_500, 12_000].into_iter().for_each(|at| series.add(&sample(at, Some(0.3))));
        assert_eq!(seen(&series), [(11_000, Some(0.1)), (12_000, Some(0.3))]);
    }

    #[test]
    fn the_first_minutes_of_a_day_are_drawn_and_a_restart_goes_on_with_their_step() {
        let mut series = Series::of(Range::Day);
        [600_000, 610_000, 620_000].into_iter().for_each(|at| series.add(&sample(at, Some(0.2))));
        let saved = series.points();
        assert_eq!(saved.iter().map(|point| (point.at_ms, point.cpu)).collect::<Vec<_>>(), [(620_000, Some(0.2))]);

        let mut soon = Series::of(Range::Day);
        soon.restore(saved.clone());
        [870_000, 880_000, 890_000, 900_000].into_iter().for_each(|at| soon.add(&sample(at, Some(0.8))));
        let [(900_000, Some(cpu))] = seen(&soon)[..] else { panic!("one step: {soon:?}") };
        assert!((cpu - 0.56).abs() < 1e-6, "20 s at 0.2 and 30 s at 0.8: {cpu}");

        let mut late = Series::of(Range::Day);
        late.restore(saved);
        [7_200_000, 7_210_000].into_iter().for_each(|at| late.add(&sample(at, Some(0.8))));
        let points: Vec<u64> = late.points().iter().map(|point| point.at_ms).collect();
        assert_eq!(points, [620_000, 7_210_000]);
    }

    #[test]
    fn each_range_keeps_its_length() {
        for (range, ms) in [(Range::Minute, 60_000), (Range::TenMinutes, 600_000), (Range::Day, 86_400_000)] {
            let mut series = Series::of(range);
            (0..=2 * ms / 10_000).for_each(|i| series.add(&sample(i * 10_000, Some(0.5))));
            let points = &series.points;
            assert_eq!(points.len() as u64 * series.step_ms, ms, "{range:?}");
            assert_eq!(points.back().map(|point| point.at_ms), Some(2 * ms), "{range:?}");
        }
    }
}
