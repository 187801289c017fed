use crate::periodic::Periodic;
use gogrid_limits::{Load, Signal};
use nvml_wrapper::{
    Device, enum_wrappers::device::Sampling, enums::device::SampleValue, error::NvmlError,
    struct_wrappers::device::Sample,
};
use std::{
    collections::VecDeque,
    process,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The driver's own period is 1/6 to 1/5 s.
const INTERVAL: Duration = Duration::from_millis(200);
/// The driver's figures lag by up to a second. Our own part is the largest value within that time; otherwise our work
/// would look like other programs' after it starts or stops.
const LAG: Duration = Duration::from_secs(1);

/// The oldest samples that are asked for: the driver keeps those of some 15 s.
const OLDEST: Duration = Duration::from_secs(1);

/// How far back the driver's figures by process are asked for: two of its periods, so that there is at least one.
const RECENT: Duration = Duration::from_millis(333);

/// The load of a GPU, ours apart from others'.
pub(super) struct LoadMeter {
    load: Periodic<Signal<Load>>,
    total: Total,
    /// Our part of the GPU's time over the last second, by our own account or the driver's.
    own: VecDeque<(Instant, f32)>,
}

impl LoadMeter {
    pub(super) fn new() -> Self {
        Self { load: Periodic::new(INTERVAL), total: Total::default(), own: VecDeque::new() }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    pub(super) fn read(&mut self, now: Instant, device: &Device<'_>, own_busy: Option<f32>) -> Signal<Load> {
        self.own.extend(own_busy.map(|busy| (now, busy)));
        self.load.get(now, || {
            let total = match self.total.read(device) {
                Ok(total) => total,
                Err(error) => return super::unreadable("the GPU does not report its load", &error),
            };
            // Asking by process is expensive (some 1 ms), and an idle GPU has no load to divide.
            let own = if total > 0.0 { own_by_driver(device) } else { Some(0.0) };
            self.own.extend(own.map(|own| (now, own)));
            load(total, recent_own(&mut self.own, now))
        })
    }
}

/// The load of all programs. The driver keeps samples, each the mean since the one before, and also shows one figure
/// without a time. All samples since the last reading are used, so that nothing in between is missed.
#[derive(Debug, Default)]
struct Total {
    /// Of the newest sample, in microseconds since 1970.
    seen: u64,
    /// Mean of the newest samples.
    load: f32,
}

impl Total {
    fn read(&mut self, device: &Device<'_>) -> Result<f32, NvmlError> {
        let gauge = device.utilization_rates()?.gpu as f32 / 100.0;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Samples are expensive (some 2 ms); for an idle device the figure is enough.
        if gauge <= 0.0 && self.load <= 0.0 {
            self.seen = micros(now);
            return Ok(0.0);
        }
        let since = self.seen.max(micros(now.saturating_sub(OLDEST)));
        match device.samples(Sampling::GpuUtilization, since) {
            Ok(samples) => self.take(samples.iter().filter_map(percent)),
            // None since then.
            Err(NvmlError::NotFound) => {}
            // Not every device keeps them.
            Err(_) => self.load = gauge,
        }
        Ok(self.load)
    }

    /// Takes in samples with their time and load, between 0 and 1.
    fn take(&mut self, samples: impl Iterator<Item = (u64, f32)>) {
        let (seen, mut count, mut sum) = (self.seen, 0, 0.0);
        for (at, load) in samples.filter(|(at, _)| *at > seen) {
            (count, sum) = (count + 1, sum + load);
            self.seen = self.seen.max(at);
        }
        if count > 0 {
            self.load = (sum / count as f32).min(1.0);
        }
    }
}

fn percent(sample: &Sample) -> Option<(u64, f32)> {
    match sample.value {
        SampleValue::U32(percent) => Some((sample.timestamp, percent as f32 / 100.0)),
        _ => None,
    }
}

/// Our part as the driver reports it; `None` if it does not tell processes apart.
fn own_by_driver(device: &Device<'_>) -> Option<f32> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(RECENT)?;
    let samples = device.process_utilization_stats(u64::try_from(since.as_micros()).ok()?).ok()?;
    let own = samples.iter().filter(|sample| sample.pid == process::id());
    own.map(|sample| sample.sm_util.min(100) as f32 / 100.0).max_by(f32::total_cmp)
}

fn recent_own(own: &mut VecDeque<(Instant, f32)>, now: Instant) -> Option<f32> {
    own.retain(|(at, _)| now.saturating_duration_since(*at) <= LAG);
    own.iter().map(|(_, busy)| *busy).max_by(f32::total_cmp)
}

fn load(total: f32, own: Option<f32>) -> Signal<Load> {
    match own {
        // The total lags: if it is below our own part, all of it is ours.
        Some(own) => Signal::Known(Load { total, own: own.clamp(0.0, total) }),
        None if total <= 0.0 => Signal::Known(Load { total: 0.0, own: 0.0 }),
        None => Signal::unknown("the driver does not tell processes apart, and the worker gave no account of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_work_does_not_look_like_others_while_the_driver_lags() {
        let (start, mut own) = (Instant::now(), VecDeque::new());
        own.push_back((start, 0.8));
        own.push_back((start + Duration::from_millis(500), 0.0));
        // We stopped; the driver still shows the load.
        let load_at =
            |own: &mut VecDeque<_>, millis, total| load(total, recent_own(own, start + Duration::from_millis(millis)));
        assert_eq!(load_at(&mut own, 500, 0.8), Signal::Known(Load { total: 0.8, own: 0.8 }));
        // A second later it belongs to another program.
        assert_eq!(load_at(&mut own, 1200, 0.8), Signal::Known(Load { total: 0.8, own: 0.0 }));
    }

    #[test]
    fn every_sample_counts_once_and_the_last_ones_hold_until_there_are_new_ones() {
        let mut total = Total { seen: 100, load: 0.0 };
        total.take([(100, 0.9), (300, 0.2), (500, 0.4)].into_iter());
        assert_eq!((total.seen, total.load), (500, 0.3));
        total.take([].into_iter());
        assert_eq!(total.load, 0.3);
        total.take([(500, 0.4), (700, 0.6)].into_iter());
        assert_eq!((total.seen, total.load), (700, 0.6));
    }

    #[test]
    fn without_any_account_only_rest_is_known() {
        assert_eq!(load(0.0, None), Signal::Known(Load { total: 0.0, own: 0.0 }));
        assert!(load(0.3, None).known().is_none());
    }
}
