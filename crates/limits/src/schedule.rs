//! The hours of a week in which a machine works, as a grid of quarter hours, which the page paints.
//!
//! As text it is a list of entries `DAYS HOURS`: `mon-fri 18:00-08:00, sat-sun`. Hours that end before they begin end on
//! the next day; an entry without hours means whole days. All times are local: a day with a clock change is an hour
//! shorter or longer, and so is an entry that spans the change.

mod text;

use jiff::civil::{DateTime, Weekday};
use std::ops::Range;

/// Quarters of an hour in a day.
const QUARTERS: u8 = 96;
/// Minutes in a quarter.
const QUARTER_MINUTES: u8 = 15;
/// A day with every quarter lent.
const WHOLE_DAY: u128 = (1 << QUARTERS) - 1;

/// The hours of a week, in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// From Monday on; bit `i` is the quarter that begins `15 × i` minutes after midnight.
    days: [u128; 7],
}

impl Schedule {
    /// Every hour.
    pub const ALWAYS: Self = Self { days: [WHOLE_DAY; 7] };
    /// No hour.
    pub const NEVER: Self = Self { days: [0; 7] };
    /// Quarters of an hour in a day: the columns of the page's grid.
    pub const QUARTERS: u8 = QUARTERS;

    /// Every day from 22:00 to 07:00, when most people do not use a computer.
    pub const fn nights() -> Self {
        let until_seven = (1 << (7 * 4)) - 1;
        let until_ten = (1 << (22 * 4)) - 1;
        Self { days: [until_seven | (WHOLE_DAY & !until_ten); 7] }
    }

    /// Whether the machine works at that local time.
    pub fn contains(&self, local: DateTime) -> bool {
        let quarter = local.hour().unsigned_abs() * 4 + local.minute().unsigned_abs() / QUARTER_MINUTES;
        self.lends(local.weekday(), quarter)
    }

    /// Whether a quarter is lent. `quarter` counts from midnight; there are [`Schedule::QUARTERS`].
    pub fn lends(&self, day: Weekday, quarter: u8) -> bool {
        quarter < QUARTERS && self.days[index(day)] >> quarter & 1 == 1
    }

    /// The hours that both lend.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self { days: std::array::from_fn(|day| self.days[day] & other.days[day]) }
    }

    /// Adds these quarters of a day, or removes them.
    pub fn paint(&mut self, day: Weekday, quarters: Range<u8>, lend: bool) {
        let mask = mask(&quarters);
        let day = &mut self.days[index(day)];
        *day = if lend { *day | mask } else { *day & !mask };
    }
}

fn index(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs())
}

/// The bits of these quarters.
fn mask(quarters: &Range<u8>) -> u128 {
    let below = |end: u8| (1_u128 << end.min(QUARTERS)) - 1;
    below(quarters.end) & !below(quarters.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use rstest::rstest;

    #[rstest]
    // 2026-11-23 is a Monday.
    #[case(23, 17, 59, false)]
    #[case(23, 18, 0, true)]
    #[case(23, 23, 59, true)]
    #[case(24, 0, 0, true)]
    #[case(24, 7, 59, true)]
    #[case(24, 8, 0, false)]
    #[case(28, 12, 0, true)]
    #[case(29, 23, 59, true)]
    #[case(30, 0, 0, false)]
    fn holds_over_midnight_and_on_whole_days(
        #[case] day: i8,
        #[case] hour: i8,
        #[case] minute: i8,
        #[case] works: bool,
    ) {
        let schedule: Schedule = "mon-fri 18:00-08:00, sat-sun".parse().unwrap();
        assert_eq!(schedule.contains(date(2026, 11, day).at(hour, minute, 59, 0)), works);
    }

    #[test]
    fn nights_are_what_they_say() {
        assert_eq!(Schedule::nights(), "mon-sun 22:00-07:00".parse().unwrap());
    }

    #[test]
    fn a_panel_paints_quarters() {
        let mut schedule = Schedule::NEVER;
        schedule.paint(Weekday::Wednesday, 40..44, true);
        assert_eq!(schedule.to_string(), "wed 10:00-11:00");
        assert!(schedule.lends(Weekday::Wednesday, 40) && !schedule.lends(Weekday::Wednesday, 44));
        schedule.paint(Weekday::Wednesday, 41..200, false);
        assert_eq!(schedule.to_string(), "wed 10:00-10:15");
        assert!(!schedule.lends(Weekday::Wednesday, 255));
        #[expect(clippy::reversed_empty_ranges, reason = "a range the wrong way round paints nothing")]
        schedule.paint(Weekday::Monday, 9..3, true);
        schedule.paint(Weekday::Wednesday, 0..255, false);
        assert_eq!(schedule, Schedule::NEVER);
    }
}
