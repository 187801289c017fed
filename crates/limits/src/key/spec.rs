use super::{BoundKind, Key, ValueKind};
use crate::{Limits, Preset, SignalKind};
use serde::Serialize;
use ts_rs::TS;

/// A key as the page needs it: what it takes and which of two values is stricter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct KeySpec {
    /// What it does, in a line.
    pub help: &'static str,
    /// The values that it takes, for people.
    pub range: &'static str,
    /// The values that it takes.
    pub values: ValueKind,
    /// The word that turns the rule off or lifts the limit; null where no word does.
    pub off: Option<&'static str>,
    /// Which of two values is stricter; null where the donor alone decides.
    pub bound: Option<BoundKind>,
    /// The value that lends most: as a bound it leaves every choice. Null where the donor alone decides.
    pub laxest: Option<String>,
    /// The signal that the rule needs while it is on.
    pub signal: Option<SignalKind>,
    /// The value of each preset.
    pub presets: PresetValues,
}

/// A key's value in each preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct PresetValues {
    /// In `quiet`.
    pub quiet: String,
    /// In `balanced`.
    pub balanced: String,
    /// In `full`.
    pub full: String,
}

impl Key {
    /// What the page needs to know of it.
    pub fn spec(&self) -> KeySpec {
        let of = |preset| self.value(&Limits::of(preset));
        KeySpec {
            help: self.help,
            range: self.range,
            values: self.values,
            off: self.off,
            bound: self.bound_kind,
            laxest: self.bound_kind.map(|_| self.value(&Limits::laxest())),
            signal: self.signal(),
            presets: PresetValues { quiet: of(Preset::Quiet), balanced: of(Preset::Balanced), full: of(Preset::Full) },
        }
    }
}
