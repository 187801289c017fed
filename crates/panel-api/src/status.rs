//! A worker's live state. The field names are a contract: scripts read them.

use crate::{Day, Setting};
use gogrid_limits::{Allowance, Sample};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The worker, now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Status {
    /// Its key in hexadecimal.
    pub id: String,
    /// The machine's name.
    pub name: String,
    /// What computes, as `--device` spells it.
    pub device: String,
    /// What it does.
    pub state: State,
    /// Why, in a sentence.
    pub reason: String,
    /// Whether it pauses after the answers under way.
    pub pausing_after_answers: bool,
    /// Its connection to the coordinator; null before the machine has joined a grid.
    pub connection: Option<Connection>,
    /// What the grid says of itself; null before it has said anything, and if its coordinator is an older program.
    #[serde(default)]
    pub about: Option<GridAbout>,
    /// The grid that the machine left a moment ago and may go back to without a new code; null otherwise.
    #[serde(default)]
    pub left: Option<LeftGrid>,
    /// The totals of the machine.
    pub machine: Machine,
    /// What it may take now. `cpu` and `gpu` are in thousandths, memory in bytes.
    pub allowance: Allowance,
    /// What it uses now.
    pub usage: Usage,
    /// What the donor lends.
    pub limits: Vec<Setting>,
    /// Who manages this machine's settings; null if nobody does.
    pub managed_by: Option<String>,
    /// The last sample of the machine; null before the first.
    pub sample: Option<Sample>,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Sessions with a KV cache here, all stages together.
    pub sessions: u32,
    /// What it has done since it was started.
    pub contribution: Contribution,
    /// The work of today, in the donor's time zone.
    #[serde(default)]
    pub today: Day,
    /// The settings of the operating system that keep this program in the background.
    pub levers: Vec<LeverState>,
}

impl Status {
    /// Whether the coordinator is reached.
    pub fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.connected)
    }
}

/// A worker's state, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not a member of a grid: it waits for a join code.
    NotJoined,
    /// Connecting to the coordinator.
    Connecting,
    /// Nothing to compute.
    Idle,
    /// Computing, within the limits themselves.
    Working,
    /// Computing with less than the limits, for the reason given.
    Throttled,
    /// Not computing: a rule stopped it.
    Stopped,
    /// Not computing: the donor paused it.
    Paused,
}

/// The connection to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Connection {
    /// The coordinator's key in hexadecimal.
    pub coordinator: String,
    /// The grid's name, from its coordinator; empty before it is known.
    pub grid: String,
    /// Whether the link is up.
    pub connected: bool,
    /// Why not, if known.
    pub problem: Option<String>,
}

/// A grid, as its operator describes it. Texts are empty where they have not said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GridAbout {
    /// Who runs it.
    pub owner: String,
    /// Whom to ask.
    pub contact: String,
    /// What it is for.
    pub purpose: String,
    /// Its models and what they are for, a line each.
    pub models: Vec<String>,
    /// Answers that the whole grid has completed since midnight on the coordinator's clock.
    #[ts(type = "number")]
    pub answers_today: u64,
    /// Where programs reach its API; null if its coordinator is an older program.
    #[serde(default)]
    pub api: Option<GridApi>,
}

/// The grid's API, as this machine reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GridApi {
    /// Its base address; null if this machine does not reach it.
    pub url: Option<String>,
    /// Whether only programs on the coordinator's machine reach it.
    pub local: bool,
}

/// A grid that the machine left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LeftGrid {
    /// Its name; empty if it was never known.
    pub grid: String,
    /// Until when the machine may go back, in milliseconds since 1970.
    #[ts(type = "number")]
    pub until_ms: u64,
}

/// What a join code says before it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CodeDetails {
    /// The grid's name when the code was made; empty in codes of older programs.
    pub grid: String,
    /// The coordinator's key in hexadecimal.
    pub coordinator: String,
    /// The coordinator's addresses, with ports.
    pub addresses: Vec<String>,
}

/// The totals of which the limits are parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Machine {
    /// Logical cores.
    pub cores: u32,
    /// Main memory, in bytes.
    #[ts(type = "number | null")]
    pub memory: Option<u64>,
    /// The GPU that is lent.
    pub gpu_name: Option<String>,
    /// Its memory, in bytes.
    #[ts(type = "number | null")]
    pub gpu_memory: Option<u64>,
    /// The disk of the data folder, in bytes.
    #[ts(type = "number | null")]
    pub disk: Option<u64>,
}

/// What the worker uses; rates are over the last second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Usage {
    /// Part of all cores' time, between 0 and 1, as the system counts it for this process.
    pub cpu: f32,
    /// Part of the GPU's time, between 0 and 1, by our own accounting; null without a GPU.
    pub gpu: Option<f32>,
    /// Bytes reserved in the ledger.
    #[ts(type = "number")]
    pub ledger_bytes: u64,
    /// Of those, weights.
    #[ts(type = "number")]
    pub weights_bytes: u64,
    /// Of those, KV caches.
    #[ts(type = "number")]
    pub kv_bytes: u64,
    /// Of those, workspace, the device's runtime, and frames that wait between links and stages.
    #[ts(type = "number")]
    pub workspace_bytes: u64,
    /// The limit of the ledger, in bytes.
    #[ts(type = "number")]
    pub limit_bytes: u64,
    /// Rows computed per second: every token of every stage here.
    pub tokens_per_second: f32,
    /// The most answers that were computed at once in the last second: those rows are theirs.
    #[serde(default)]
    pub answers: u32,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Stage {
    /// The model's name.
    pub model: String,
    /// First layer, and the one after the last.
    pub layers: [u32; 2],
    /// Its pipeline's epoch.
    #[ts(type = "number")]
    pub epoch: u64,
    /// Whether its weights are in memory.
    pub loaded: bool,
    /// Bytes of its weights.
    #[ts(type = "number")]
    pub weights_bytes: u64,
    /// KV memory reserved by sessions, in bytes.
    #[ts(type = "number")]
    pub kv_bytes: u64,
    /// Sessions with a KV cache.
    pub sessions: u32,
    /// Whether it waits for the machine that computes the next stage, which takes no frames now.
    pub blocked: bool,
}

/// Work done since the worker was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Contribution {
    /// Rows computed: every token of every stage counts once.
    #[ts(type = "number")]
    pub tokens: u64,
    /// Slices of work.
    #[ts(type = "number")]
    pub slices: u64,
    /// Slices, and tensors of a stage that was loaded, that had to wait for the limits.
    #[ts(type = "number")]
    pub throttled: u64,
    /// Seconds in which a slice was computed.
    pub busy_seconds: f64,
    /// Seconds that slices waited for the limits.
    pub waited_seconds: f64,
    /// 99 % of the last minute's slices took no longer, in milliseconds of device time.
    pub slice_p99_ms: f64,
    /// The same of slices of several units; a single unit (a third of a layer, the head) cannot be cut.
    pub divisible_slice_p99_ms: f64,
    /// The longest of the last minute.
    pub longest_slice_ms: f64,
}

/// One setting of the operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LeverState {
    /// What: `scheduling class`, `io priority`, ...
    pub name: String,
    /// What it is now, or why it could not be set.
    #[ts(type = "{ Ok: string } | { Err: string }")]
    pub result: Result<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts read these names: one that changes here changes for them.
    #[test]
    fn the_fields_are_those_of_the_contract() {
        let written = include_str!("../tests/status.json");
        let status: Status = serde_json::from_str(written).unwrap();
        assert_eq!(serde_json::to_string_pretty(&status).unwrap(), written.trim_end());
    }
}
