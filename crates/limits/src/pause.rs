use crate::value::ValueError;
use jiff::Timestamp;
use std::{fmt, str::FromStr};

/// The donor's pause. As text: `on`, or its end as an instant with its offset (`2026-11-25T14:30:00Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Until the donor resumes.
    Indefinitely,
    /// Until then at the latest.
    Until(Timestamp),
}

/// [`Pause::Indefinitely`] as text.
const INDEFINITELY: &str = "on";

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Indefinitely => f.write_str(INDEFINITELY),
            Self::Until(end) => end.fmt(f),
        }
    }
}

impl FromStr for Pause {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.trim() {
            INDEFINITELY => Ok(Self::Indefinitely),
            instant => instant.parse().map(Self::Until).map_err(|_| ValueError::NotAnInstant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("on", "on")]
    #[case(" 2026-11-25T14:30:00Z ", "2026-11-25T14:30:00Z")]
    #[case("2026-11-25 14:30:00+01:00", "2026-11-25T13:30:00Z")]
    fn is_read_and_written(#[case] text: &str, #[case] written: &str) {
        let pause: Pause = text.parse().unwrap();
        assert_eq!(pause.to_string(), written);
        assert_eq!(written.parse(), Ok(pause));
    }

    #[rstest]
    #[case("")]
    #[case("tomorrow")]
    #[case("2026-11-25T14:30:00")]
    #[case("2026-13-25T14:30:00Z")]
    fn an_end_that_is_no_instant_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Pause>(), Err(ValueError::NotAnInstant));
    }
}
