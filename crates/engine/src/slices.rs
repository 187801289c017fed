//! How much work fits a slice. Pure: measured times go in, layers and rows come out.
//!
//! A slice is what a device computes between two looks at the pacer: some units of one batch, as the back end cuts it. Its
//! bound is a time that a desktop's user does not notice. How many units and rows fit is learned from the slices before: by the kind
//! of a unit and the rows of its batch, and in proportion to what the back end expects of one unit beside another.

use gogrid_compute::{Unit, UnitKind};
use std::time::Duration;

/// Device time of one slice: half a frame of a 60 Hz screen.
pub(crate) const SLICE: Duration = Duration::from_millis(8);
/// What slices and batches are cut for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Device time of a slice of several units.
    slice: Duration,
    /// Device time of a unit, for which batches are cut.
    unit: Duration,
    /// Most rows of a batch.
    rows: usize,
}

/// Times vary by a third now and then, and 99 of 100 slices must stay within the bound.
const MOST: Duration = Duration::from_millis(6);
/// The plan for a device that is not shared.
pub(crate) const PLANNED: Plan = Plan { slice: MOST, unit: MOST, rows: usize::MAX };
/// The plan for a GPU that other programs have open, too. Their kernels wait until ours of a slice are over, or until the
/// driver switches, every 2 ms or so. A frame that is due within 16 ms and takes 4 to draw is late by what ours take in
/// between. (Frames of 4.4 ms on an H100, beside us at half of its time, took 5.1 ms with slices of 0.3 and 0.5 ms, 5.6
/// with 1, and 7.6 with 6.) A slice that meets their kernels lasts as long as these, so that units seem longer than they
/// are. Batches are cut for a longer time than slices, or they would become smaller and smaller.
pub(crate) const BESIDE: Plan = Plan { slice: Duration::from_micros(500), unit: Duration::from_millis(2), rows: 256 };
/// The plan for whole batches without slices.
pub(crate) const WHOLE: Plan = Plan { slice: Duration::MAX, unit: Duration::MAX, rows: usize::MAX };
/// Rows of a batch before anything is measured: units of models that fit a desktop take milliseconds for them.
const FIRST_ROWS: usize = 16;
/// A batch may have this many rows even if one unit takes longer than a slice for them: weights are read once for all
/// rows, so that the eighth row costs little beside the first.
const FEWEST_ROWS: usize = 8;
/// First slices that do not count: memory is touched for the first time, caches are cold.
const COLD: u32 = 2;
/// A slice counts with this many times the expected time at most: if it took longer, something else had the device.
const OUTLIER: f64 = 4.0;
/// A unit is expected to take this many times what others of its kind took, at most, or the same part of it.
const MOST_UNLIKE: f64 = 4.0;
/// Weight of a new measurement: the estimate follows a change within some ten slices.
const NEWEST: f64 = 0.2;
/// Measurements are kept apart by the rows' binary logarithm, up to 2,048 rows and more.
const BUCKETS: usize = 12;

/// Steps of up to this many rows take about as long as one token of one session: reading the weights takes the time.
const DECODES: f64 = 8.0;
/// Steps of this many rows and more are parts of prompts.
const PROMPTS: f64 = 16.0;

/// The time that a stage takes on its device, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Of a layer, for a step of one token.
    pub(crate) layer: f64,
    /// Of the head, for a step of one token.
    pub(crate) head: Option<f64>,
    /// Of a layer, for one token of a prompt.
    pub(crate) prompt_layer: Option<f64>,
}

/// What units of one kind took with a number of rows, at the mean.
#[derive(Debug, Clone, Copy)]
struct Point {
    rows: f64,
    seconds: f64,
    /// What the back end expected of them.
    cost: f64,
}

/// Measured times of one kind of unit, by rows.
#[derive(Debug, Default, Clone)]
struct Curve {
    points: [Option<Point>; BUCKETS],
}

impl Curve {
    /// Takes in what a unit took of which the back end expected so much.
    fn observe(&mut self, rows: usize, seconds: f64, cost: f64) {
        let expected = self.predict(rows, Some(cost));
        let seconds = expected.map_or(seconds, |expected| seconds.min(expected * OUTLIER));
        let new = Point { rows: rows as f64, seconds, cost };
        let point = &mut self.points[(rows.max(1).ilog2() as usize).min(BUCKETS - 1)];
        let mean = |old: f64, new: f64| old + (new - old) * NEWEST;
        *point = Some(point.map_or(new, |old| Point {
            rows: mean(old.rows, new.rows),
            seconds: mean(old.seconds, new.seconds),
            cost: mean(old.cost, new.cost),
        }));
    }

