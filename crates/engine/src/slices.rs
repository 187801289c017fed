//! How much work fits a slice. Pure: measured times go in, layers and rows come out.
//!
//! A slice is what a device computes before it looks around again: some units (thirds of layers, the head) of one batch. Its bound is what a desktop
//! does not notice. How many units and rows fit is learned from
//! the slices before.

use gogrid_compute::Unit;
use std::time::Duration;

/// Device time of one slice: half a frame of a 60 Hz screen.
pub(crate) const SLICE: Duration = Duration::from_millis(8);
/// What is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Device time of a slice of several units.
    slice: Duration,
    /// Device time of a unit, for which batches are cut.
    unit: Duration,
    /// Most rows of a batch.
    rows: usize,
}

/// Times vary by a third now and then, and 99 of 100 slices are to stay within the bound.
const MOST: Duration = Duration::from_millis(6);
/// The plan where nobody is disturbed before the bound.
pub(crate) const PLANNED: Plan = Plan { slice: MOST, unit: MOST, rows: usize::MAX };
/// The plan for a GPU that other programs have open, too. Their kernels wait until ours of a slice are over, or until the
/// driver takes turns, every 2 ms or so; and a picture that is due within 16 ms, drawn in 4, is late by as much as ours
/// take of the time in between. (Frames of 4.4 ms on an H100 beside half of its time took 5.1 ms with slices of 0.3 and
/// of 0.5 ms, 5.6 with 1, and 7.6 with 6.) A slice that meets their kernels lasts as long as these, so that units seem
/// longer than they are: cut for the same time, batches would become smaller and smaller.
pub(crate) const BESIDE: Plan = Plan { slice: Duration::from_micros(500), unit: Duration::from_millis(2), rows: 256 };
/// The plan of who wants no slices, but whole batches.
pub(crate) const WHOLE: Plan = Plan { slice: Duration::MAX, unit: Duration::MAX, rows: usize::MAX };
/// Rows of a batch before anything is measured: units of models that fit a desktop take milliseconds for them.
const FIRST_ROWS: usize = 16;
/// A batch has room for so many rows even where one unit takes longer than a slice for them: its weights pass through
/// memory once for all rows, so that the eighth costs little beside the first.
const FEWEST_ROWS: usize = 8;
/// First slices that are not believed: memory is touched for the first time, caches are cold.
const COLD: u32 = 2;
/// A slice that took this many times what was expected counts as that: something else had the device.
const OUTLIER: f64 = 4.0;
/// Weight of a new measurement: the estimate follows a change within some ten slices.
const NEWEST: f64 = 0.2;
/// Measurements are kept apart by the rows' binary logarithm, up to 2,048 rows and more.
const BUCKETS: usize = 12;

/// Steps of up to so many rows are as good as one token of one session: the weights' way through memory is what counts.
const DECODES: f64 = 8.0;
/// Steps of so many rows and more are parts of prompts.
const PROMPTS: f64 = 16.0;

/// What a stage takes on its device, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Of a layer, for a step of one token.
    pub(crate) layer: f64,
    /// Of the head, for a step of one token.
    pub(crate) head: Option<f64>,
    /// Of a layer, for one token of a prompt.
    pub(crate) prompt_layer: Option<f64>,
}

/// Measured times of one kind of unit, by rows.
#[derive(Debug, Default, Clone)]
struct Curve {
    /// Mean rows, and mean seconds for them.
    points: [Option<(f64, f64)>; BUCKETS],
}

impl Curve {
    fn observe(&mut self, rows: usize, seconds: f64) {
        let expected = self.predict(rows);
        let seconds = expected.map_or(seconds, |expected| seconds.min(expected * OUTLIER));
        let point = &mut self.points[(rows.max(1).ilog2() as usize).min(BUCKETS - 1)];
        *point = Some(match *point {
            None => (rows as f64, seconds),
            Some((r, s)) => (r + (rows as f64 - r) * NEWEST, s + (seconds - s) * NEWEST),
        });
    }

    /// Mean rows and seconds of the smallest steps that were measured, where they are decoding's, and of the largest, where
    /// they are prompts'.
    fn ends(&self) -> (Option<f64>, Option<f64>) {
        let mut points = self.points.iter().flatten().copied();
        let small = points.clone().next().filter(|(rows, _)| *rows <= DECODES);
        let large = points.next_back().filter(|(rows, _)| *rows >= PROMPTS);
        (small.map(|(_, seconds)| seconds), large.map(|(rows, seconds)| seconds / rows))
    }

