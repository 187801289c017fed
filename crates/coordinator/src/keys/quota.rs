//! What a key has used of its limits. Pure: times are given.

use super::{KeyError, KeyLimits};
use jiff::civil::Date;
use std::time::Duration;
use tokio::time::Instant;

/// Length of the request window; it starts at the first request.
const MINUTE: Duration = Duration::from_secs(60);

/// What a key has used.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    /// When the minute began; `None` before its first request.
    minute: Option<Instant>,
    now: Option<Instant>,
    requests: u32,
    day: Date,
    tokens: u64,
    streams: usize,
}

/// Remaining quota, and the time until it is full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Limit, what is left, and the time until the minute is over.
    pub(crate) requests: Option<(u32, u32, Duration)>,
    /// Limit, what is left, and the time until the day is over.
    pub(crate) tokens: Option<(u64, u64, Duration)>,
}

impl Quota {
    /// What is left after this many tokens of a day.
    pub(super) fn new(day: Date, tokens: u64) -> Self {
        Self { minute: None, now: None, requests: 0, day, tokens, streams: 0 }
    }

    /// Begins another minute or day where the last one is over.
    pub(super) fn turn(&mut self, now: Instant, today: Date) {
        self.now = Some(now);
        if self.minute.is_some_and(|began| now >= began + MINUTE) {
            (self.minute, self.requests) = (None, 0);
        }
        // A clock that is set back does not give tokens twice.
        if today > self.day {
            (self.day, self.tokens) = (today, 0);
        }
    }

    fn left_of_minute(&self) -> Duration {
        let (Some(began), Some(now)) = (self.minute, self.now) else { return Duration::ZERO };
        (began + MINUTE).saturating_duration_since(now)
    }

    /// Takes in a request.
    pub(super) fn begin(&mut self, limits: &KeyLimits, left_of_day: Duration) -> Result<(), KeyError> {
        if let Some(limit) = limits.tokens_per_day.filter(|limit| self.tokens >= *limit) {
            return Err(KeyError::Tokens { limit, again: left_of_day });
        }
        if let Some(limit) = limits.requests_per_minute.filter(|limit| self.requests >= *limit) {
            return Err(KeyError::Requests { limit, again: self.left_of_minute() });
        }
        self.minute = self.minute.or(self.now);
        self.requests = self.requests.saturating_add(1);
        Ok(())
    }

    pub(super) fn use_tokens(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    pub(super) fn open_streams(&mut self, limits: &KeyLimits, count: usize) -> Result<(), KeyError> {
        if let Some(limit) = limits.streams.filter(|limit| self.streams + count > *limit as usize) {
            return Err(KeyError::Streams { limit, asked: count, open: self.streams });
        }
        self.streams += count;
        Ok(())
    }

    pub(super) fn close_streams(&mut self, count: usize) {
        self.streams = self.streams.saturating_sub(count);
    }

    pub(super) fn standing(&self, limits: &KeyLimits, left_of_day: Duration) -> Standing {
        let requests = limits.requests_per_minute;
        let tokens = limits.tokens_per_day;
        Standing {
            requests: requests.map(|limit| (limit, limit.saturating_sub(self.requests), self.left_of_minute())),
            tokens: tokens.map(|limit| (limit, limit.saturating_sub(self.tokens), left_of_day)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn day(day: i8) -> Date {
        jiff::civil::date(2026, 11, day)
    }

    #[test]
    fn requests_are_counted_by_the_minute() {
        let limits = KeyLimits { requests_per_minute: Some(2), ..KeyLimits::default() };
        let (mut quota, start) = (Quota::new(day(30), 0), Instant::now());
        for seconds in [0, 10] {
            quota.turn(start + Duration::from_secs(seconds), day(30));
            quota.begin(&limits, HOUR).expect("a request");
        }
        let again = Duration::from_secs(50);
        assert_eq!(quota.begin(&limits, HOUR), Err(KeyError::Requests { limit: 2, again }));
        assert_eq!(quota.standing(&limits, HOUR).requests, Some((2, 0, again)));
        quota.turn(start + MINUTE, day(30));
        assert_eq!(quota.standing(&limits, HOUR).requests, Some((2, 2, Duration::ZERO)));
        quota.begin(&limits, HOUR).expect("another minute");
    }

    #[test]
    fn tokens_are_counted_by_the_day_and_come_back_with_the_next() {
        let limits = KeyLimits { tokens_per_day: Some(100), ..KeyLimits::default() };
        let mut quota = Quota::new(day(29), 90);
        quota.begin(&limits, HOUR).expect("ten are left");
        quota.use_tokens(30);
        assert_eq!(quota.begin(&limits, HOUR), Err(KeyError::Tokens { limit: 100, again: HOUR }));
        assert_eq!(quota.standing(&limits, HOUR).tokens, Some((100, 0, HOUR)));
        quota.turn(Instant::now(), day(28));
        assert!(quota.begin(&limits, HOUR).is_err(), "the clock was set back");
        quota.turn(Instant::now(), day(30));
        quota.begin(&limits, HOUR).expect("a new day");
    }

    #[test]
    fn answers_at_once_are_bounded() {
        let limits = KeyLimits { streams: Some(3), ..KeyLimits::default() };
        let mut quota = Quota::new(day(30), 0);
        quota.open_streams(&limits, 2).expect("two of three");
        let refused = KeyError::Streams { limit: 3, asked: 2, open: 2 };
        assert_eq!(quota.open_streams(&limits, 2), Err(refused));
        quota.close_streams(2);
        quota.open_streams(&limits, 3).expect("all three");
        quota.open_streams(&KeyLimits::default(), 1000).expect("no limit");
    }
}
