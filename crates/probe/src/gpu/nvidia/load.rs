use crate::periodic::Periodic;
use gogrid_limits::{Load, Signal};
use nvml_wrapper::Device;
use std::{
    collections::VecDeque,
    process,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The driver's own period is 1/6 s at best.
const INTERVAL: Duration = Duration::from_millis(200);
/// The driver's figures lag by up to a second. Our own part is taken as the largest of so long, or our own work would look
/// like other programs' after each start and stop of it.
const LAG: Duration = Duration::from_secs(1);

/// How far back the driver is asked for the parts of processes, of which it gives the mean: two of its periods, so that
/// there is one.
const RECENT: Duration = Duration::from_millis(333);

/// The load of a GPU, ours apart from others'.
pub(super) struct LoadMeter {
    load: Periodic<Signal<Load>>,
    /// Our part of the GPU's time, as told or seen, over the last second.
    own: VecDeque<(Instant, f32)>,
}

impl LoadMeter {
    pub(super) fn new() -> Self {
        Self { load: Periodic::new(INTERVAL), own: VecDeque::new() }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }

    pub(super) fn read(&mut self, now: Instant, device: &Device<'_>, own_busy: Option<f32>) -> Signal<Load> {
        self.own.extend(own_busy.map(|busy| (now, busy)));
        self.load.get(now, || {
            let total = match device.utilization_rates() {
                Ok(rates) => rates.gpu as f32 / 100.0,
                Err(error) => return Signal::unknown(format!("the GPU does not tell its load: {error}")),
            };
            // Asking by process is dear (some 1 ms), and idle hands are nobody's.
            let own = if total > 0.0 { own_by_driver(device) } else { Some(0.0) };
            self.own.extend(own.map(|own| (now, own)));
            load(total, recent_own(&mut self.own, now))
        })
    }
}

/// Our part as the driver tells it; `None` where it does not tell processes apart.
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
        // The total is the driver's own figure; where it has not noticed our work yet, all of it is ours.
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
        // A second later it is somebody else's.
        assert_eq!(load_at(&mut own, 1200, 0.8), Signal::Known(Load { total: 0.8, own: 0.0 }));
    }

    #[test]
    fn without_any_account_only_rest_is_known() {
        assert_eq!(load(0.0, None), Signal::Known(Load { total: 0.0, own: 0.0 }));
        assert!(load(0.3, None).known().is_none());
    }
}
