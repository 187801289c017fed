//! A bound on what a day's log takes of the disk, so that nobody who causes lines can fill it.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use std::io::{self, Write};

/// Bytes of a day's file: weeks of ordinary lines, and with all files kept less than half a GiB.
pub(super) const MOST_A_DAY: u64 = 32 << 20;

/// Writes to a file of each day until that day's bytes are used.
pub(super) struct Bounded<W> {
    file: W,
    most: u64,
    day: Date,
    written: u64,
    today: fn() -> Date,
}

/// The day by which files are named.
pub(super) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

impl<W: Write> Bounded<W> {
    /// `written` bytes are in today's file already.
    pub(super) fn new(file: W, written: u64) -> Self {
        Self { file, most: MOST_A_DAY, day: today(), written, today }
    }
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let today = (self.today)();
        if today != self.day {
            (self.day, self.written) = (today, 0);
        }
        let before = self.written;
        self.written = before.saturating_add(line.len() as u64);
        if self.written <= self.most {
            self.file.write_all(line)?;
        } else if before <= self.most {
            let end = format!("this day's log has {} MiB; nothing more is written to it\n", self.most >> 20);
            self.file.write_all(end.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI8, Ordering};

    #[test]
    fn a_day_takes_so_much_and_the_next_one_begins_anew() {
        static DAY: AtomicI8 = AtomicI8::new(29);
        let today = || jiff::civil::date(2026, 11, DAY.load(Ordering::Relaxed));
        let mut log = Bounded { file: Vec::new(), most: 25, day: today(), written: 5, today };
        for _ in 0..10 {
            log.write_all(b"ten bytes\n").expect("written");
        }
        let text = String::from_utf8(log.file.clone()).expect("text");
        assert_eq!(text.matches("ten bytes").count(), 2, "{text}");
        assert_eq!(text.matches("nothing more").count(), 1, "{text}");
        DAY.store(30, Ordering::Relaxed);
        log.write_all(b"tomorrow\n").expect("written");
        assert!(log.file.ends_with(b"tomorrow\n"));
    }
}
