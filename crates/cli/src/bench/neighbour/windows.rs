//! CPU time in windows of a second.

use super::clock::CpuClock;
use anyhow::Result;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The length of a window, as in the tools that people use.
const WINDOW: Duration = Duration::from_secs(1);
/// A window this close to the cap is within it.
const WITHIN: f64 = 0.02;

/// The process's part of all cores in each of this many windows. The CPU time is divided by the time between the two
/// readings, so that a late timer does not matter.
pub(super) async fn watch(clock: CpuClock, cores: usize, windows: usize) -> Result<Vec<f64>> {
    let mut shares = Vec::with_capacity(windows);
    let mut last = read(clock)?;
    let start = last.0;
    for number in 1..=windows {
        sleep_until(start + WINDOW * u32::try_from(number)?).await;
        let now = read(clock)?;
        shares.push((now.1 - last.1).as_secs_f64() / (now.0 - last.0).as_secs_f64() / cores as f64);
        last = now;
    }
    Ok(shares)
}

/// Reads both clocks, again if something came between the readings.
fn read(clock: CpuClock) -> Result<(Instant, Duration)> {
    const AT_ONCE: Duration = Duration::from_micros(100);
    const TRIES: usize = 10;
    let mut tries = 0;
    loop {
        let before = Instant::now();
        let cpu = clock.now()?;
        let took = before.elapsed();
        tries += 1;
        if took <= AT_ONCE || tries == TRIES {
            return Ok((before + took / 2, cpu));
        }
    }
}

/// How well windows keep to a cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Accuracy {
    pub(super) mean: f64,
    /// Mean distance from the cap.
    pub(super) deviation: f64,
    /// The part of the windows within 2 points of the cap.
    pub(super) within: f64,
    /// The most by which a window exceeds the cap; negative if none does.
    pub(super) over: f64,
}

impl Accuracy {
    pub(super) fn of(shares: &[f64], cap: f64) -> Self {
        let mean = |value: &dyn Fn(f64) -> f64| {
            shares.iter().map(|share| value(*share)).sum::<f64>() / shares.len().max(1) as f64
        };
        Self {
            mean: mean(&|share| share),
            deviation: mean(&|share| (share - cap).abs()),
            within: mean(&|share| f64::from((share - cap).abs() <= WITHIN)),
            over: shares.iter().map(|share| share - cap).fold(-cap, f64::max),
        }
    }
}

/// The value at or below which this percentage of the values lies (nearest rank); 0 for no values.
pub(super) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_over_and_under_the_cap_both_count() {
        let accuracy = Accuracy::of(&[0.25, 0.265, 0.24, 0.29], 0.25);
        assert!((accuracy.mean - 0.26125).abs() < 1e-9);
        assert!((accuracy.deviation - 0.01625).abs() < 1e-9);
        assert_eq!(accuracy.within, 0.75);
        assert!((accuracy.over - 0.04).abs() < 1e-9);
        assert!(Accuracy::of(&[0.1], 0.25).over < 0.0);
    }

    #[test]
    fn percentiles_are_among_the_values() {
        let values: Vec<f64> = (1..=50).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 99.0), 50.0);
        assert_eq!(percentile(&values, 50.0), 25.0);
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&[], 99.0), 0.0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_window_holds_what_was_used_in_it() -> Result<()> {
        let shares = watch(CpuClock::of(std::process::id())?, 1, 1).await?;
        assert_eq!(shares.len(), 1);
        assert!(shares[0] >= 0.0);
        Ok(())
    }
}
