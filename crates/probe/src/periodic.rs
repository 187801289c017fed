use std::time::{Duration, Instant};

/// A value that is expensive to read: read again only when the last reading is older than its interval.
#[derive(Debug)]
pub(crate) struct Periodic<T> {
    every: Duration,
    last: Option<(Instant, T)>,
}

impl<T: Clone> Periodic<T> {
    /// A value that is valid for `every`.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// The value, read again if it is too old.
    pub(crate) fn get(&mut self, now: Instant, read: impl FnOnce() -> T) -> T {
        match &self.last {
            Some((at, value)) if now.saturating_duration_since(*at) < self.every => value.clone(),
            _ => {
                let value = read();
                self.last = Some((now, value.clone()));
                value
            }
        }
    }

    /// Makes the next [`get`](Self::get) read again.
    pub(crate) fn invalidate(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_once_per_interval() {
        let (start, mut reads) = (Instant::now(), 0);
        let mut value = Periodic::new(Duration::from_secs(5));
        let mut at = |millis| {
            value.get(start + Duration::from_millis(millis), || {
                reads += 1;
                reads
            })
        };
        assert_eq!([at(0), at(4999), at(5000), at(9999), at(10_000)], [1, 1, 2, 2, 3]);
        value.invalidate();
        assert_eq!(value.get(start + Duration::from_secs(10), || 7), 7);
    }
}
