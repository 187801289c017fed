use std::time::Duration;

/// Digits of an id that tell workers apart.
const SHORT_ID: usize = 10;

/// The start of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// A part between 0 and 1.
pub(super) fn percent(part: f32) -> String {
    format!("{:.1} %", part * 100.0)
}

/// `1 session`, `2 sessions`.
pub(super) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A time span in its largest unit.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 s")]
    #[case(59, "59 s")]
    #[case(60, "1 min")]
    #[case(3600, "1 h")]
    #[case(200_000, "55 h")]
    fn a_span_is_told_in_its_largest_unit(#[case] seconds: u64, #[case] says: &str) {
        assert_eq!(span(Duration::from_secs(seconds)), says);
    }
}
