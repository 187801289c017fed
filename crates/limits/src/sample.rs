//! A sample of the machine. Taken by `gogrid-probe`, read by the governor.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use ts_rs::TS;

/// A value that was read, or why it could not be. Never a zero for "unknown".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Signal<T> {
    /// The value.
    Known(T),
    /// It cannot be read, for this reason; for people.
    Unknown(String),
}

impl<T> Signal<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// The value, or why it is unknown.
    pub fn into_result(self) -> Result<T, String> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Unknown(reason) => Err(reason),
        }
    }

    /// Unknown, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }

    /// The same signal of something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Signal<U> {
        match self {
            Self::Known(value) => Signal::Known(f(value)),
            Self::Unknown(reason) => Signal::Unknown(reason),
        }
    }
}

/// One sample of the machine. Loads are means since the sample before, between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Sample {
    /// CPU time, as a part of all cores.
    pub cpu: Signal<Load>,
    /// Main memory.
    pub memory: Signal<Memory>,
    /// The GPU that the worker lends; `None` if it lends none, and no GPU rule applies.
    pub gpu: Option<Signal<Gpu>>,
    /// The hottest CPU sensor, in °C.
    pub cpu_celsius: Signal<f32>,
    /// What the processors draw by their own meter, in watts.
    pub cpu_watts: Signal<f32>,
    /// Where the machine's power comes from.
    pub power: Signal<Power>,
    /// Time since the last key or pointer event.
    #[ts(type = "{ known: { secs: number; nanos: number } } | { unknown: string }")]
    pub user_idle: Signal<Duration>,
    /// Whether the window in front covers the screen.
    pub full_screen: Signal<bool>,
    /// The programs to stop for that are running, by name.
    pub programs: Signal<Vec<String>>,
}

/// A device's load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct Load {
    /// Of all processes together.
    pub total: f32,
    /// Of this worker's process.
    pub own: f32,
}

impl Load {
    /// Of everything else.
    pub fn others(&self) -> f32 {
        (self.total - self.own).clamp(0.0, 1.0)
    }
}

/// Main memory, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Memory {
    /// Installed.
    #[ts(type = "number")]
    pub total: u64,
    /// What programs can still get without swapping.
    #[ts(type = "number")]
    pub available: u64,
    /// Of this worker's process.
    #[ts(type = "number")]
    pub own: u64,
    /// Part of the time in which some process waited for memory (Linux: PSI `some`, 10 s mean), between 0 and 1.
    pub pressure: Signal<f32>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Gpu {
    /// Its load, ours and others'.
    pub load: Signal<Load>,
    /// Memory of the device, in bytes.
    #[ts(type = "number")]
    pub memory_total: u64,
    /// Memory in use by everybody, in bytes.
    #[ts(type = "number")]
    pub memory_used: u64,
    /// Memory in use by this worker's process, in bytes.
    #[ts(as = "Signal<f64>")]
    pub memory_own: Signal<u64>,
    /// Temperature in °C.
    pub celsius: Signal<f32>,
    /// Power draw in watts.
    pub watts: Signal<f32>,
    /// Whether other programs have it open, busy or not; `None` if the driver does not say. Not sent to the page.
    #[serde(skip)]
    #[ts(skip)]
    pub shared: Option<bool>,
}

/// Where power comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// The mains, or no battery that could run the machine (a desktop; a UPS or a mouse has a battery of its own).
    Mains,
    /// The machine's battery is being drained.
    Battery {
        /// Between 0 and 1.
        charge: f32,
    },
}