    /// Seconds of the smallest steps that were measured, where they are decoding's; and seconds a row of the largest,
    /// where they are prompts'.
    fn ends(&self) -> (Option<f64>, Option<f64>) {
        let mut points = self.points.iter().flatten().copied();
        let small = points.clone().next().filter(|point| point.rows <= DECODES);
        let large = points.next_back().filter(|point| point.rows >= PROMPTS);
        (small.map(|point| point.seconds), large.map(|point| point.seconds / point.rows))
    }

    /// Seconds for this many rows: on the line between two measured points, in proportion to the rows beyond the last, and
    /// like the first before it, which is never too little. A unit of which the back end
    /// expects more or less than of those that were measured takes more or less; beyond the points it takes no less.
    fn predict(&self, rows: usize, cost: Option<f64>) -> Option<f64> {
        let rows = rows as f64;
        let ratio = |usual: f64| cost.map_or(1.0, |cost| (cost / usual).clamp(1.0 / MOST_UNLIKE, MOST_UNLIKE));
        let mut below: Option<Point> = None;
        for point in self.points.iter().flatten().copied() {
            if point.rows >= rows {
                return Some(match below {
                    Some(low) if point.rows > low.rows => {
                        let part = (rows - low.rows) / (point.rows - low.rows);
                        let between = |low: f64, high: f64| low + (high - low) * part;
                        between(low.seconds, point.seconds) * ratio(between(low.cost, point.cost))
                    }
                    _ if point.rows == rows => point.seconds * ratio(point.cost),
                    _ => point.seconds * ratio(point.cost).max(1.0),
                });
            }
            below = Some(point);
        }
        below.map(|point| {
            let more = rows / point.rows;
            point.seconds * more * ratio(point.cost * more).max(1.0)
        })
    }
}

/// The times of a stage's units on these threads.
#[derive(Debug, Clone)]
pub(crate) struct UnitTimes {
    planned: Plan,
    cold: u32,
    layers: usize,
    /// The back end's kinds of units, each with what was measured.
    kinds: Vec<(UnitKind, Curve)>,
}

impl UnitTimes {
    /// For a stage of this many layers whose back end has these kinds of units; nothing is measured yet.
    pub(crate) fn new(planned: Plan, kinds: &[UnitKind], layers: usize) -> Self {
        Self { planned, cold: 0, layers, kinds: kinds.iter().map(|kind| (*kind, Curve::default())).collect() }
    }

    /// From now on this is planned.
    pub(crate) fn plan(&mut self, planned: Plan) {
        self.planned = planned;
    }

    /// The number of remaining units for the next slice of a batch of this many rows, at least one. A unit of a
    /// kind that was never measured is a slice of its own.
    pub(crate) fn next(&self, rows: usize, left: &[Unit]) -> usize {
        let mut room = self.planned.slice.as_secs_f64();
        let fits = |unit: &&Unit| {
            room -= self.predict(rows, unit).unwrap_or(f64::INFINITY);
            room >= 0.0
        };
        left.iter().take_while(fits).count().max(1).min(left.len())
    }

    /// The time that these units will take, if it is known.
    pub(crate) fn expected(&self, rows: usize, units: &[Unit]) -> Option<Duration> {
        let sum = units.iter().try_fold(0.0, |sum, unit| Some(sum + self.predict(rows, unit)?));
        sum.map(Duration::from_secs_f64)
    }

