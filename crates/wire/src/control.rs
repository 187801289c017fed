//! The control protocol: a worker dials the coordinator, says [`ToCoordinator::Hello`], and keeps the stream for life.
//!
//! ```text
//! worker                         coordinator
//!   Hello ───────────────────────▶           version, join token when new
//!         ◀─────────────────────── Welcome   or Refused, and the stream ends
//!   Beat ────────────────────────▶           every second, four times as often while it has sessions
//!   Lends ───────────────────────▶           what the donor lets it take has changed
//!         ◀─────────────────────── Load      a stage of a new epoch; body: its manifest (JSON)
//!   Loaded | LoadFailed ─────────▶
//!         ◀─────────────────────── Start     once every stage of the epoch is loaded: link up
//!   Started ─────────────────────▶           with the sessions of earlier epochs that are still here
//!   SessionFailed | LinkLost | StageGone ▶
//!         ◀─────────────────────── Stop      the epoch is over; weights are kept, and sessions where that is asked for
//!   Draining ────────────────────▶           the machine leaves politely
//!         ◀─────────────────────── Drained   nothing more will come for it
//!   Resign ──────────────────────▶           and is no member any more
//! ```

use crate::{Epoch, InviteToken, PeerAddr, PeerId, SessionId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// From a worker to the coordinator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// The first message.
    Hello(Hello),
    /// The worker lives; once a second, four times as often while it has sessions.
    Beat(Beat),
    /// What the machine lends from now on.
    Lends(Lends),
    /// The stage's weights are in memory.
    Loaded {
        /// Whose stage.
        epoch: Epoch,
        /// Memory that the weights take, in bytes.
        weight_bytes: u64,
        /// The KV pool's budget, in bytes.
        kv_budget: u64,
        /// The weight type in use, as `--quant` spells it.
        quant: String,
        /// Bytes a second at which weights came to the machine, at best; `None` before enough came to tell.
        bandwidth: Option<u64>,
    },
    /// The stage cannot be loaded.
    LoadFailed {
        /// Whose stage.
        epoch: Epoch,
        /// Why, for people.
        message: String,
    },
    /// The stage's links are up.
    Started {
        /// Whose stage.
        epoch: Epoch,
        /// Sessions of earlier epochs that the stage still holds; at most [`MAX_RETAINED`].
        kept: Vec<RetainedSession>,
    },
    /// A session was refused or failed on this stage; it holds nothing of it any more.
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
        /// Why, for people.
        message: String,
    },
    /// The worker had to give the stage up: its owner lends less memory now, or has paused it for long.
    StageGone {
        /// Whose stage.
        epoch: Epoch,
        /// Why, for people.
        message: String,
    },
    /// The worker leaves: no new sessions, please.
    Draining,
    /// The worker leaves for good: it is to be a member no longer.
    Resign,
}

/// Who dials, and what it lends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The worker's protocol version. It stays the first field in every version.
    pub version: u16,
    /// The token of a join code, when the machine is not a member yet.
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
    /// Memory for weights and KV, in bytes, what its stages hold included.
    pub memory: u64,
    /// Why it takes no new sessions; `None` while it does.
    pub stopped: Option<String>,
    /// Whether it computes the sessions that it has.
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
    /// What it takes at the machine's present allowance; `None` before it was measured, and while nothing is allowed.
    pub speed: Option<StageSpeed>,
}

/// Measured times of a stage, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSpeed {
    /// One layer, for a token that is decoded.
    pub layer: u64,
    /// The head, for a token that is decoded; `None` on a stage without it.
    pub head: Option<u64>,
    /// One layer, for one token of a prompt within a full step; `None` before a prompt was computed.
    pub prompt_layer: Option<u64>,
}

/// The most sessions that [`ToCoordinator::Started`] names: a fraction of a frame's largest header. Those beyond it are
/// computed anew.
pub const MAX_RETAINED: usize = 1024;

/// A session of an earlier epoch whose KV cache a stage still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedSession {
    /// The session.
    pub session: SessionId,
    /// Positions in the cache, from 0 on.
    pub tokens: u32,
    /// Whether the stage's outputs of all of them are there, for a next stage that is new.
    pub outputs: bool,
}

/// From the coordinator to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The worker is a member.
    Welcome(Welcome),
    /// The worker is not let in.
    Refused(Refusal),
    /// Load a stage. The frame's body is its manifest as JSON.
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
        /// Whether its sessions may go on in a later epoch: the stage keeps their KV caches for a minute.
        keep: bool,
    },
    /// The answer to `Draining`: the worker's sessions are over or moved.
    Drained,
}

/// What a member needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The coordinator's protocol version.
    pub version: u16,
    /// The grid's name, for people.
    pub grid: String,
    /// The TCP port of the weights' HTTP server, at the coordinator's addresses.
    pub weights_port: u16,
    /// The bearer token for it; good until the coordinator restarts.
    pub weights_token: String,
}

/// Why a worker is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The programs speak different versions.
    #[error("the worker speaks protocol version {worker}, the coordinator {coordinator}: update the older one")]
    Version {
        /// The worker's.
        worker: u16,
        /// The coordinator's.
        coordinator: u16,
    },
    /// The machine's key is not on the allow list, and it brought no join code.
    #[error("this machine is not a member of that coordinator: join with a code of `gogrid invite`")]
    NotMember,
    /// The join code's uses are spent.
    #[error("this join code was used already: ask for a new one")]
    CodeUsed,
    /// The join code is too old.
    #[error("this join code has expired: ask for a new one")]
    CodeExpired,
    /// The join code is of another coordinator, or made up.
    #[error("this coordinator did not make that join code")]
    CodeUnknown,
    /// The first message was no `Hello`, or unreadable.
    #[error("the first message was not understood: {0}")]
    Malformed(String),
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
    /// Whether it keeps its sessions' outputs, so that the stage behind it can be replaced.
    pub keep_outputs: bool,
    /// Who may send to this stage.
    pub from: Peer,
    /// Whom this stage sends to.
    pub to: Peer,
}

/// The other end of a stage link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// The coordinator: a worker dials it for both ends of the ring, so that only workers need to be dialed.
    Coordinator,
    /// Another worker: the earlier stage dials the later one.
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
    /// A frame for it makes no sense (position, token id, size).
    #[error("bad input for this session: {0}")]
    BadInput(String),
    /// The computation failed.
    #[error("the computation failed: {0}")]
    Compute(String),
    /// What the session was to go on from is not here (any more).
    #[error("the session that it was to go on from is not kept")]
    NotRetained,
}
