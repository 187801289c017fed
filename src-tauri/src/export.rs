//! The work of each day as a file for a spreadsheet.

use gogrid_panel_api::{Day, Days};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

const HEAD: &str = "date,tokens,active_seconds,energy_wh\n";
/// The most exports of one day in a folder.
const SAME_DAY: u32 = 99;

/// Comma-separated values with a header, as in RFC 4180 but with LF line ends, which every reader accepts.
pub(crate) fn csv(days: &Days) -> String {
    days.days.iter().fold(HEAD.to_owned(), |mut text, Day { date, tokens, active_seconds, energy_wh }| {
        text.push_str(&format!("{},{tokens},{active_seconds:.1},{energy_wh:.3}\n", field(date)));
        text
    })
}

/// A field, quoted if it could be read as several fields or as a formula.
fn field(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | ' ');
    let is_plain = text.chars().all(plain) && !text.starts_with('-');
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// Writes a file named after the day and returns its path. It never overwrites a file.
///
/// # Errors
/// When the folder is not there or cannot be written to.
pub(crate) fn write(folder: &Path, today: &str, text: &str) -> io::Result<PathBuf> {
    for number in 1..=SAME_DAY {
        let name = match number {
            1 => format!("gogrid-{today}.csv"),
            number => format!("gogrid-{today}-{number}.csv"),
        };
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there are {SAME_DAY} exports of this day already")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn day(date: &str, tokens: u64, active_seconds: f64, energy_wh: f64) -> Day {
        Day { date: date.into(), tokens, active_seconds, energy_wh }
    }

    fn days(days: Vec<Day>) -> Days {
        Days { days, method: "by the power meter".into() }
    }

    #[test]
    fn a_line_a_day() {
        let days = days(vec![day("2026-11-24", 12345, 61.24, 3.5), day("2026-11-25", 0, 0.0, 0.0)]);
        assert_eq!(
            csv(&days),
            "date,tokens,active_seconds,energy_wh\n2026-11-24,12345,61.2,3.500\n2026-11-25,0,0.0,0.000\n"
        );
    }

    #[test]
    fn without_work_there_is_the_head() {
        assert_eq!(csv(&days(Vec::new())), HEAD);
    }

    #[test]
    fn no_date_becomes_a_formula_or_two_fields() {
        let line = csv(&days(vec![day("=1+1,\"x\"", 1, 0.0, 0.0)]));
        assert!(line.ends_with("\n\"=1+1,\"\"x\"\"\",1,0.0,0.000\n"), "{line}");
    }

    #[test]
    fn an_export_never_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "2026-11-25", "a").unwrap();
        let second = write(folder.path(), "2026-11-25", "b").unwrap();
        assert!(first.ends_with("gogrid-2026-11-25.csv") && second.ends_with("gogrid-2026-11-25-2.csv"));
        assert_eq!(fs::read_to_string(first).unwrap(), "a");
        write(&folder.path().join("missing"), "2026-11-25", "c").unwrap_err();
    }
}
