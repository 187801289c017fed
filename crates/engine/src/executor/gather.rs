//! Whether a batch is worth a moment's wait. Pure: `now` is an argument.
//!
//! The sessions of a batch go out together and come back together, one frame after another. A stage that began with the
//! first frame would compute two batches instead of one, step after step.

use std::time::{Duration, Instant};

/// The longest wait, as a part of the last batch's time: this much is lost if its sessions do not come back.
const PART: f64 = 0.01;
/// The longest wait in any case: in an office, a frame takes less from the last stage to the coordinator and back.
const MOST: Duration = Duration::from_millis(2);

/// When a stage has something to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Now,
    /// Its last batch has just gone out, and not all of its sessions are back.
    In(Duration),
    Nothing,
}

/// The last batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gather {
    sessions: usize,
    until: Option<Instant>,
}

impl Gather {
    /// A batch has gone out, of this many sessions and after this time.
    pub(super) fn after(sessions: usize, took: Duration, now: Instant) -> Self {
        Self { sessions, until: Some(now + took.mul_f64(PART).min(MOST)) }
    }

    /// Whether to begin with the sessions that wait.
    pub(super) fn ready(&self, waiting: usize, now: Instant) -> Ready {
        match self.until {
            _ if waiting == 0 => Ready::Nothing,
            Some(until) if waiting < self.sessions && now < until => Ready::In(until - now),
            _ => Ready::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_waited_for_a_moment_and_no_longer() {
        let (now, took) = (Instant::now(), Duration::from_millis(100));
        let gather = Gather::after(4, took, now);
        assert_eq!(gather.ready(0, now), Ready::Nothing);
        assert_eq!(gather.ready(3, now), Ready::In(Duration::from_millis(1)));
        assert_eq!(gather.ready(4, now), Ready::Now);
        assert_eq!(gather.ready(1, now + Duration::from_millis(1)), Ready::Now);
        let long = Gather::after(4, Duration::from_secs(60), now);
        assert_eq!(long.ready(1, now), Ready::In(MOST));
        assert_eq!(Gather::default().ready(1, now), Ready::Now);
    }
}
