//! How single values are written and read, as plain text: the same on the command line, in the settings file (which also
//! takes TOML's own numbers and lists) and between worker and page.

use crate::Share;
use std::time::Duration;

/// What is wrong with a value. Each text continues "`cpu = 150` is …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Outside the range of its key.
    #[error("out of range")]
    OutOfRange,
    /// Not one of the words that the key takes.
    #[error("not known")]
    UnknownWord,
    /// Not a number, although one is expected.
    #[error("not a number")]
    NotANumber,
    /// More decimals than are kept.
    #[error("too fine")]
    TooFine,
    /// A size, speed or time without its unit.
    #[error("without a unit")]
    NoUnit,
    /// A unit that is not known.
    #[error("in an unknown unit")]
    UnknownUnit,
    /// Not a duration.
    #[error("not a duration")]
    NotADuration,
    /// Neither a word nor an instant with its offset from universal time.
    #[error("not an instant")]
    NotAnInstant,
    /// Hours of the week that cannot be read.
    #[error("not a list of hours, because of {entry:?}: {why}")]
    Hours {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The name of a program that cannot be one, or too many of them.
    #[error("not a list of programs: {0}")]
    Programs(&'static str),
    /// A TOML value of a kind that the key does not take.
    #[error("{0}, which is not expected here")]
    Kind(&'static str),
    /// `default`, for a key that has none.
    #[error("without a default")]
    NoDefault,
}

/// An empty list.
pub(crate) const NONE: &str = "none";
/// What turns a rule off.
pub(crate) const OFF: &str = "off";

/// Reads something that can be turned off.
pub(crate) fn unless_off<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Result<Option<T>, ValueError> {
    if text.trim() == OFF { Ok(None) } else { read(text).map(Some) }
}

/// Writes something that can be turned off.
pub(crate) fn or_off<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| OFF.into(), write)
}

/// A plain decimal number.
pub(crate) fn number(text: &str) -> Result<f64, ValueError> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+'));
    text.parse().ok().filter(|_| plain).ok_or(ValueError::NotANumber)
}

/// A whole number between these two.
pub(crate) fn whole(text: &str, least: u32, most: u32) -> Result<u32, ValueError> {
    let number = number(text)?;
    if number.fract() != 0.0 {
        return Err(ValueError::TooFine);
    }
    if (f64::from(least)..=f64::from(most)).contains(&number) { Ok(number as u32) } else { Err(ValueError::OutOfRange) }
}

/// A share of the whole of at least `least` percent: `25`, `25%`, `25 %`. At most one decimal and one sign.
pub(crate) fn percent(text: &str, least: u8) -> Result<Share, ValueError> {
    let text = text.trim();
    let number = number(text.strip_suffix('%').unwrap_or(text))?;
    if !(f64::from(least)..=100.0).contains(&number) {
        return Err(ValueError::OutOfRange);
    }
    let thousandths = (number * 10.0).round();
    if (thousandths - number * 10.0).abs() > 1e-6 {
        return Err(ValueError::TooFine);
    }
    Ok(Share::from_per_mille(thousandths as u16))
}

/// As [`percent`] reads it, with its unit: `25%`.
pub(crate) fn percent_text(share: Share) -> String {
    share.to_string().replace(' ', "")
}

/// Whole seconds between these two, with their units: `90s`, `3m`, `1h 30m`.
pub(crate) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, ValueError> {
    if number(text).is_ok() {
        return Err(ValueError::NoUnit);
    }
    let duration = jiff::fmt::friendly::SpanParser::new()
        .parse_unsigned_duration(text.trim())
        .map_err(|_| ValueError::NotADuration)?;
    if duration < least || duration > most {
        Err(ValueError::OutOfRange)
    } else if duration.subsec_nanos() != 0 {
        Err(ValueError::TooFine)
    } else {
        Ok(duration)
    }
}

/// As [`duration`] reads it.
pub(crate) fn duration_text(duration: Duration) -> String {
    jiff::fmt::friendly::SpanPrinter::new().unsigned_duration_to_string(&duration)
}

/// Bytes with their unit, decimal (`500MB`) or binary (`4GiB`). More than 64 bits hold counts as [`u64::MAX`].
pub(crate) fn bytes(text: &str) -> Result<u64, ValueError> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    number(&text[..text.len() - unit.len()])?;
    match unit.trim() {
        "" => Err(ValueError::NoUnit),
        unit if unit.parse::<bytesize::Unit>().is_err() => Err(ValueError::UnknownUnit),
        _ => text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| ValueError::NotANumber),
    }
}

/// As [`bytes`] reads it, exactly: in the largest unit that divides it.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [(u64, &str); 8] = [
        (bytesize::TIB, "TiB"),
        (bytesize::TB, "TB"),
        (bytesize::GIB, "GiB"),
        (bytesize::GB, "GB"),
        (bytesize::MIB, "MiB"),
        (bytesize::MB, "MB"),
        (bytesize::KIB, "KiB"),
        (bytesize::KB, "kB"),
    ];
    match UNITS.iter().find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// Bytes per second, at least `least`: `10MB/s`. A small `b` is refused, because it usually means bits.
pub(crate) fn speed(text: &str, least: u64) -> Result<u64, ValueError> {
    let text = text.trim();
    let size = text.strip_suffix("/s").ok_or(ValueError::NoUnit)?;
    if size.ends_with('b') {
        return Err(ValueError::UnknownUnit);
    }
    bytes(size).and_then(|speed| if speed < least { Err(ValueError::OutOfRange) } else { Ok(speed) })
}

