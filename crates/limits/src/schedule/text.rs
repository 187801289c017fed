//! A schedule as text.

use super::{QUARTER_MINUTES, QUARTERS, Schedule, WHOLE_DAY, mask};
use crate::value::{NONE, ValueError};
use std::{fmt, ops::RangeInclusive, str::FromStr};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Hours of a day, in quarters since midnight. They end on the next day if the end lies before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    start: u8,
    end: u8,
}

impl Hours {
    const WHOLE: Self = Self { start: 0, end: QUARTERS };

    fn is_over_midnight(self) -> bool {
        self.end < self.start
    }
}

impl FromStr for Schedule {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut schedule = Self::NEVER;
        if text.trim() == NONE {
            return Ok(schedule);
        }
        for entry in text.split(',') {
            let entry = entry.trim();
            let (first, last, hours) = read(entry).map_err(|why| ValueError::Hours { entry: entry.into(), why })?;
            let mut day = first;
            loop {
                let next = (day + 1) % 7;
                if hours.is_over_midnight() {
                    schedule.days[day] |= mask(&(hours.start..QUARTERS));
                    schedule.days[next] |= mask(&(0..hours.end));
                } else {
                    schedule.days[day] |= mask(&(hours.start..hours.end));
                }
                if day == last {
                    break;
                }
                day = next;
            }
        }
        Ok(schedule)
    }
}

/// First day, last day and hours of an entry.
fn read(entry: &str) -> Result<(usize, usize, Hours), &'static str> {
    let (days, hours) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let day = |name: &str| {
        let place = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        place.ok_or("it begins with a day (mon, tue, wed, thu, fri, sat, sun) or two with a dash between")
    };
    let (first, last) = (day(first)?, day(last)?);
    if hours.trim().is_empty() {
        return Ok((first, last, Hours::WHOLE));
    }
    let (start, end) = hours.split_once('-').ok_or("hours are written as 18:00-08:00")?;
    let hours = Hours { start: quarter(start)?, end: quarter(end)? };
    if hours.start == hours.end {
        return Err("it ends when it begins; without hours it would be whole days");
    }
    if hours.start == QUARTERS {
        return Err("24:00 is an end, not a beginning");
    }
    Ok((first, last, hours))
}

fn quarter(time: &str) -> Result<u8, &'static str> {
    let part = |text: &str| {
        let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|_| plain)
    };
    let read = time.trim().split_once(':').and_then(|(hour, minute)| Some((part(hour)?, part(minute)?)));
    match read {
        Some((0..=23, 0..=59) | (24, 0)) => {}
        _ => return Err("a time is between 00:00 and 24:00"),
    }
    match read {
        Some((hour, minute)) if minute % QUARTER_MINUTES == 0 => Ok(hour * 4 + minute / QUARTER_MINUTES),
        _ => Err("times are on the quarter of an hour"),
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = hours_by_day(&self.days);
        let mut between = "";
        for (first, hours) in days.iter().enumerate() {
            for hours in hours {
                if first > 0 && days[first - 1].contains(hours) {
                    continue; // said with the day before
                }
                let last = (first..7).take_while(|day| days[*day].contains(hours)).last().unwrap_or(first);
                f.write_str(between)?;
                write_entry(f, first..=last, *hours)?;
                between = ", ";
            }
        }
        if between.is_empty() { f.write_str(NONE) } else { Ok(()) }
    }
}

fn write_entry(f: &mut fmt::Formatter<'_>, days: RangeInclusive<usize>, hours: Hours) -> fmt::Result {
    f.write_str(DAYS[*days.start()])?;
    if days.start() != days.end() {
        write!(f, "-{}", DAYS[*days.end()])?;
    }
    if hours != Hours::WHOLE {
        let time = |quarter: u8| format!("{:02}:{:02}", quarter / 4, quarter % 4 * QUARTER_MINUTES);
        write!(f, " {}-{}", time(hours.start), time(hours.end))?;
    }
    Ok(())
}

/// The grid's hours as people say them: an evening and the morning after are one.
fn hours_by_day(days: &[u128; 7]) -> [Vec<Hours>; 7] {
    let mut all: [Vec<Hours>; 7] = Default::default();
    for day in 0..7 {
        let (before, quarters, after) = (days[(day + 6) % 7], days[day], days[(day + 1) % 7]);
        if quarters == WHOLE_DAY {
            all[day].push(Hours::WHOLE);
            continue;
        }
        // A morning that belongs to the evening before is said there.
        let mut start = if joins(before, quarters) { morning(quarters) } else { 0 };
        while let Some(run) = run_from(quarters, start) {
            start = run.end;
            let hours = match run.end {
                QUARTERS if joins(quarters, after) => Hours { end: morning(after), ..run },
                // Whatever ends within a whole day may be said as on the other evenings.
                QUARTERS if after == WHOLE_DAY => {
                    let evening = |hours: &&Hours| hours.start == run.start && hours.is_over_midnight();
                    all.iter().flatten().find(evening).copied().unwrap_or(run)
                }
                _ => run,
            };
            all[day].push(hours);
        }
    }
    all
}

