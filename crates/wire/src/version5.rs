//! Version 5's messages where they differ from the present ones. Delete this module with the last coordinator that
//! speaks with workers of version 5.
//!
//! Messages are encoded by position, so a field that was added or removed makes another message of it. Everything that
//! is used from other modules here must keep its encoding for as long as this module exists; the tests compare it with
//! bytes that a program of version 5 wrote.

#[cfg(test)]
mod tests;

use crate::{
    Epoch, SessionId,
    control::{self, Beat, Hello, Refusal, RetainedSession, SessionError},
    hello::{Capabilities, feature},
};
use serde::{Deserialize, Serialize};

/// [`control::ToCoordinator`] of version 5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// Unchanged.
    Hello(Hello),
    /// Unchanged.
    Beat(Beat),
    /// Its reason is any text.
    Lends(Lends),
    /// Has a field that version 6 has not.
    Loaded {
        /// Whose stage.
        epoch: Epoch,
        /// Memory that the weights take, in bytes.
        weight_bytes: u64,
        /// The KV budget of the stage's [`StageSpec`](control::StageSpec), repeated; nobody reads it.
        kv_budget: u64,
        /// The weight type in use, as `--quant` spells it.
        quant: String,
        /// The best rate at which weights arrived, in bytes a second.
        bandwidth: Option<u64>,
    },
    /// Its reason is any text.
    LoadFailed {
        /// Whose stage.
        epoch: Epoch,
        /// Why, for people.
        message: String,
    },
    /// Unchanged.
    Started {
        /// Whose stage.
        epoch: Epoch,
        /// Sessions of earlier epochs that the stage still has.
        kept: Vec<RetainedSession>,
    },
    /// Unchanged.
    SessionFailed {
        /// Whose stage.
        epoch: Epoch,
        /// The session.
        session: SessionId,
        /// Why.
        error: SessionError,
    },
    /// Unchanged.
    LinkLost {
        /// Whose stage.
        epoch: Epoch,
        /// Why, for people.
        message: String,
    },
    /// Its reason is any text.
    StageGone {
        /// Whose stage.
        epoch: Epoch,
        /// Why, for people.
        message: String,
    },
    /// Unchanged.
    Draining,
    /// Unchanged.
    Resign,
}

/// [`control::Lends`] of version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lends {
    /// Memory for weights and KV, in bytes.
    pub memory: u64,
    /// Why it takes no new sessions, in a sentence for its owner; `None` while it does.
    pub stopped: Option<String>,
    /// Whether it goes on computing the sessions that it has.
    pub computes: bool,
}

impl From<Lends> for control::Lends {
    fn from(Lends { memory, stopped, computes }: Lends) -> Self {
        Self { memory, stopped: stopped.map(Into::into), computes }
    }
}

impl From<ToCoordinator> for control::ToCoordinator {
    fn from(message: ToCoordinator) -> Self {
        match message {
            ToCoordinator::Hello(hello) => Self::Hello(hello),
            ToCoordinator::Beat(beat) => Self::Beat(beat),
            ToCoordinator::Lends(lends) => Self::Lends(lends.into()),
            ToCoordinator::Loaded { epoch, weight_bytes, kv_budget: _, quant, bandwidth } => {
                Self::Loaded { epoch, weight_bytes, quant, bandwidth }
            }
            ToCoordinator::LoadFailed { epoch, message } => Self::LoadFailed { epoch, reason: message.into() },
            ToCoordinator::Started { epoch, kept } => Self::Started { epoch, kept },
            ToCoordinator::SessionFailed { epoch, session, error } => Self::SessionFailed { epoch, session, error },
            ToCoordinator::LinkLost { epoch, message } => Self::LinkLost { epoch, message },
            ToCoordinator::StageGone { epoch, message } => Self::StageGone { epoch, reason: message.into() },
            ToCoordinator::Draining => Self::Draining,
            ToCoordinator::Resign => Self::Resign,
        }
    }
}

/// What workers of version 5 read of models.
const MODELS: [&str; 17] = [
    "llama", "mistral", "qwen2", "qwen3", "f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2k", "q3k",
    "q4k", "q5k", "q6k",
];

/// What a worker of version 5 can do: it does not say so itself.
pub(crate) fn capabilities(hello: &Hello) -> Capabilities {
    Capabilities {
        program: String::new(),
        devices: vec![hello.device.clone()],
        backend: "candle".into(),
        weight_types: ["none", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4k", "q5k", "q6k"].map(String::from).into(),
        features: [feature::KV_REUSE, feature::BF16].map(String::from).into(),
        models: MODELS.map(String::from).into(),
        footprint: None,
    }
}

/// A refusal as version 5 knows it. Variants that came later travel as text.
pub(crate) fn refusal(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Device { .. } | Refusal::Unavailable(_) => Refusal::Malformed(refusal.to_string()),
        known => known,
    }
}