    /// Seconds for so many rows: between two measured points on the line through them; beyond the last in proportion to
    /// its rows, before the first like the first, which is never less than it will take.
    fn predict(&self, rows: usize) -> Option<f64> {
        let rows = rows as f64;
        let mut below = None;
        for (r, s) in self.points.iter().flatten().copied() {
            if r >= rows {
                return Some(match below {
                    Some((r0, s0)) if r > r0 => s0 + (s - s0) * (rows - r0) / (r - r0),
                    _ => s,
                });
            }
            below = Some((r, s));
        }
        below.map(|(r, s)| s * rows / r)
    }
}

/// What a stage's units take, run in one way.
#[derive(Debug, Clone)]
pub(crate) struct UnitTimes {
    planned: Plan,
    cold: u32,
    curves: [Curve; Unit::ALL.len()],
}

impl UnitTimes {
    /// Nothing is measured yet.
    pub(crate) fn new(planned: Plan) -> Self {
        Self { planned, cold: 0, curves: Default::default() }
    }

    /// From now on this is planned.
    pub(crate) fn plan(&mut self, planned: Plan) {
        self.planned = planned;
    }

    /// How many of the units that are left make up the next slice of a batch of so many rows, at least one. A unit that
    /// was never measured is a slice of its own.
    pub(crate) fn next(&self, rows: usize, left: impl Iterator<Item = Unit>) -> usize {
        let mut room = self.planned.slice.as_secs_f64();
        let fits = |unit: &Unit| {
            room -= self.curve(*unit).predict(rows).unwrap_or(f64::INFINITY);
            room >= 0.0
        };
        left.take_while(fits).count().max(1)
    }

    /// What these units will take, where it is known.
    pub(crate) fn expected(&self, rows: usize, mut units: impl Iterator<Item = Unit>) -> Option<Duration> {
        units.try_fold(0.0, |sum, unit| Some(sum + self.curve(unit).predict(rows)?)).map(Duration::from_secs_f64)
    }

