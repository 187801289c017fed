//! A sample of the machine. Taken by `gogrid-probe`, read by the governor.

use crate::SignalKind;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use ts_rs::TS;

/// A value that was read, or why it could not be. Never a zero for "unknown".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Signal<T> {
    /// The value.
    Known(T),
    /// It could be read and fails now, for this reason; for people.
    Unknown(String),
    /// This machine has nothing to read it from: no sensor, or a system that does not tell. For people.
    Absent(String),
}

impl<T> Signal<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) | Self::Absent(_) => None,
        }
    }

    /// The value, or why it cannot be read.
    pub fn into_result(self) -> Result<T, String> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Unknown(reason) | Self::Absent(reason) => Err(reason),
        }
    }

    /// Unknown, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }

    /// Not on this machine, for this reason.
    pub fn absent(reason: impl Into<String>) -> Self {
        Self::Absent(reason.into())
    }

    /// Why it cannot be read, now or ever; `None` if it is known.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(reason) | Self::Absent(reason) => Some(reason),
        }
    }

    /// Why this machine cannot tell it; `None` if it can, whether or not it does now.
    pub fn why_absent(&self) -> Option<&str> {
        match self {
            Self::Absent(reason) => Some(reason),
            Self::Known(_) | Self::Unknown(_) => None,
        }
    }

    /// The same signal of something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Signal<U> {
        match self {
            Self::Known(value) => Signal::Known(f(value)),
            Self::Unknown(reason) => Signal::Unknown(reason),
            Self::Absent(reason) => Signal::Absent(reason),
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
    #[ts(type = "{ known: { secs: number; nanos: number } } | { unknown: string } | { absent: string }")]
    pub user_idle: Signal<Duration>,
    /// Whether the window in front covers the screen.
    pub full_screen: Signal<bool>,
    /// The programs to stop for that are running, by name.
    pub programs: Signal<Vec<String>>,
}

impl Sample {
    /// Why this machine cannot tell a signal at all; `None` if it can, or if no device that is lent needs it.
    ///
    /// The temperature is that of the CPU and of the GPU that is lent: one of them is enough to have it.
    pub fn why_absent(&self, signal: SignalKind) -> Option<&str> {
        match signal {
            SignalKind::UserIdle => self.user_idle.why_absent(),
            SignalKind::CpuLoad => self.cpu.why_absent(),
            SignalKind::GpuLoad => self.of_gpu(|gpu| gpu.load.why_absent())?,
            SignalKind::Temperature => {
                let cpu = self.cpu_celsius.why_absent()?;
                self.of_gpu(|gpu| gpu.celsius.why_absent()).unwrap_or(Some(cpu))
            }
            SignalKind::Power => self.power.why_absent(),
            SignalKind::FullScreen => self.full_screen.why_absent(),
            SignalKind::Programs => self.programs.why_absent(),
        }
    }

    /// Why a signal of the GPU is absent; the outer `None` if no GPU is lent.
    fn of_gpu<'a>(&'a self, of: impl FnOnce(&'a Gpu) -> Option<&'a str>) -> Option<Option<&'a str>> {
        self.gpu.as_ref().map(|gpu| gpu.known().map_or(gpu.why_absent(), of))
    }
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
