//! What a worker records: charts, the timeline of reasons, and the work of each day.

use crate::State;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// How far back charts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// 60 seconds, a point each.
    Minute,
    /// 10 minutes, a point every 5 seconds.
    TenMinutes,
    /// 24 hours, a point every 5 minutes.
    Day,
}

/// The points of a chart, oldest first, `step_ms` apart. There are none for times at which the worker did not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct History {
    /// Milliseconds between points.
    pub step_ms: u32,
    /// The points.
    pub points: Vec<Point>,
}

/// Means over one step. Loads are parts of the whole device, between 0 and 1; memory is in bytes. Null: not known, or
/// no GPU is lent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Point {
    /// The end of the step, in milliseconds since 1970.
    #[ts(type = "number")]
    pub at_ms: u64,
    /// The worker's part of all cores' time.
    pub cpu: Option<f32>,
    /// Everything else's.
    pub cpu_others: Option<f32>,
    /// The donor's limit.
    pub cpu_limit: f32,
    /// The worker's part of the GPU's time.
    pub gpu: Option<f32>,
    /// Everything else's.
    pub gpu_others: Option<f32>,
    /// The donor's limit.
    pub gpu_limit: Option<f32>,
    /// The worker's memory: GPU memory if a GPU is lent, otherwise main memory.
    #[ts(type = "number | null")]
    pub memory: Option<u64>,
    /// Everything else's.
    #[ts(type = "number | null")]
    pub memory_others: Option<u64>,
    /// The donor's limit.
    #[ts(type = "number | null")]
    pub memory_limit: Option<u64>,
    /// Rows computed per second.
    pub tokens_per_second: f32,
}

/// An entry of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Event {
    /// In milliseconds since 1970.
    #[ts(type = "number")]
    pub at_ms: u64,
    /// What happened.
    pub what: EventKind,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventKind {
    /// The allowance changed.
    Allowance {
        /// What the worker does from now on: `working` (all of the limits), `throttled`, `stopped` or `paused`.
        state: State,
        /// Of all cores, in thousandths.
        cpu: u16,
        /// Of the GPU, in thousandths; null where none is lent.
        gpu: Option<u16>,
        /// The reason's kind, as in [`gogrid_limits::Reason`].
        kind: String,
        /// The reason, in a sentence.
        reason: String,
    },
    /// A stage is loaded.
    Loaded {
        /// The model's name.
        model: String,
        /// First layer, and the one after the last.
        layers: [u32; 2],
        /// How long it took.
        seconds: f64,
    },
    /// A stage is unloaded.
    Unloaded {
        /// The model's name.
        model: String,
        /// First layer, and the one after the last.
        layers: [u32; 2],
    },
    /// The coordinator is connected.
    Connected,
    /// The connection is lost.
    Disconnected,
    /// The machine became a member of a grid.
    Joined,
    /// The machine left its grid.
    Left,
    /// The coordinator revoked the machine.
    Revoked {
        /// Why, in the coordinator's words.
        reason: String,
    },
    /// The file of the limits could not be used, so the preset's apply.
    LimitsReset {
        /// What was wrong with it.
        reason: String,
        /// Where the file was moved to.
        kept: String,
    },
}

/// The work of a day, in the donor's time zone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// As in `2026-11-25`.
    pub date: String,
    /// Rows computed: every token of every stage here counts once.
    #[ts(type = "number")]
    pub tokens: u64,
    /// Seconds in which something was computed.
    pub active_seconds: f64,
    /// Estimated energy of that work, in watt-hours.
    pub energy_wh: f64,
}

/// What the machine has given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Days {
    /// Days with work, oldest first; at most the last 400.
    pub days: Vec<Day>,
    /// How the energy is estimated, for people.
    pub method: String,
}
