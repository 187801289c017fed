use serde::{Deserialize, Serialize};
use std::fmt;
use ts_rs::TS;

/// A part of a device's time or memory, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, TS)]
#[serde(transparent)]
pub struct Share(u16);

impl Share {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const FULL: Self = Self(1000);

    /// From thousandths; more than 1000 counts as 1000.
    pub const fn from_per_mille(thousandths: u16) -> Self {
        Self(if thousandths > 1000 { 1000 } else { thousandths })
    }

    /// From percent; more than 100 counts as 100.
    pub const fn from_percent(percent: u8) -> Self {
        Self::from_per_mille(percent as u16 * 10)
    }

    /// In thousandths.
    pub const fn per_mille(self) -> u16 {
        self.0
    }

    /// Between 0 and 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This part of a number of bytes, rounded down.
    pub fn of(self, bytes: u64) -> u64 {
        (u128::from(bytes) * u128::from(self.0) / 1000) as u64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (percent, 0) => write!(f, "{percent} %"),
            (percent, tenths) => write!(f, "{percent}.{tenths} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_bytes_do_not_overflow_and_percents_read_well() {
        assert_eq!(Share::FULL.of(u64::MAX), u64::MAX);
        assert_eq!(Share::from_percent(50).of(7), 3);
        assert_eq!(Share::from_percent(200), Share::FULL);
        assert_eq!(Share::from_percent(25).to_string(), "25 %");
        assert_eq!(Share::from_per_mille(125).to_string(), "12.5 %");
    }
}