    /// The most rows of which every unit of a layer stays within its time.
    pub(crate) fn rows(&self) -> usize {
        let bound = self.planned.unit.as_secs_f64();
        let fits = |rows: usize| {
            Unit::LAYER.iter().all(|unit| match self.curve(*unit).predict(rows) {
                Some(seconds) => seconds <= bound,
                None => rows <= FIRST_ROWS,
            })
        };
        let (mut low, mut high) = (0, 1 << BUCKETS);
        while low + 1 < high {
            let middle = (low + high) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        low.clamp(FEWEST_ROWS, self.planned.rows)
    }

    /// Takes in what a slice of these units took.
    pub(crate) fn observe(&mut self, rows: usize, units: impl Iterator<Item = Unit> + Clone, took: Duration) {
        if self.cold < COLD {
            self.cold += 1;
            return;
        }
        // What several took is divided among them as expected. That is known, else they would not be in one slice.
        let of = |unit: Unit| self.curve(unit).predict(rows).unwrap_or(1.0);
        let total: f64 = units.clone().map(of).sum();
        let ratio = took.as_secs_f64() / total.max(f64::MIN_POSITIVE);
        let shares: Vec<(Unit, f64)> = units.map(|unit| (unit, of(unit) * ratio)).collect();
        for unit in Unit::ALL {
            let (count, seconds) =
                shares.iter().filter(|(u, _)| *u == unit).fold((0.0, 0.0), |(n, s), (_, t)| (n + 1.0, s + t));
            if count > 0.0 {
                self.curves[unit as usize].observe(rows, seconds / count);
            }
        }
    }

    /// What was measured; `None` before a token was decoded.
    pub(crate) fn speed(&self) -> Option<Speed> {
        let ends = |unit: Unit| self.curve(unit).ends();
        let (small, large): (Vec<_>, Vec<_>) = Unit::LAYER.into_iter().map(ends).unzip();
        let sum = |part: Vec<Option<f64>>| part.into_iter().sum::<Option<f64>>();
        Some(Speed { layer: sum(small)?, head: ends(Unit::Head).0, prompt_layer: sum(large) })
    }

    fn curve(&self, unit: Unit) -> &Curve {
        &self.curves[unit as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::iter;

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1000.0)
    }

    /// So many layers, and the head.
    fn left(layers: usize) -> impl Iterator<Item = Unit> + Clone {
        iter::repeat_n(Unit::LAYER, layers).flatten().chain([Unit::Head])
    }

    /// Times of a stage whose units take `fixed + per_row × rows` ms each.
    fn learned(fixed: f64, per_row: f64, head: f64) -> UnitTimes {
        let mut times = UnitTimes::new(PLANNED);
        for _ in 0..30 {
            for rows in [1, 4, 16, 64] {
                for unit in Unit::LAYER {
                    times.observe(rows, iter::once(unit), ms(fixed + per_row * rows as f64));
                }
                times.observe(rows, iter::once(Unit::Head), ms(head));
            }
        }
        times
    }

    #[test]
    fn nothing_measured_is_one_unit_of_few_rows() {
        let times = UnitTimes::new(PLANNED);
        assert_eq!(times.rows(), FIRST_ROWS);
        assert_eq!(times.next(1, left(22)), 1);
        assert_eq!(times.next(1, left(0)), 1);
        assert_eq!(times.expected(1, left(1)), None);
    }

    #[test]
    fn slices_fill_their_bound_and_do_not_pass_it() {
        let times = learned(1.0, 0.05, 2.0);
        assert_eq!(times.next(1, left(22)), 5);
        assert_eq!(times.next(1, left(1)), 4, "the head fits beside one layer");
        assert_eq!(times.next(1, left(2)), 5, "and two layers are too much");
        // a unit of 100 rows takes 6 ms
        assert!((85..=100).contains(&times.rows()), "{}", times.rows());
    }

    #[test]
    fn a_shorter_plan_holds_from_the_next_slice_on() {
        let mut times = learned(0.4, 0.001, 2.0);
        assert_eq!(times.next(4, left(22)), 14);
        times.plan(BESIDE);
        assert_eq!(times.next(4, left(22)), 1);
        assert_eq!(times.rows(), 256);
        times.plan(PLANNED);
        assert_eq!(times.next(4, left(22)), 14);
    }

    #[test]
    fn who_wants_no_slices_gets_whole_batches_once_their_units_are_known() {
        let mut times = UnitTimes::new(WHOLE);
        assert_eq!(times.next(1, left(22)), 1);
        for _ in 0..=COLD {
            times.observe(500, left(1), ms(40.0));
        }
        assert_eq!((times.next(500, left(22)), times.rows()), (3 * 22 + 1, (1 << BUCKETS) - 1));
    }

    #[test]
    fn a_slow_unit_is_a_slice_and_some_rows_share_it() {
        let times = learned(20.0, 1.0, 3.0);
        assert_eq!(times.rows(), FEWEST_ROWS);
        assert_eq!(times.next(8, left(22)), 1);
    }

    #[test]
    fn cold_and_disturbed_slices_do_not_stall_what_follows() {
        let mut times = UnitTimes::new(PLANNED);
        let mut observe = |took| times.observe(1, iter::once(Unit::Up), ms(took));
        observe(5000.0);
        observe(5000.0);
        (0..20).for_each(|_| observe(1.0));
        observe(60_000.0);
        (0..30).for_each(|_| observe(1.0));
        assert!((5..=6).contains(&times.next(1, iter::repeat_n(Unit::Up, 30))));
        times.observe(1, iter::once(Unit::Up), ms(60_000.0));
        assert!(times.expected(1, iter::once(Unit::Up)).unwrap() < ms(2.0));
    }

    #[test]
    fn speeds_are_of_single_tokens_and_of_prompts_apart() {
        let mut times = UnitTimes::new(PLANNED);
        let units = |units: &'static [Unit]| units.iter().copied();
        assert_eq!(times.speed(), None);
        for _ in 0..20 {
            times.observe(64, units(&[Unit::Attention]), ms(32.0));
            times.observe(64, units(&[Unit::Up]), ms(64.0));
            times.observe(64, units(&[Unit::Down]), ms(32.0));
        }
        assert_eq!(times.speed(), None, "no token was decoded");
        for _ in 0..20 {
            times.observe(1, units(&Unit::LAYER), ms(6.0));
        }
        let speed = times.speed().unwrap();
        assert!((speed.layer - 0.006).abs() < 1e-4, "{speed:?}");
        assert!((speed.prompt_layer.unwrap() - 0.002).abs() < 1e-4, "{speed:?}");
        assert_eq!(speed.head, None);
        for _ in 0..20 {
            times.observe(1, units(&[Unit::Head]), ms(3.0));
        }
        assert!((times.speed().unwrap().head.unwrap() - 0.003).abs() < 1e-6);
    }

    proptest! {
        /// Whatever was measured: at least one unit, and no more than one where they would pass the bound.
        #[test]
        fn a_slice_is_never_empty_and_never_knowingly_too_long(
            seen in prop::collection::vec((1usize..3000, 0usize..30, 0.0f64..200.0), 0..60),
            rows in 1usize..3000, layers in 0usize..100,
        ) {
            let mut times = UnitTimes::new(PLANNED);
            for (rows, layers, took) in seen {
                times.observe(rows, left(layers), ms(took));
            }
            let next = times.next(rows, left(layers));
            prop_assert!(next >= 1 && next <= 3 * layers + 1);
            if next > 1 {
                prop_assert!(times.expected(rows, left(layers).take(next)).unwrap() <= SLICE + Duration::from_micros(1));
            }
            prop_assert!(times.rows() >= FEWEST_ROWS);
        }
    }
}