/// Whether one day's evening and the next day's morning are one: only if it ends earlier than it begins, or it could
/// not be told from hours of one day.
fn joins(day: u128, next: u128) -> bool {
    let evening = QUARTERS - (day << (u128::BITS - u32::from(QUARTERS))).leading_ones() as u8;
    day != WHOLE_DAY && next != WHOLE_DAY && evening < QUARTERS && (1..evening).contains(&morning(next))
}

/// The end of what begins at midnight.
fn morning(quarters: u128) -> u8 {
    quarters.trailing_ones() as u8
}

/// The next run of quarters.
fn run_from(quarters: u128, from: u8) -> Option<Hours> {
    let rest = quarters & mask(&(from..QUARTERS));
    let start = rest.trailing_zeros() as u8;
    (rest != 0).then(|| Hours { start, end: start + (rest >> start).trailing_ones() as u8 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("mon-fri 18:00-08:00, sat-sun", "mon-fri 18:00-08:00, sat-sun")]
    #[case("MON-sun 0:00-24:00", "mon-sun")]
    #[case("sat-mon", "mon, sat-sun")]
    #[case("sun 22:00-6:15", "sun 22:00-06:15")]
    #[case("mon 12:00-13:00,mon 9:30 - 10:45, mon 13:00-14:00", "mon 09:30-10:45, mon 12:00-14:00")]
    #[case("mon 20:00-24:00, tue 00:00-20:00", "mon 20:00-24:00, tue 00:00-20:00")]
    #[case("mon 20:00-24:00, tue 00:00-19:45", "mon 20:00-19:45")]
    #[case("mon 00:00-06:00, mon 20:00-24:00", "mon 00:00-06:00, mon 20:00-24:00")]
    #[case("mon-sun 22:00-07:00, wed 12:00-13:00", "mon-sun 22:00-07:00, wed 12:00-13:00")]
    #[case(" none ", "none")]
    fn is_written_as_people_say_it(#[case] text: &str, #[case] written: &str) {
        let schedule: Schedule = text.parse().unwrap();
        assert_eq!(schedule.to_string(), written);
        assert_eq!(written.parse(), Ok(schedule));
    }

    #[rstest]
    #[case("", "")]
    #[case("mon,", "")]
    #[case("mon-fri, someday 8:00-9:00", "someday 8:00-9:00")]
    #[case("18:00-08:00", "18:00-08:00")]
    #[case("mon 18:00", "mon 18:00")]
    #[case("mon 18:00-08:07", "mon 18:00-08:07")]
    #[case("mon 18:00-24:15", "mon 18:00-24:15")]
    #[case("mon 18:00-25:00", "mon 18:00-25:00")]
    #[case("mon 18:0x-19:00", "mon 18:0x-19:00")]
    #[case("mon +8:00-19:00", "mon +8:00-19:00")]
    #[case("mon 18:00-18:00", "mon 18:00-18:00")]
    #[case("mon 24:00-08:00", "mon 24:00-08:00")]
    #[case("mon 18:00-08:00-09:00", "mon 18:00-08:00-09:00")]
    fn the_entry_that_cannot_be_read_is_named(#[case] text: &str, #[case] named: &str) {
        match text.parse::<Schedule>() {
            Err(ValueError::Hours { entry, .. }) => assert_eq!(entry, named),
            other => panic!("{other:?}"),
        }
    }

    /// Days as a person fills them: few runs, often none or all. (Bits at random would hardly ever be so.)
    fn day() -> impl Strategy<Value = u128> {
        prop_oneof![
            Just(0),
            Just(WHOLE_DAY),
            prop::collection::vec((0..QUARTERS, 0..=QUARTERS), 1..4)
                .prop_map(|runs| runs.iter().map(|(start, end)| mask(&(*start..*end))).fold(0, |all, run| all | run)),
            any::<u128>().prop_map(|bits| bits & WHOLE_DAY),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(days in prop::array::uniform7(day())) {
            let schedule = Schedule { days };
            prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9:, -]{0,30}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
            }
        }
    }
}
