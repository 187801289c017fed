use crate::{
    Share,
    value::{self, ValueError},
};
use std::{fmt, str::FromStr};

/// A number of bytes, or a part of what the machine has.
///
/// As text: bytes with a decimal or binary unit (`500MB`, `4GiB`, `0B`), or a percentage with exactly one sign (`60%`,
/// `12.5%`), blanks before the unit or the sign allowed. A bare number is refused: it could be either. Both together
/// are `60% up to 4GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// A number of bytes.
    Bytes(u64),
    /// A share of the whole.
    Part(Share),
    /// A share of the whole, and at most a number of bytes. Results from a donor's limit in one unit and a policy's bound
    /// in the other; the machine's total decides which of them is less.
    Least {
        /// Of the whole.
        part: Share,
        /// At most.
        bytes: u64,
    },
}

impl Amount {
    /// All of it.
    pub const ALL: Self = Self::Part(Share::FULL);

    /// In bytes, of a whole of `total` bytes. Never more than the whole.
    pub fn resolve(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.min(total),
            Self::Part(part) => part.of(total),
            Self::Least { part, bytes } => part.of(total).min(bytes),
        }
    }

    /// The smaller of both, for every total.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let ((part, bytes), (other_part, other_bytes)) = (self.bounds(), other.bounds());
        let part = part.into_iter().chain(other_part).min();
        match (part, bytes.into_iter().chain(other_bytes).min()) {
            (Some(part), Some(bytes)) if part < Share::FULL => Self::Least { part, bytes },
            (_, Some(bytes)) => Self::Bytes(bytes),
            (part, None) => Self::Part(part.unwrap_or(Share::FULL)),
        }
    }

    /// Whether it is more than `bound`. If the total is unknown, shares are compared with shares and bytes with bytes; a
    /// share is then never more than bytes, or the other way round.
    pub fn exceeds(self, bound: Self, total: Option<u64>) -> bool {
        if let Some(total) = total {
            return self.resolve(total) > bound.resolve(total);
        }
        let ((part, bytes), (most_part, most_bytes)) = (self.bounds(), bound.bounds());
        part.zip(most_part).is_some_and(|(part, most)| part > most)
            || bytes.zip(most_bytes).is_some_and(|(bytes, most)| bytes > most)
    }

    /// This amount with one bound: of two, the one that decides on a machine with this total.
    #[must_use]
    pub fn on(self, total: Option<u64>) -> Self {
        match (self, total) {
            (Self::Least { part, bytes }, Some(total)) if bytes <= part.of(total) => Self::Bytes(bytes),
            (Self::Least { part, .. }, Some(_)) => Self::Part(part),
            _ => self,
        }
    }

    fn bounds(self) -> (Option<Share>, Option<u64>) {
        match self {
            Self::Bytes(bytes) => (None, Some(bytes)),
            Self::Part(part) => (Some(part), None),
            Self::Least { part, bytes } => (Some(part), Some(bytes)),
        }
    }
}

/// Joins the share and the bytes of [`Amount::Least`] in its text.
const UP_TO: &str = " up to ";

impl FromStr for Amount {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some((part, bytes)) = text.split_once(UP_TO) {
            let part = value::percent(part, 0).map(Self::Part)?;
            Ok(part.stricter(Self::Bytes(value::bytes(bytes)?)))
        } else if text.trim().ends_with('%') {
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
            Self::Least { part, bytes } => value::percent_text(*part) + UP_TO + &value::bytes_text(*bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::amount;
    use proptest::prelude::*;
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
    #[case("60% up to 4 GiB", SOME, 4 << 30, "60% up to 4GiB")]
    #[case("60 % up to 4GiB", 1000, 600, "60% up to 4GiB")]
    #[case("100% up to 4GiB", SOME, 4 << 30, "4GiB")]
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
    #[case("4GiB up to 60%", ValueError::NotANumber)]
    #[case("60% up to 4", ValueError::NoUnit)]
    #[case("60% up to ", ValueError::NotANumber)]
    fn anything_else_is_refused(#[case] text: &str, #[case] problem: ValueError) {
        assert_eq!(text.parse::<Amount>(), Err(problem));
    }

    #[test]
    fn of_two_bounds_the_total_tells_which_decides() {
        let both: Amount = "50% up to 4GiB".parse().unwrap();
        assert_eq!(both.on(Some(6 << 30)), Amount::Part(Share::from_percent(50)));
        assert_eq!(both.on(Some(16 << 30)), Amount::Bytes(4 << 30));
        assert_eq!(both.on(None), both);
        assert_eq!(Amount::Bytes(1).on(Some(0)), Amount::Bytes(1));
    }

    #[rstest]
    #[case("6GiB", "50%", Some(8 << 30), true)]
    #[case("6GiB", "50%", Some(16 << 30), false)]
    #[case("60%", "4GiB", Some(8 << 30), true)]
    #[case("60%", "50%", None, true)]
    #[case("40%", "50%", None, false)]
    #[case("5GiB", "50% up to 4GiB", None, true)]
    #[case("5GiB", "50%", None, false)]
    fn is_compared_by_what_is_known(
        #[case] amount: &str,
        #[case] bound: &str,
        #[case] total: Option<u64>,
        #[case] exceeds: bool,
    ) {
        assert_eq!(amount.parse::<Amount>().unwrap().exceeds(bound.parse().unwrap(), total), exceeds);
    }

    proptest! {
        #[test]
        fn the_stricter_of_two_is_the_less_of_any_total(a in amount(), b in amount(), total in any::<u64>(), unit in 0..64_u32) {
            let total = total >> unit;
            let least = a.stricter(b);
            prop_assert_eq!(least.resolve(total), a.resolve(total).min(b.resolve(total)));
            prop_assert_eq!(least.on(Some(total)).resolve(total), least.resolve(total));
            prop_assert_eq!(least.stricter(b), least);
            prop_assert_eq!(b.stricter(a), least);
            prop_assert!(!least.exceeds(a, Some(total)) && !least.exceeds(b, None));
        }
    }
}
