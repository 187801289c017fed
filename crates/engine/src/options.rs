use gogrid_limits::{Policy, Preset};
use gogrid_model::DeviceSpec;
use gogrid_probe::LeverReport;
use gogrid_wire::JoinCode;
use std::path::PathBuf;

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The folder of its identity, membership and weights.
    pub data: PathBuf,
    /// A join code; needed once.
    pub join: Option<JoinCode>,
    /// The machine's name, for people.
    pub name: String,
    /// What computes.
    pub device: DeviceSpec,
    /// The file of the limits; in the data folder when not given.
    pub limits: Option<PathBuf>,
    /// The limits that hold without a file.
    pub preset: Preset,
    /// The most that the machine's administrator allows.
    pub policy: Policy,
    /// Memory of the device to lend, in bytes, instead of what the limits say.
    pub memory: Option<u64>,
    /// Whether it keeps running while the machine is a member of no grid, and waits for a join code.
    pub resident: bool,
    /// What the process gave up when it started, for its state.
    pub given_up: LeverReport,
    /// Computes each batch in one slice: to measure what slices are worth.
    pub whole_batches: bool,
}

/// How the worker is connected to its coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    /// A member of no grid.
    NotJoined,
    /// It tries to connect.
    Connecting,
    /// A member, ready for stages.
    Ready,
}
