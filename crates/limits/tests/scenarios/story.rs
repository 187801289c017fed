//! A scenario file: what happens to a machine over time, and what the allowance must be meanwhile.

use gogrid_limits::{Limits, Machine, Preset, State};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

pub(crate) const GIB: u64 = 1 << 30;

/// The file. Times are seconds of virtual time since the start, shares are percent, memory is GiB.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Story {
    /// What the scenario is for, in one sentence.
    pub(crate) intent: String,
    preset: Name,
    /// What differs from the preset: keys and values as in the settings.
    #[serde(default)]
    limits: BTreeMap<String, serde_json::Value>,
    /// Whether the machine has a GPU (of 8 GiB) to lend.
    #[serde(default = "yes")]
    pub(crate) gpu: bool,
    /// Virtual time between two samples.
    #[serde(default = "tenth")]
    pub(crate) step: f64,
    /// The wall clock at the start, in local time, which is UTC.
    #[serde(default = "afternoon")]
    pub(crate) start: jiff::civil::DateTime,
    /// What happens, one after the other.
    pub(crate) load: Vec<Segment>,
    /// What must hold; they may overlap.
    pub(crate) expect: Vec<Expect>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Quiet,
    Balanced,
    Full,
}

/// A while in which the machine shows the same. What is not named is calm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Segment {
    #[serde(rename = "for")]
    pub(crate) seconds: f64,
    /// How often the whole segment alternates with as much calm; 1 unless said.
    #[serde(default = "one")]
    pub(crate) times: u32,
    /// Other programs' CPU load.
    #[serde(default)]
    pub(crate) cpu: f32,
    /// By how much that load goes up and down from sample to sample.
    #[serde(default)]
    pub(crate) noise: f32,
    /// Other programs' GPU load.
    #[serde(default)]
    pub(crate) gpu: f32,
    /// Seconds between two key strokes.
    pub(crate) input_every: Option<f64>,
    #[serde(default = "cool")]
    pub(crate) celsius: f32,
    /// Charge of the battery that is being drained.
    pub(crate) battery: Option<f32>,
    #[serde(default)]
    pub(crate) full_screen: bool,
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    /// Main memory of other programs.
    #[serde(default = "four")]
    pub(crate) memory_others: f64,
    /// Part of the time in which some program waits for memory.
    #[serde(default)]
    pub(crate) pressure: f32,
    /// GPU memory of other programs.
    #[serde(default = "half")]
    pub(crate) gpu_memory_others: f64,
    /// Signals that fail; `all` of them.
    #[serde(default)]
    pub(crate) unknown: Vec<String>,
    /// Signals that the machine does not have.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// The machine sleeps: no samples, but time goes on.
    #[serde(default)]
    pub(crate) asleep: bool,
    /// Seconds by which the wall clock is moved when the segment begins.
    #[serde(default)]
    pub(crate) clock: i64,
    /// The donor changes settings when the segment begins.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, serde_json::Value>,
}

/// What must hold in `from ≤ t < to`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) cpu: Option<Band>,
    pub(crate) gpu: Option<Band>,
    pub(crate) memory: Option<Band>,
    pub(crate) gpu_memory: Option<Band>,
    pub(crate) reason: Option<String>,
    pub(crate) says: Option<String>,
    pub(crate) state: Option<State>,
    /// How often the shares change.
    pub(crate) changes: Option<Band>,
}

/// One value, or the least and the most.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Band {
    Exactly(f64),
    Between(f64, f64),
}

impl Band {
    pub(crate) fn has(self, value: f64) -> bool {
        // A millionth of a unit of tolerance for sums of floating-point numbers.
        let (least, most) = match self {
            Self::Exactly(value) => (value, value),
            Self::Between(least, most) => (least, most),
        };
        (least - 1e-6..=most + 1e-6).contains(&value)
    }
}

impl std::fmt::Display for Band {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(value) => write!(f, "{value}"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
        }
    }
}

impl Story {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::of(match self.preset {
            Name::Quiet => Preset::Quiet,
            Name::Balanced => Preset::Balanced,
            Name::Full => Preset::Full,
        });
        apply(&mut limits, &self.limits);
        limits
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine { cores: 8, memory: 16 * GIB, gpu_memory: self.gpu.then_some(8 * GIB) }
    }
}

/// Sets what the file says, as the command line would.
pub(crate) fn apply(limits: &mut Limits, settings: &BTreeMap<String, serde_json::Value>) {
    for (key, value) in settings {
        let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
        limits.set(key, &text).unwrap_or_else(|e| panic!("{key} = {text}: {e}"));
    }
}

fn yes() -> bool {
    true
}
fn one() -> u32 {
    1
}
fn tenth() -> f64 {
    0.1
}
fn cool() -> f32 {
    45.0
}
fn four() -> f64 {
    4.0
}
fn half() -> f64 {
    0.5
}
fn afternoon() -> jiff::civil::DateTime {
    jiff::civil::date(2026, 11, 25).at(14, 0, 0, 0)
}
