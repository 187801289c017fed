use crate::{
    Share,
    value::{self, ValueError},
};
use std::{fmt, str::FromStr};

/// A number of bytes, or a part of what the machine has.
///
/// As text: bytes with a decimal or binary unit (`500MB`, `4GiB`, `0B`), or a percentage with exactly one sign (`60%`,
/// `12.5%`), blanks before the unit or the sign allowed. A bare number is refused: it could be either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Bytes(u64),
    /// So much of the whole.
    Part(Share),
}

impl Amount {
    /// In bytes, of a whole of `total` bytes. Never more than the whole.
    pub fn resolve(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.min(total),
            Self::Part(part) => part.of(total),
        }
    }
}

impl FromStr for Amount {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.trim().ends_with('%') {
            value::percent(text, 0).map(Self::Part)
        } else {
            value::bytes(text).map(Self::Bytes)
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Bytes(bytes) => value::bytes_text(*bytes),
            Self::Part(part) => value::percent_text(*part),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const SOME: u64 = 10_000_000_000;

    #[rstest]
    #[case("60%", SOME, 6_000_000_000, "60%")]
    #[case(" 12.5 % ", SOME, 1_250_000_000, "12.5%")]
    #[case("500MB", SOME, 500_000_000, "500MB")]
    #[case("4 GiB", SOME, 4 << 30, "4GiB")]
    #[case("1.5gib", SOME, 3 << 29, "1536MiB")]
    #[case("20GB", SOME, SOME, "20GB")]
    #[case("0B", SOME, 0, "0B")]
    #[case("0%", SOME, 0, "0%")]
    #[case("1B", SOME, 1, "1B")]
    #[case("1B", 0, 0, "1B")]
    #[case("99%", 1, 0, "99%")]
    #[case("100%", 1, 1, "100%")]
    #[case("100%", u64::MAX, u64::MAX, "100%")]
    #[case("50%", u64::MAX, u64::MAX / 2, "50%")]
    #[case("18446744073709551615B", u64::MAX, u64::MAX, "18446744073709551615B")]
    #[case("99999999EiB", u64::MAX, u64::MAX, "18446744073709551615B")]
    #[case("99999999999999999999B", 7, 7, "18446744073709551615B")]
    fn is_read_written_and_resolved(#[case] text: &str, #[case] total: u64, #[case] bytes: u64, #[case] written: &str) {
        let amount: Amount = text.parse().unwrap();
        assert_eq!(amount.resolve(total), bytes);
        assert_eq!(amount.to_string(), written);
        assert_eq!(written.parse(), Ok(amount));
    }

    #[rstest]
    #[case("60", ValueError::NoUnit)]
    #[case("0", ValueError::NoUnit)]
    #[case("", ValueError::NotANumber)]
    #[case("GiB", ValueError::NotANumber)]
    #[case("-1GiB", ValueError::NotANumber)]
    #[case("1.2.3GiB", ValueError::NotANumber)]
    #[case("1e3MB", ValueError::UnknownUnit)]
    #[case("4 gallons", ValueError::UnknownUnit)]
    #[case("4\u{b5}B", ValueError::UnknownUnit)]
    #[case("101%", ValueError::OutOfRange)]
    #[case("60%%", ValueError::NotANumber)]
    #[case("60.05%", ValueError::TooFine)]
    fn anything_else_is_refused(#[case] text: &str, #[case] problem: ValueError) {
        assert_eq!(text.parse::<Amount>(), Err(problem));
    }
}
