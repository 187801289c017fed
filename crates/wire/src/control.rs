//! The control protocol: a worker dials the coordinator, says [`ToCoordinator::Hello`], and keeps the stream for life.
//!
//! ```text
//! worker                         coordinator
//!   Hello ───────────────────────▶           version, join token if new; body: what the worker can do (JSON)
//!         ◀─────────────────────── Welcome   or Refused, and the stream ends
//!   Beat ────────────────────────▶           every second, four times as often while it has sessions
//!   Lends ───────────────────────▶           what the donor lets it take has changed
//!         ◀─────────────────────── Load      a stage of a new epoch; body: its manifest (JSON)
//!   Loaded | LoadFailed ─────────▶
//!         ◀─────────────────────── Start     every stage of the epoch is loaded: link up
//!   Started ─────────────────────▶           with the sessions of earlier epochs that the stage still has
//!   SessionFailed | LinkLost | StageGone ▶
//!         ◀─────────────────────── Stop      the epoch is over; weights stay in memory, and sessions if asked
//!   Draining ────────────────────▶           the machine leaves politely
//!         ◀─────────────────────── Drained   its sessions are over or moved
//!         ◀─────────────────────── About     what the grid is; body: its description (JSON)
//!   Resign ──────────────────────▶           it leaves and is taken off the allow list
//! ```

mod reason;
mod refusal;

pub use reason::{GoneReason, LoadFailure, StopReason};
pub use refusal::Refusal;

use crate::{Epoch, InviteToken, PeerAddr, PeerId, SessionId, frame, frame::FrameError, version5};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// From a worker to the coordinator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// The first message. The frame's body is its [`Capabilities`](crate::hello::Capabilities) as JSON.
    Hello(Hello),
    /// The worker lives: once a second, four times as often while it has sessions.
    Beat(Beat),
    /// What the machine lends from now on.
    Lends(Lends),
    /// The stage's weights are in memory.
    Loaded {
        /// Whose stage.
        epoch: Epoch,
        /// Memory that the weights take, in bytes.
        weight_bytes: u64,
        /// The weight type in use, as `--quant` spells it.
        quant: String,
        /// The best rate at which weights arrived, in bytes a second; `None` before enough arrived to measure it.
        bandwidth: Option<u64>,
    },
    /// The stage cannot be loaded.
    LoadFailed {
        /// Whose stage.
        epoch: Epoch,
        /// Why.
        reason: LoadFailure,
    },
    /// The stage's links are up.
    Started {
        /// Whose stage.
        epoch: Epoch,
        /// Sessions of earlier epochs that the stage still has, at most [`MAX_RETAINED`].
        kept: Vec<RetainedSession>,
    },
    /// A session was refused or failed on this stage, which has freed everything of it.
    SessionFailed {
        /// Whose stage.
        epoch: Epoch,
        /// The session.
        session: SessionId,
        /// Why.
        error: SessionError,
    },
    /// A stage link of this epoch broke.
    LinkLost {
        /// Whose stage.
        epoch: Epoch,
        /// What happened to the link, in technical terms.
        message: String,
    },
    /// The worker gave the stage up: its owner lends less memory now, or has paused it for long.
    StageGone {
        /// Whose stage.
        epoch: Epoch,
        /// Why.
        reason: GoneReason,
    },
    /// The worker is leaving and takes no new sessions.
    Draining,
    /// The worker leaves: take it off the allow list. It may come back for ten minutes without a code.
    Resign,
}

/// Who dials, and what it lends. Its encoding is the same in every version; what is new goes to
/// [`Capabilities`](crate::hello::Capabilities).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The worker's protocol version.
    pub version: u16,
    /// The token of a join code, if the machine is not a member yet.
    pub token: Option<InviteToken>,
    /// The machine's name, for people.
    pub name: String,
    /// The device that computes, as `--device` spells it.
    pub device: String,
    /// Memory lent for weights and KV, in bytes.
    pub memory: u64,
    /// Where other workers reach this one.
    pub addrs: Vec<SocketAddr>,
}

/// What a machine lends right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lends {
    /// Memory for weights and KV, in bytes, including what its stages hold.
    pub memory: u64,
    /// Why it takes no new sessions; `None` while it does.
    pub stopped: Option<StopReason>,
    /// Whether it goes on computing the sessions that it has.
    pub computes: bool,
}

/// A sign of life, with what the machine holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Its stages.
    pub stages: Vec<StageBeat>,
}

/// What one stage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageBeat {
    /// Whose stage.
    pub epoch: Epoch,
    /// Sessions with a KV cache here.
    pub sessions: u32,
    /// KV memory reserved for them, in bytes.
    pub kv_used: u64,
    /// Times at the machine's present allowance; `None` before they were measured, and while nothing is allowed.
    pub speed: Option<StageSpeed>,
}

