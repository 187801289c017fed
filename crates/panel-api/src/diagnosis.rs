//! What a worker finds out about its machine on request.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Diagnosis {
    /// The worker's version.
    pub version: String,
    /// The operating system, for people.
    pub system: String,
    /// Processors and graphics cards.
    pub devices: Vec<Device>,
    /// Where the signals come from.
    pub signals: Vec<SignalSource>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Device {
    /// As `--device` spells it; null if no build can use it.
    pub device: Option<String>,
    /// Its name.
    pub name: String,
    /// What it has: cores, memory.
    pub detail: String,
    /// Whether it is the one that is lent.
    pub lent: bool,
    /// Why it cannot be lent; null if it can.
    pub why_not: Option<String>,
}

/// A signal of the machine, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SignalSource {
    /// Which: `user_idle`, `full_screen`, `power`, `temperature`, `cpu`, `memory`, `gpu`.
    pub signal: String,
    /// What it is read from; null if it cannot be read.
    pub source: Option<String>,
    /// Why it cannot be read.
    pub why_not: Option<String>,
    /// Whether a rule that is on needs it. If it cannot be read then, the user counts as present.
    pub needed: bool,
}

/// What the self-test measured: a few seconds of real work under the limits that hold now, and a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SelfTest {
    /// The CPU allowance during the test, between 0 and 1.
    pub cpu_allowed: f32,
    /// What the system counted for this process, between 0 and 1.
    pub cpu_taken: f32,
    /// How long the work ran, in seconds.
    pub seconds: f64,
    /// From the order to stop to the end of the last computation, in milliseconds.
    pub stopped_after_ms: f64,
}
