//! How long a worker waits before it tries to join its coordinator again.

use crate::control::ControlError;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// The longest pause while the coordinator cannot be reached: one that returns has its fleet back within this time.
const UNREACHABLE: Duration = Duration::from_secs(5);
/// The first pause after a refusal.
const FIRST_REFUSED: Duration = Duration::from_secs(5);
/// The longest pause after refusals. Only an update of one of the programs helps: a fleet of 1,000 machines that waits
/// for one asks three times a second.
const REFUSED: Duration = Duration::from_secs(5 * 60);

/// Growing pauses, one row for a coordinator that cannot be reached and one for a coordinator that refuses.
pub(crate) struct Backoff {
    unreachable: ExponentialBackoff,
    refused: ExponentialBackoff,
    refusal: Option<String>,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { unreachable: unreachable(), refused: refused(), refusal: None }
    }

    /// The pause after a try that failed. Logs a refusal when it is a new one, not on every try.
    pub(crate) fn after(&mut self, error: &ControlError) -> Duration {
        let ControlError::Refused(refusal) = error else {
            tracing::warn!(%error, "cannot reach the coordinator yet");
            return self.unreachable.next().unwrap_or(UNREACHABLE);
        };
        let text = refusal.to_string();
        if self.refusal.as_ref() != Some(&text) {
            tracing::warn!(%refusal, "the coordinator refuses this machine; trying again at growing intervals");
            (self.refused, self.refusal) = (refused(), Some(text));
        }
        self.unreachable = unreachable();
        self.refused.next().unwrap_or(REFUSED)
    }
}

fn unreachable() -> ExponentialBackoff {
    pauses(Duration::from_millis(100), UNREACHABLE)
}

fn refused() -> ExponentialBackoff {
    pauses(FIRST_REFUSED, REFUSED)
}

fn pauses(first: Duration, longest: Duration) -> ExponentialBackoff {
    // The jitter keeps a fleet from asking in step.
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_wire::control::Refusal;

    #[test]
    fn refusals_are_repeated_at_growing_intervals_of_up_to_minutes() {
        let mut backoff = Backoff::new();
        let refused = ControlError::Refused(Refusal::Version { worker: 7, coordinator: 6 });
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.after(&refused)).collect();
        assert!((FIRST_REFUSED..=2 * FIRST_REFUSED).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[6..].iter().all(|pause| (REFUSED..=2 * REFUSED).contains(pause)), "{pauses:?}");
    }

    #[test]
    fn a_coordinator_that_cannot_be_reached_is_tried_every_few_seconds() {
        let mut backoff = Backoff::new();
        let longest = (0..50).map(|_| backoff.after(&ControlError::Timeout)).max();
        assert!(longest.is_some_and(|longest| longest <= 2 * UNREACHABLE), "{longest:?}");
    }

    #[test]
    fn another_refusal_starts_at_short_pauses_again() {
        let mut backoff = Backoff::new();
        let version = ControlError::Refused(Refusal::Version { worker: 7, coordinator: 6 });
        (0..10).for_each(|_| {
            backoff.after(&version);
        });
        // The restart of the coordinator in between does not change what it says.
        backoff.after(&ControlError::Timeout);
        assert!(backoff.after(&version) >= REFUSED);
        let busy = ControlError::Refused(Refusal::Unavailable("it cannot read its registry".into()));
        assert!(backoff.after(&busy) <= 2 * FIRST_REFUSED);
    }
}
