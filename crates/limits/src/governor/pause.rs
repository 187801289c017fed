use super::input::Now;
use crate::{Pause, reason::Moment};
use jiff::{SignedDuration, Unit};
use std::time::Duration;

/// The donor's pause, robust against a wall clock that is set back or forward.
///
/// A pause ends when the wall clock reaches its end or when its length, as computed when it was first seen, has passed on
/// the monotonic clock, whichever comes first. A clock set back does not make it longer, and a pause that is over stays
/// over.
#[derive(Debug, Default)]
pub(super) struct PauseClock {
    seen: Option<Pause>,
    /// On the monotonic clock.
    deadline: Duration,
    over: bool,
}

/// A pause in effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Paused {
    pub(super) until: Option<Moment>,
}

impl PauseClock {
    /// The pause that is in effect now, if any.
    pub(super) fn check(&mut self, pause: Option<&Pause>, now: &Now) -> Option<Paused> {
        if self.seen.as_ref() != pause {
            self.seen = pause.copied();
            self.over = false;
            if let Some(Pause::Until(end)) = pause {
                let length = end.duration_since(now.timestamp).max(SignedDuration::ZERO);
                self.deadline = now.monotonic.saturating_add(length.unsigned_abs());
            }
        }
        match pause? {
            Pause::Indefinitely => Some(Paused { until: None }),
            Pause::Until(end) => {
                let left = end.duration_since(now.timestamp);
                self.over |= !left.is_positive() || now.monotonic >= self.deadline;
                (!self.over).then(|| Paused { until: moment(left, now) })
            }
        }
    }
}

/// The minute that is `left` ahead; `None` past the end of the calendar.
fn moment(left: SignedDuration, now: &Now) -> Option<Moment> {
    let at = now.local.checked_add(left).and_then(|at| at.round(Unit::Minute)).ok()?;
    Some(Moment { at, today: at.date() == now.local.date() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{Timestamp, civil};

    const START: i64 = 1_800_000_000;

    /// `elapsed` seconds after the start on the monotonic clock, with a wall clock that is `ahead` seconds ahead of it.
    fn now(elapsed: i64, ahead: i64) -> Now {
        let local = civil::date(2026, 11, 25).at(14, 0, 0, 0) + SignedDuration::from_secs(elapsed + ahead);
        Now {
            monotonic: Duration::from_secs(elapsed.unsigned_abs()),
            local,
            timestamp: Timestamp::from_second(START + elapsed + ahead).unwrap(),
        }
    }

    fn until(seconds: i64) -> Pause {
        Pause::Until(Timestamp::from_second(START + seconds).unwrap())
    }

    #[test]
    fn ends_at_its_time_and_says_it_in_local_time() {
        let (mut clock, pause) = (PauseClock::default(), until(1800));
        let paused = clock.check(Some(&pause), &now(0, 0)).unwrap();
        assert_eq!(paused.until.unwrap().to_string(), "14:30");
        assert!(clock.check(Some(&pause), &now(1799, 0)).is_some());
        assert!(clock.check(Some(&pause), &now(1800, 0)).is_none());
        let tomorrow = until(86_400);
        let paused = clock.check(Some(&tomorrow), &now(1801, -1)).unwrap();
        assert_eq!(paused.until.unwrap().to_string(), "14:00 on 26 November 2026");
    }

    #[test]
    fn a_clock_set_back_neither_lengthens_it_nor_brings_it_back() {
        let (mut clock, pause) = (PauseClock::default(), until(1800));
        assert!(clock.check(Some(&pause), &now(0, 0)).is_some());
        assert!(clock.check(Some(&pause), &now(600, -3600)).is_some());
        assert!(clock.check(Some(&pause), &now(1800, -3600)).is_none());
        assert!(clock.check(Some(&pause), &now(1801, -7200)).is_none());
    }

    #[test]
    fn a_clock_set_forward_ends_it_and_a_new_pause_starts_anew() {
        let (mut clock, pause) = (PauseClock::default(), until(1800));
        assert!(clock.check(Some(&pause), &now(0, 0)).is_some());
        assert!(clock.check(Some(&pause), &now(1, 3600)).is_none());
        assert!(clock.check(Some(&pause), &now(2, 0)).is_none());
        assert!(clock.check(None, &now(3, 0)).is_none());
        assert!(clock.check(Some(&pause), &now(4, 0)).is_some());
        assert_eq!(clock.check(Some(&Pause::Indefinitely), &now(1 << 33, 0)), Some(Paused { until: None }));
    }
}