    /// The most rows for which every layer's unit stays within its time.
    pub(crate) fn rows(&self) -> usize {
        let bound = self.planned.unit.as_secs_f64();
        let of_layers = || self.kinds.iter().filter(|(kind, _)| kind.head < 1.0);
        let fits = |rows: usize| {
            of_layers().all(|(_, curve)| match curve.predict(rows, None) {
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

    /// Takes in the time of a slice of these units.
    pub(crate) fn observe(&mut self, rows: usize, units: &[Unit], took: Duration) {
        if self.cold < COLD {
            self.cold += 1;
            return;
        }
        // The time of several units is divided as expected, which is known: unknown units are slices of their own.
        let of = |unit: &Unit| self.predict(rows, unit).unwrap_or(1.0);
        let total: f64 = units.iter().map(of).sum();
        let ratio = took.as_secs_f64() / total.max(f64::MIN_POSITIVE);
        let shares: Vec<(&Unit, f64)> = units.iter().map(|unit| (unit, of(unit) * ratio)).collect();
        for (at, (_, curve)) in self.kinds.iter_mut().enumerate() {
            let own = shares.iter().filter(|(unit, _)| unit.kind == at);
            let (count, seconds, cost) =
                own.fold((0.0, 0.0, 0.0), |(n, s, c), (unit, t)| (n + 1.0, s + t, c + unit.cost));
            if count > 0.0 {
                curve.observe(rows, seconds / count, cost / count);
            }
        }
    }

    /// What was measured; `None` before a token was decoded, or where the stage has no layers.
    pub(crate) fn speed(&self) -> Option<Speed> {
        if self.layers == 0 {
            return None;
        }
        let decode = || self.kinds.iter().map(|(kind, curve)| (kind.decode, kind.head, curve.ends().0));
        let prompt = self.kinds.iter().map(|(kind, curve)| (kind.prompt, kind.head, curve.ends().1));
        let layers = self.layers as f64;
        let has_head = decode().any(|(count, head, _)| count > 0 && head > 0.0);
        Some(Speed {
            layer: total(decode(), |head| 1.0 - head)? / layers,
            head: if has_head { total(decode(), |head| head) } else { None },
            prompt_layer: total(prompt, |head| 1.0 - head).map(|seconds| seconds / layers),
        })
    }

    fn predict(&self, rows: usize, unit: &Unit) -> Option<f64> {
        self.kinds.get(unit.kind)?.1.predict(rows, Some(unit.cost))
    }
}

/// Seconds of a step whose units are of these kinds (how many, the head's part, seconds of one), as far as they count;
/// `None` while one of them is not known.
fn total(kinds: impl Iterator<Item = (usize, f64, Option<f64>)>, counts: impl Fn(f64) -> f64) -> Option<f64> {
    let of_step = kinds.filter(|(count, head, _)| *count > 0 && counts(*head) > 0.0);
    of_step.map(|(count, head, seconds)| Some(count as f64 * seconds? * counts(head))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYERS: usize = 22;

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1000.0)
    }

    const fn unit(kind: usize) -> Unit {
        Unit { kind, cost: 1.0 }
    }

    const LAYER: [Unit; 3] = [unit(0), unit(1), unit(2)];
    const HEAD: Unit = unit(3);

    fn times(planned: Plan) -> UnitTimes {
        let kind = |name| UnitKind { name, decode: LAYERS, prompt: LAYERS, head: 0.0 };
        let head = UnitKind { name: "head", decode: 1, prompt: 1, head: 1.0 };
        UnitTimes::new(planned, &[kind("attention"), kind("up"), kind("down"), head], LAYERS)
    }

    /// These layers, and the head.
    fn left(layers: usize) -> Vec<Unit> {
        let mut units = LAYER.repeat(layers);
        units.push(HEAD);
        units
    }

    /// Times of a stage whose units take `fixed + per_row × rows` ms each.
    fn learned(fixed: f64, per_row: f64, head: f64) -> UnitTimes {
        let mut times = times(PLANNED);
        for _ in 0..30 {
            for rows in [1, 4, 16, 64] {
                for unit in LAYER {
                    times.observe(rows, &[unit], ms(fixed + per_row * rows as f64));
                }
                times.observe(rows, &[HEAD], ms(head));
            }
        }
        times
    }

    #[test]
    fn nothing_measured_is_one_unit_of_few_rows() {
        let times = times(PLANNED);
        assert_eq!(times.rows(), FIRST_ROWS);
        assert_eq!(times.next(1, &left(22)), 1);
        assert_eq!(times.next(1, &left(0)), 1);
        assert_eq!(times.expected(1, &left(1)), None);
    }

    #[test]
    fn slices_fill_their_bound_and_do_not_pass_it() {
        let times = learned(1.0, 0.05, 2.0);
        assert_eq!(times.next(1, &left(22)), 5);
        assert_eq!(times.next(1, &left(1)), 4, "the head fits beside one layer");
        assert_eq!(times.next(1, &left(2)), 5, "and two layers are too much");
        // a unit of 100 rows takes 6 ms
        assert!((85..=100).contains(&times.rows()), "{}", times.rows());
    }

    #[test]
    fn a_shorter_plan_holds_from_the_next_slice_on() {
        let mut times = learned(0.4, 0.001, 2.0);
        assert_eq!(times.next(4, &left(22)), 14);
        times.plan(BESIDE);
        assert_eq!(times.next(4, &left(22)), 1);
        assert_eq!(times.rows(), 256);
        times.plan(PLANNED);
        assert_eq!(times.next(4, &left(22)), 14);
    }

    #[test]
    fn batches_are_whole_without_slices_once_their_units_are_known() {
        let mut times = times(WHOLE);
        assert_eq!(times.next(1, &left(22)), 1);
        for _ in 0..=COLD {
            times.observe(500, &left(1), ms(40.0));
        }
        assert_eq!((times.next(500, &left(22)), times.rows()), (3 * 22 + 1, (1 << BUCKETS) - 1));
    }

    #[test]
    fn a_slow_unit_is_a_slice_and_some_rows_share_it() {
        let times = learned(20.0, 1.0, 3.0);
        assert_eq!(times.rows(), FEWEST_ROWS);
        assert_eq!(times.next(8, &left(22)), 1);
    }

    #[test]
    fn cold_and_disturbed_slices_do_not_stall_what_follows() {
        let mut times = times(PLANNED);
        let mut observe = |took| times.observe(1, &[unit(1)], ms(took));
        observe(5000.0);
        observe(5000.0);
        (0..20).for_each(|_| observe(1.0));
        observe(60_000.0);
        (0..30).for_each(|_| observe(1.0));
        assert!((5..=6).contains(&times.next(1, &[unit(1); 30])));
        times.observe(1, &[unit(1)], ms(60_000.0));
        assert!(times.expected(1, &[unit(1)]).unwrap() < ms(2.0));
    }

    #[test]
    fn a_unit_takes_more_or_less_as_the_back_end_expects() {
        let mut times = times(PLANNED);
        for _ in 0..20 {
            times.observe(64, &[unit(0)], ms(2.0));
        }
        let of = |rows, cost| times.expected(rows, &[Unit { kind: 0, cost }]).unwrap().as_secs_f64() * 1e3;
        assert!((of(64, 1.5) - 3.0).abs() < 1e-9 && (of(64, 0.5) - 1.0).abs() < 1e-9);
        // Where nothing is measured, it is not taken for less: of fewer rows, and of more.
        assert!((of(8, 0.5) - 2.0).abs() < 1e-9 && (of(128, 0.5) - 4.0).abs() < 1e-9);
        assert!((of(128, 4.0) - 8.0).abs() < 1e-9);
        assert_eq!(times.next(64, &[Unit { kind: 0, cost: 1.0 }; 5]), 3);
        assert_eq!(times.next(64, &[Unit { kind: 0, cost: 2.0 }; 5]), 1);
        // A slice of both is divided among them in that proportion, so that nothing is learned anew.
        let both = [Unit { kind: 0, cost: 1.0 }, Unit { kind: 0, cost: 2.0 }];
        (0..20).for_each(|_| times.observe(64, &both, ms(6.0)));
        let after = times.expected(64, &both).unwrap();
        assert!(after.abs_diff(ms(6.0)) < ms(0.01), "{after:?}");
    }

    #[test]
    fn a_captured_graph_of_a_whole_step_is_one_unit_with_layers_and_head() {
        let graph = UnitKind { name: "graph", decode: 1, prompt: 0, head: 0.2 };
        let layer = UnitKind { name: "layer", decode: 0, prompt: 10, head: 0.0 };
        let mut times = UnitTimes::new(PLANNED, &[graph, layer], 10);
        for _ in 0..20 {
            times.observe(1, &[unit(0)], ms(5.0));
        }
        assert_eq!(times.next(1, &[unit(0)]), 1);
        let speed = times.speed().unwrap();
        assert!((speed.layer - 0.0004).abs() < 1e-9 && (speed.head.unwrap() - 0.001).abs() < 1e-9, "{speed:?}");
        assert_eq!(speed.prompt_layer, None);
        for _ in 0..20 {
            times.observe(64, &[unit(1)], ms(6.4));
        }
        assert!((times.speed().unwrap().prompt_layer.unwrap() - 0.0001).abs() < 1e-9);
    }

    #[test]
    fn speeds_are_of_single_tokens_and_of_prompts_apart() {
        let mut times = times(PLANNED);
        assert_eq!(times.speed(), None);
        for _ in 0..20 {
            times.observe(64, &[unit(0)], ms(32.0));
            times.observe(64, &[unit(1)], ms(64.0));
            times.observe(64, &[unit(2)], ms(32.0));
        }
        assert_eq!(times.speed(), None, "no token was decoded");
        for _ in 0..20 {
            times.observe(1, &LAYER, ms(6.0));
        }
        let speed = times.speed().unwrap();
        assert!((speed.layer - 0.006).abs() < 1e-4, "{speed:?}");
        assert!((speed.prompt_layer.unwrap() - 0.002).abs() < 1e-4, "{speed:?}");
        assert_eq!(speed.head, None);
        for _ in 0..20 {
            times.observe(1, &[HEAD], ms(3.0));
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
            let mut times = times(PLANNED);
            for (rows, layers, took) in seen {
                times.observe(rows, &left(layers), ms(took));
            }
            let units = left(layers);
            let next = times.next(rows, &units);
            prop_assert!(next >= 1 && next <= 3 * layers + 1);
            if next > 1 {
                prop_assert!(times.expected(rows, &units[..next]).unwrap() <= SLICE + Duration::from_micros(1));
            }
            prop_assert!(times.rows() >= FEWEST_ROWS);
        }
    }
}
