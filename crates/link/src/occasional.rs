use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For log lines that anybody can cause: lets one through in a while, and counts the others.
#[derive(Debug)]
pub struct Occasional {
    every: Duration,
    /// When the last one passed, and how many did not since.
    state: Mutex<(Option<Instant>, u64)>,
}

impl Occasional {
    /// Lets one through in each such time.
    pub const fn new(every: Duration) -> Self {
        Self { every, state: Mutex::new((None, 0)) }
    }

    /// Whether it is time for a line: how many were left out since the last one.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now < last + self.every) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_makes_one_line_in_a_while_and_none_is_forgotten() {
        let (lines, now) = (Occasional::new(Duration::from_secs(60)), Instant::now());
        assert_eq!(lines.pass_at(now), Some(0));
        assert!((0..500).all(|_| lines.pass_at(now).is_none()));
        let later = now + Duration::from_secs(60);
        assert_eq!((lines.pass_at(later), lines.pass_at(later)), (Some(500), None));
    }
}
