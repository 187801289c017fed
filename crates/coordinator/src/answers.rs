//! How many answers were completed today, for the people whose machines gave them. The API does not know who asks, so
//! that answers are counted and not people.

use jiff::{Zoned, civil::Date};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The count of today. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Day>>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Day {
    /// On the coordinator's clock; `None` before the first answer.
    date: Option<Date>,
    count: u64,
}

impl Day {
    /// Turns to another day.
    fn turn_to(&mut self, today: Date) {
        if self.date != Some(today) {
            *self = Self { date: Some(today), count: 0 };
        }
    }
}

impl Answers {
    /// One more was completed.
    pub(crate) fn count(&self) {
        let mut day = self.day();
        day.turn_to(today());
        day.count += 1;
    }

    /// Completed since midnight.
    pub(crate) fn today(&self) -> u64 {
        let mut day = self.day();
        day.turn_to(today());
        day.count
    }

    /// Goes on with what the coordinator before has [written](Self::write). Text that is none counts nothing.
    pub(crate) fn restore(&self, text: &str) {
        if let Ok(day) = serde_json::from_str(text) {
            *self.day() = day;
        }
    }

    /// For the next coordinator.
    pub(crate) fn write(&self) -> String {
        serde_json::to_string(&*self.day()).unwrap_or_default()
    }

    fn day(&self) -> MutexGuard<'_, Day> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn today() -> Date {
    Zoned::now().date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_goes_on_and_another_day_begins_at_zero() {
        let before = Answers::default();
        (0..3).for_each(|_| before.count());
        let after = Answers::default();
        after.restore(&before.write());
        after.restore("no day");
        after.count();
        assert_eq!(after.today(), 4);
        after.restore(r#"{"date": "2001-01-01", "count": 7}"#);
        assert_eq!(after.today(), 0);
    }
}