/// Measured times of a stage, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSpeed {
    /// One layer, per decoded token.
    pub layer: u64,
    /// The head, per decoded token; `None` on a stage without it.
    pub head: Option<u64>,
    /// One layer, per prompt token of a full step; `None` before a prompt was computed.
    pub prompt_layer: Option<u64>,
}

/// The most sessions that [`ToCoordinator::Started`] names: they take at most a quarter of the largest header. Those beyond it are
/// computed again.
pub const MAX_RETAINED: usize = 1024;

/// A session of an earlier epoch whose KV cache a stage still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedSession {
    /// The session.
    pub session: SessionId,
    /// Positions in the cache, starting at 0.
    pub tokens: u32,
    /// Whether the stage still has its outputs at all of them, for a next stage that is new.
    pub outputs: bool,
}

/// From the coordinator to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The worker is a member.
    Welcome(Welcome),
    /// The worker is not let in.
    Refused(Refusal),
    /// Load a stage. The frame's body is the stage's manifest as JSON.
    Load(StageSpec),
    /// Every stage of the epoch is loaded: link up.
    Start {
        /// Whose stage.
        epoch: Epoch,
    },
    /// The epoch is over.
    Stop {
        /// Whose stage.
        epoch: Epoch,
        /// Whether the stage keeps its sessions' KV caches for a minute, so that they may go on in a later epoch.
        keep: bool,
    },
    /// The answer to `Draining`: the worker's sessions are over or moved.
    Drained,
    /// What the grid is; the frame's body is its [`GridInfo`](crate::about::GridInfo) as JSON. Only workers that say
    /// [`feature::ABOUT`](crate::hello::feature::ABOUT) get it: after `Welcome`, and again when it changes.
    About,
}

/// What a member needs to know. Its encoding is the same in every version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version that the coordinator speaks with this worker: the worker's own.
    pub version: u16,
    /// The grid's name, for people.
    pub grid: String,
    /// The TCP port of the HTTP server for workers that do not know the [weights protocol](crate::weights), at the
    /// coordinator's addresses.
    pub weights_port: u16,
    /// Its bearer token, good until the coordinator restarts.
    pub weights_token: String,
}

impl ToCoordinator {
    /// The epoch whose stage the message is about, if it is about one.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Loaded { epoch, .. }
            | Self::LoadFailed { epoch, .. }
            | Self::Started { epoch, .. }
            | Self::SessionFailed { epoch, .. }
            | Self::LinkLost { epoch, .. }
            | Self::StageGone { epoch, .. } => Some(*epoch),
            Self::Hello(_) | Self::Beat(_) | Self::Lends(_) | Self::Draining | Self::Resign => None,
        }
    }

    /// Reads a message of a worker that speaks `version`.
    ///
    /// # Errors
    /// When the header is no message of that version.
    pub fn read(version: u16, header: &[u8]) -> Result<Self, FrameError> {
        match version {
            5 => frame::header::<version5::ToCoordinator>(header).map(Self::from),
            _ => frame::header(header),
        }
    }
}

/// A stage to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSpec {
    /// The pipeline's epoch, which also names the stage on this machine.
    pub epoch: Epoch,
    /// The model's name.
    pub model: String,
    /// First layer.
    pub first_layer: u32,
    /// Layer after the last one.
    pub end_layer: u32,
    /// The weight type as `--quant` spells it, or `auto` for the device's default.
    pub quant: String,
    /// Budget of the KV pool, in bytes.
    pub kv_budget: u64,
    /// The most prompt tokens in one step.
    pub prefill_chunk: u32,
    /// Whether it retains its sessions' outputs, so that the next stage can be replaced.
    pub keep_outputs: bool,
    /// Who may send to this stage.
    pub from: Peer,
    /// Whom this stage sends to.
    pub to: Peer,
}

/// The other end of a stage link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// The coordinator. Workers dial it at both ends of the ring, as it dials nobody.
    Coordinator,
    /// Another worker. The earlier stage dials the later one.
    Worker(PeerAddr),
}

impl Peer {
    /// The peer's key, where it is a worker.
    pub fn worker(&self) -> Option<PeerId> {
        match self {
            Self::Coordinator => None,
            Self::Worker(addr) => Some(addr.id),
        }
    }
}

/// Why a stage gave up one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SessionError {
    /// The KV pool cannot hold it.
    #[error("KV memory for this session takes {needed} bytes, {free} of {budget} are free")]
    OutOfMemory {
        /// Bytes asked for.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// The pool's budget, in bytes.
        budget: u64,
    },
    /// A frame for it is invalid (position, token id, size).
    #[error("bad input for this session: {0}")]
    BadInput(String),
    /// The computation failed.
    #[error("the computation failed: {0}")]
    Compute(String),
    /// The stage no longer has the session whose KV cache was to be reused.
    #[error("the session whose KV cache was to be reused is no longer there")]
    NotRetained,
}
