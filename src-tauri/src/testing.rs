//! A worker's states, for tests.

use gogrid_limits::{Allowance, Reason, Share};
use gogrid_panel_api::{
    AppSettings, AppState, Connection, Contribution, Day, KeyStore, Machine, Mark, Process, Stage, State, Status, Usage,
};

/// A worker on a machine without a GPU.
pub(crate) fn status(state: State, reason: &str) -> Status {
    Status {
        id: "3f".repeat(32),
        name: "office-7".into(),
        device: "cpu".into(),
        state,
        reason: reason.into(),
        pausing_after_answers: false,
        connection: (state != State::NotJoined).then(|| Connection {
            coordinator: "8a".repeat(32),
            grid: "Example".into(),
            connected: state != State::Connecting,
            problem: None,
        }),
        about: None,
        left: None,
        machine: Machine { cores: 8, memory: Some(16 << 30), gpu_name: None, gpu_memory: None, disk: None },
        allowance: Allowance {
            cpu: Share::from_percent(50),
            gpu: Share::from_percent(0),
            memory: 8 << 30,
            gpu_memory: 0,
            reason: Reason::Free,
        },
        usage: Usage {
            cpu: 0.0,
            gpu: None,
            ledger_bytes: 0,
            weights_bytes: 0,
            kv_bytes: 0,
            workspace_bytes: 0,
            limit_bytes: 8 << 30,
            tokens_per_second: 0.0,
            answers: 0,
        },
        limits: Vec::new(),
        managed_by: None,
        sample: None,
        stages: Vec::new(),
        sessions: 0,
        contribution: Contribution {
            tokens: 0,
            slices: 0,
            throttled: 0,
            busy_seconds: 0.0,
            waited_seconds: 0.0,
            slice_p99_ms: 0.0,
            divisible_slice_p99_ms: 0.0,
            longest_slice_ms: 0.0,
        },
        today: Day::default(),
        levers: Vec::new(),
    }
}

/// A stage that is loaded.
pub(crate) fn stage(model: &str, layers: [u32; 2]) -> Stage {
    let model = model.into();
    Stage { model, layers, epoch: 1, loaded: true, weights_bytes: 1, kv_bytes: 0, sessions: 1, blocked: false }
}

/// The CPU build, running.
pub(crate) fn running() -> Process {
    Process::Running { build: "cpu".into(), fallback: None }
}

/// The state of an app whose worker process is in this state and has this status.
pub(crate) fn app(worker: Process, status: Option<Status>) -> AppState {
    AppState {
        mark: Mark::Connecting,
        worker,
        status,
        settings: AppSettings::default(),
        notices: Vec::new(),
        version: "0.1.0".into(),
        key_store: KeyStore::System,
        update: None,
        offered_code: None,
        join_asked: 0,
    }
}
