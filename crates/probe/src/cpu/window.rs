use gogrid_limits::{Load, Signal};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The shortest window: one governor period or two.
const SHORTEST: Duration = Duration::from_millis(100);
/// Core time of the shortest window: a tick of 10 ms is then 2.5 % of it, below every threshold for other programs.
const CORE_TIME: Duration = Duration::from_millis(400);

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    pub(crate) cores: u32,
    /// Time of all cores together.
    pub(crate) capacity: Duration,
    /// Time in which they were not busy.
    pub(crate) spare: Duration,
    /// Time of this process.
    pub(crate) own: Duration,
}

/// The readings of the last moments.
#[derive(Debug, Default)]
pub(crate) struct Window {
    readings: VecDeque<Reading>,
}

impl Window {
    /// Takes a reading and returns the load up to it.
    pub(crate) fn load(&mut self, now: Reading) -> Signal<Load> {
        // Cores that come or go change what the counters mean.
        self.readings.retain(|reading| reading.cores == now.cores);
        let length = SHORTEST.max(CORE_TIME / now.cores.max(1));
        let old_enough = |reading: &Reading| now.at.saturating_duration_since(reading.at) >= length;
        while self.readings.get(1).is_some_and(old_enough) {
            self.readings.pop_front();
        }
        let load = match self.readings.front().filter(|reading| old_enough(reading)) {
            Some(then) => Signal::Known(between(then, &now)),
            None => Signal::unknown(format!("CPU times were watched for less than {} ms", length.as_millis())),
        };
        // Readings closer together than a tenth of the window are dropped, so at most eleven are kept.
        if self.readings.back().is_none_or(|last| now.at.saturating_duration_since(last.at) >= length / 10) {
            self.readings.push_back(now);
        }
        load
    }
}

fn between(then: &Reading, now: &Reading) -> Load {
    let capacity = now.capacity.saturating_sub(then.capacity).as_secs_f32().max(f32::MIN_POSITIVE);
    let spare = now.spare.saturating_sub(then.spare).as_secs_f32();
    let own = (now.own.saturating_sub(then.own).as_secs_f32() / capacity).min(1.0);
    // Rounded to ticks, spare time may seem too long; our own time is exact.
    Load { total: (1.0 - spare / capacity).clamp(own, 1.0), own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);

    /// Readings of a machine with constant loads and spare time in whole ticks.
    fn reading(start: Instant, millis: u64, cores: u32, total: f64, own: f64) -> Reading {
        let capacity = Duration::from_millis(millis) * cores;
        let spare = capacity.mul_f64(1.0 - total);
        Reading {
            at: start + Duration::from_millis(millis),
            cores,
            capacity,
            spare: TICK * (spare.as_millis() / TICK.as_millis()) as u32,
            own: capacity.mul_f64(own),
        }
    }

    #[test]
    fn the_first_readings_say_how_long_to_wait() {
        let (start, mut window) = (Instant::now(), Window::default());
        let reason = window.load(reading(start, 0, 1, 0.0, 0.0));
        assert_eq!(reason, Signal::unknown("CPU times were watched for less than 400 ms"));
        assert_eq!(window.load(reading(start, 399, 1, 0.0, 0.0)).known(), None);
        assert!(window.load(reading(start, 400, 1, 0.0, 0.0)).known().is_some());
    }

    #[test]
    fn a_change_is_seen_within_the_window() {
        let (start, mut window) = (Instant::now(), Window::default());
        for at in (0..=1000).step_by(50) {
            window.load(reading(start, at, 8, 0.0, 0.0));
        }
        let mut busy = reading(start, 1100, 8, 0.0, 0.0);
        busy.spare -= Duration::from_millis(400);
        let load = window.load(busy);
        assert!((load.known().unwrap().total - 0.5).abs() < 0.02, "{load:?}");
    }

    #[test]
    fn cores_that_come_start_a_new_window() {
        let (start, mut window) = (Instant::now(), Window::default());
        window.load(reading(start, 0, 4, 0.5, 0.0));
        assert!(window.load(reading(start, 1000, 8, 0.5, 0.0)).known().is_none());
    }

    proptest! {
        #[test]
        fn ticks_never_look_like_other_programs(
            cores in 1_u32..=64,
            period in 5_u64..=3000,
            own in 0.0..=1.0_f64,
            others in 0.0..=1.0_f64,
        ) {
            let others = others.min(1.0 - own);
            let (start, mut window) = (Instant::now(), Window::default());
            for at in 0..200 {
                let load = window.load(reading(start, at * period, cores, own + others, own));
                prop_assert!(window.readings.len() <= 12);
                if let Some(load) = load.known() {
                    prop_assert!(0.0 <= load.own && load.own <= load.total && load.total <= 1.0);
                    prop_assert!((f64::from(load.others()) - others).abs() < 0.026, "{load:?}, others {others}");
                }
            }
        }
    }
}