/// As [`speed`] reads it.
pub(crate) fn speed_text(speed: u64) -> String {
    bytes_text(speed) + "/s"
}

/// Whole watt-hours between these two, with their unit: `500Wh`, `1.5kWh`.
pub(crate) fn energy(text: &str, least: u32, most: u32) -> Result<u32, ValueError> {
    let text = text.trim();
    let (figure, factor) = match (text.strip_suffix("kWh"), text.strip_suffix("Wh")) {
        (Some(figure), _) => (figure, 1000.0),
        (None, Some(figure)) => (figure, 1.0),
        (None, None) if number(text).is_ok() => return Err(ValueError::NoUnit),
        (None, None) => return Err(ValueError::UnknownUnit),
    };
    let exact = number(figure)? * factor;
    let whole = exact.round();
    if !(f64::from(least)..=f64::from(most)).contains(&whole) {
        Err(ValueError::OutOfRange)
    } else if (whole - exact).abs() > 1e-6 {
        Err(ValueError::TooFine)
    } else {
        Ok(whole as u32)
    }
}

/// As [`energy`] reads it.
pub(crate) fn energy_text(watt_hours: u32) -> String {
    if watt_hours.is_multiple_of(1000) { format!("{}kWh", watt_hours / 1000) } else { format!("{watt_hours}Wh") }
}

/// `true` or `false`.
pub(crate) fn flag(text: &str) -> Result<bool, ValueError> {
    text.trim().parse().map_err(|_| ValueError::UnknownWord)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("25", Ok(250))]
    #[case(" 25 % ", Ok(250))]
    #[case("12.5%", Ok(125))]
    #[case("100", Ok(1000))]
    #[case("1", Ok(10))]
    #[case("0.9", Err(ValueError::OutOfRange))]
    #[case("100.1", Err(ValueError::OutOfRange))]
    #[case("-3", Err(ValueError::OutOfRange))]
    #[case("99999999999999999999999999", Err(ValueError::OutOfRange))]
    #[case("12.55", Err(ValueError::TooFine))]
    #[case("25%%", Err(ValueError::NotANumber))]
    #[case("1e1", Err(ValueError::NotANumber))]
    #[case("NaN", Err(ValueError::NotANumber))]
    #[case("%", Err(ValueError::NotANumber))]
    #[case("", Err(ValueError::NotANumber))]
    fn percentages(#[case] text: &str, #[case] expected: Result<u16, ValueError>) {
        assert_eq!(percent(text, 1).map(Share::per_mille), expected);
    }

    #[rstest]
    #[case("90s", Ok(90))]
    #[case(" 3m ", Ok(180))]
    #[case("1h 30m", Ok(5400))]
    #[case("10 minutes", Ok(600))]
    #[case("24h", Ok(86_400))]
    #[case("24h 1s", Err(ValueError::OutOfRange))]
    #[case("0s", Err(ValueError::OutOfRange))]
    #[case("1.5s", Err(ValueError::TooFine))]
    #[case("180", Err(ValueError::NoUnit))]
    #[case("-3m", Err(ValueError::NotADuration))]
    #[case("soon", Err(ValueError::NotADuration))]
    #[case("", Err(ValueError::NotADuration))]
    fn durations(#[case] text: &str, #[case] expected: Result<u64, ValueError>) {
        let duration = duration(text, Duration::from_secs(1), Duration::from_secs(86_400));
        assert_eq!(duration.map(|duration| duration.as_secs()), expected);
    }

    #[rstest]
    #[case("10MB/s", Ok(10_000_000))]
    #[case("1 KiB/s", Ok(1024))]
    #[case("999B/s", Err(ValueError::OutOfRange))]
    #[case("10MB", Err(ValueError::NoUnit))]
    #[case("10/s", Err(ValueError::NoUnit))]
    #[case("10Mb/s", Err(ValueError::UnknownUnit))]
    #[case("10Mbit/s", Err(ValueError::UnknownUnit))]
    fn speeds(#[case] text: &str, #[case] expected: Result<u64, ValueError>) {
        assert_eq!(speed(text, 1000), expected);
    }

    #[rstest]
    #[case("500Wh", Ok(500))]
    #[case(" 1.5 kWh ", Ok(1500))]
    #[case("100kWh", Ok(100_000))]
    #[case("100.001kWh", Err(ValueError::OutOfRange))]
    #[case("0Wh", Err(ValueError::OutOfRange))]
    #[case("-1kWh", Err(ValueError::OutOfRange))]
    #[case("0.0015kWh", Err(ValueError::TooFine))]
    #[case("500", Err(ValueError::NoUnit))]
    #[case("500kJ", Err(ValueError::UnknownUnit))]
    #[case("kWh", Err(ValueError::NotANumber))]
    fn energies(#[case] text: &str, #[case] expected: Result<u32, ValueError>) {
        assert_eq!(energy(text, 1, 100_000), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: u64, unit in 0..63_u32, seconds in 1..=86_400_u64, thousandths in 10..=1000_u16) {
            let round = bytes >> unit << unit;
            prop_assert_eq!(super::bytes(&bytes_text(bytes)), Ok(bytes));
            prop_assert_eq!(super::bytes(&bytes_text(round)), Ok(round));
            let time = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&duration_text(time), Duration::ZERO, Duration::MAX), Ok(time));
            let share = Share::from_per_mille(thousandths);
            prop_assert_eq!(percent(&percent_text(share), 1), Ok(share));
        }
    }
}
