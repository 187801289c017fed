use crate::{AppState, KeyStore, Process, State, Status};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The mark of the app's state: one shape and one colour each, the same in the tray and in the window. Both have them
/// from `icons/src/tray`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Not a member of a grid.
    NotJoined,
    /// Waiting for the coordinator, for the worker or for the key store.
    Connecting,
    /// Nothing to compute.
    Idle,
    /// Computing.
    Working,
    /// Computing with less than the limits.
    Throttled,
    /// Not computing: stopped by a rule or paused.
    Paused,
    /// Something needs the donor.
    Error,
}

impl Mark {
    /// The mark of a state.
    pub fn of(state: &AppState) -> Self {
        match (&state.worker, &state.status) {
            (Process::Running { .. }, Some(status)) => Self::of_status(status),
            (Process::Running { .. } | Process::Starting, _) => Self::Connecting,
            (Process::Held { .. }, _) if state.key_store == KeyStore::Opening => Self::Connecting,
            (Process::Waiting { .. } | Process::Held { .. }, _) => Self::Error,
        }
    }

    fn of_status(status: &Status) -> Self {
        match status.state {
            State::NotJoined => Self::NotJoined,
            State::Connecting => Self::Connecting,
            State::Paused => Self::Paused,
            // It still computes; what matters is that it is about to stop.
            _ if status.pausing_after_answers => Self::Working,
            State::Idle => Self::Idle,
            State::Working => Self::Working,
            State::Throttled => Self::Throttled,
            State::Stopped => Self::Paused,
        }
    }
}
