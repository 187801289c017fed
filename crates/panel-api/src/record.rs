//! What a worker records: charts, the timeline of reasons, and the work of each day.

use crate::{EnergyFigures, State};
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
    /// The points. If steps are long, the last one is of the step under way.
    pub points: Vec<Point>,
    /// Times without points because the worker did not run, oldest first. Times in which the machine slept are not
    /// among them.
    #[serde(default)]
    pub gaps: Vec<Gap>,
}

/// A time in which the worker did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Gap {
    /// Its begin, in milliseconds since 1970. After an unexpected end, the worker may have run for up to five minutes
    /// more.
    #[ts(type = "number")]
    pub from_ms: u64,
    /// Its end.
    #[ts(type = "number")]
    pub to_ms: u64,
    /// Whether it began with an end that nobody asked for.
    pub unexpected: bool,
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
    /// What the worker was allowed of all cores' time: the donor's limit or less.
    #[serde(default)]
    pub cpu_allowed: Option<f32>,
    /// What it was allowed of the GPU's time.
    #[serde(default)]
    pub gpu_allowed: Option<f32>,
    /// What it was allowed of that memory.
    #[serde(default)]
    #[ts(type = "number | null")]
    pub memory_allowed: Option<u64>,
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
    /// The worker started.
    Started,
    /// The worker ended, as it was told to or because of a problem.
    Ended {
        /// The problem; null if it was told to end.
        problem: Option<String>,
    },
    /// The worker ended without a word, as when it is killed or the power fails. Found at the next start; the time is
    /// that at which it was last seen.
    EndedUnexpectedly,
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
    /// Energy of that work beyond that of a machine at rest, in watt-hours; partly or wholly estimated.
    pub energy_wh: f64,
    /// The part of it that meters told.
    #[serde(default)]
    pub metered_wh: f64,
    /// Seconds in which the worker ran, with work or without.
    #[serde(default)]
    pub running_seconds: f64,
}

/// What the machine has given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Days {
    /// Days on which the worker ran, oldest first; at most the last 400.
    pub days: Vec<Day>,
    /// How the energy is measured or estimated, for people.
    pub method: String,
    /// What the donor says of energy and its price.
    #[serde(default)]
    pub figures: EnergyFigures,
    /// What the devices with a meter draw at rest, in watts; null without one, or before a quiet moment.
    #[serde(default)]
    pub rest_watts: Option<f32>,
}
