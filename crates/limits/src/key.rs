//! The limits' keys: one table that settings files, the command line and the page all work from.

mod spec;
mod table;
#[cfg(test)]
mod tests;

pub use spec::{KeySpec, PresetValues};
pub(crate) use table::KEYS;

use crate::{Limits, SignalKind, value::ValueError};
use serde::Serialize;
use ts_rs::TS;

/// Goes back to the preset's value.
pub(crate) const DEFAULT: &str = "default";

/// One limit's name in settings, its values, and how to read and write them.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As on the command line and in the settings file.
    pub name: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// The values that it takes, for people.
    pub range: &'static str,
    /// The values that it takes.
    pub values: ValueKind,
    /// The word that turns the rule off or lifts the limit; `None` where no word does.
    pub off: Option<&'static str>,
    /// How a policy bounds it; `None`: the donor alone decides.
    pub bound_kind: Option<BoundKind>,
    pub(crate) get: fn(&Limits) -> String,
    pub(crate) set: fn(&mut Limits, &str) -> Result<(), ValueError>,
}

/// What the values of a key are, with their range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ValueKind {
    /// A share of a device's time, in percent, at most 100.
    Percent {
        /// The smallest.
        least: u8,
    },
    /// A whole number.
    Count {
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// Bytes, or a share of a total.
    Amount {
        /// The total.
        of: Total,
    },
    /// Bytes per second.
    Speed {
        /// The smallest.
        #[ts(type = "number")]
        least: u64,
    },
    /// Whole seconds.
    Duration {
        /// The shortest.
        #[ts(type = "number")]
        least: u64,
        /// The longest.
        #[ts(type = "number")]
        most: u64,
    },
    /// Whole watt-hours.
    Energy {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// Whole degrees Celsius.
    Celsius {
        /// The lowest.
        least: u32,
        /// The highest.
        most: u32,
    },
    /// `true` or `false`.
    Flag,
    /// One of some words.
    Word {
        /// All of them.
        #[ts(type = "readonly string[]")]
        words: &'static [&'static str],
    },
    /// Hours of the week.
    Hours,
    /// Names of programs.
    Programs {
        /// The longest list.
        most: u32,
    },
    /// The donor's pause: `on`, or the instant at which it ends.
    Pause,
}

/// How a policy bounds a key. A policy may write `fixed` for the other two as well: the bound is then also the donor's
/// first value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum BoundKind {
    /// The bound is the largest value: less is stricter.
    Most,
    /// The bound is the smallest value: more is stricter.
    Least,
    /// The key has words or a flag, which have an order of their own.
    Fixed,
}

/// What an amount is a share of. The names are those of the page's `Machine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Total {
    /// The memory of the GPU that is lent.
    GpuMemory,
    /// Main memory.
    Memory,
    /// The disk that holds the weights.
    Disk,
}

/// How TOML writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TomlKind {
    /// Text.
    Text,
    /// A number without its unit; text where it is a word.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
}

impl ValueKind {
    pub(crate) const fn toml(self) -> TomlKind {
        match self {
            Self::Percent { .. } | Self::Count { .. } | Self::Celsius { .. } => TomlKind::Number,
            Self::Flag => TomlKind::Flag,
            Self::Hours | Self::Programs { .. } => TomlKind::List,
            Self::Amount { .. }
            | Self::Speed { .. }
            | Self::Duration { .. }
            | Self::Energy { .. }
            | Self::Word { .. }
            | Self::Pause => TomlKind::Text,
        }
    }
}

impl Key {
    /// Its value, as `set` takes it.
    pub fn value(&self, limits: &Limits) -> String {
        (self.get)(limits)
    }

    /// Whether its value is not the preset's.
    pub fn is_changed(&self, limits: &Limits) -> bool {
        self.value(limits) != self.value(&Limits::of(limits.preset))
    }

    /// The signal that its rule needs while it is on.
    pub fn signal(&self) -> Option<SignalKind> {
        SignalKind::ALL.into_iter().find(|signal| signal.key() == self.name)
    }
}
