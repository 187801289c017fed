//! The probability that a machine is still there in a minute: the mean of a Beta distribution over minutes served and
//! losses, `(19 + minutes) / (20 + minutes + losses)`. Both counts decay exponentially, so that old events count less
//! (the beta reputation system, Jøsang and Ismail 2002).

use std::time::Duration;

/// The prior: an unknown machine counts as one that was observed for twenty minutes and lost once. So a newcomer is not
/// preferred to a machine that has stayed for an hour, and one that flaps falls behind a newcomer within minutes.
const PRIOR_MINUTES: f64 = 19.0;
const PRIOR_LOSSES: f64 = 1.0;
/// Observations count half after this time: a day of trouble is forgiven within a week.
const HALF_LIFE: Duration = Duration::from_secs(24 * 3600);
/// No more losses are remembered: a flood of faults within an hour is forgiven within ten days.
const MOST_LOSSES: f64 = 1000.0;

/// What was observed of one machine. It has no clock: the caller reports the time that passes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Reliability {
    /// Minutes that it was connected, decayed.
    pub(crate) minutes: f64,
    /// How often it was lost, decayed.
    pub(crate) losses: f64,
}

impl Reliability {
    /// After it was connected for this time.
    #[must_use]
    pub(crate) fn served(self, time: Duration) -> Self {
        let Self { minutes, losses } = self.passed(time);
        Self { minutes: minutes + time.as_secs_f64() / 60.0, losses }
    }

    /// After it disconnected without notice.
    #[must_use]
    pub(crate) fn lost(self) -> Self {
        Self { losses: (self.losses + 1.0).min(MOST_LOSSES), ..self }
    }

    /// After this time without it.
    #[must_use]
    pub(crate) fn passed(self, time: Duration) -> Self {
        let left = 0.5_f64.powf(time.as_secs_f64() / HALF_LIFE.as_secs_f64());
        Self { minutes: self.minutes * left, losses: self.losses * left }
    }

    /// The probability that it is still there in a minute: the distribution's mean.
    pub(crate) fn mean(&self) -> f64 {
        let there = PRIOR_MINUTES + self.minutes;
        there / (there + PRIOR_LOSSES + self.losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_machine_that_flaps_falls_behind_a_newcomer_and_a_steady_one_gets_ahead() {
        let steady = Reliability::default().served(60 * MINUTE);
        // It joins and leaves every five seconds for five minutes.
        let flapping = (0..60).fold(Reliability::default(), |seen, _| seen.served(Duration::from_secs(5)).lost());
        let new = Reliability::default();
        assert!(steady.mean() > new.mean() && new.mean() > flapping.mean());
        assert!(flapping.mean() < 0.3, "{}", flapping.mean());
        assert!((new.mean() - 0.95).abs() < 1e-9);
    }

    #[test]
    fn trouble_is_forgiven_with_time() {
        let lost = (0..20).fold(Reliability::default(), |seen, _| seen.lost());
        assert!(lost.mean() < 0.5);
        assert!(lost.passed(DAY).mean() > lost.mean());
        assert!(lost.passed(7 * DAY).mean() > 0.93, "{}", lost.passed(7 * DAY).mean());
    }

    #[test]
    fn a_day_of_service_in_pieces_counts_as_in_one() {
        let whole = Reliability::default().served(60 * MINUTE);
        let pieces = (0..60).fold(Reliability::default(), |seen, _| seen.served(MINUTE));
        assert!((whole.mean() - pieces.mean()).abs() < 1e-3);
    }
}
