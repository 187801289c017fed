//! What goes into the executor's thread and comes out of it.

use super::StageGauge;
use crate::frame_budget::{FrameBudget, FramePermit};
use gogrid_compute::Stage;
use gogrid_limits::{OverLimit, Reservation};
use gogrid_model::{Layers, Quant, TensorHash};
use gogrid_wire::{
    Epoch, SessionId,
    control::{GoneReason, RetainedSession, SessionError, StageSpec},
    stage::StageFrame,
};
use std::sync::{Arc, mpsc::SyncSender};
use tokio::sync::{mpsc, oneshot};

/// Frames between a stage and its outgoing link. A step makes one, so that a link that stalls for a moment does not
/// block its stage; a stage has far fewer steps under way.
pub(crate) const OUT_QUEUE: usize = 64;

/// What makes two stages the same, whatever their epoch: the later one takes over from the one that serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StageKey {
    /// The model's name: models of the same weights serve side by side, each with stages of its own.
    pub(crate) model: String,
    /// Hash of the stage's manifest, which holds the hash of every tensor.
    pub(crate) manifest: TensorHash,
    pub(crate) layers: Layers,
    pub(crate) quant: Quant,
    pub(crate) kv_budget: u64,
}

impl StageKey {
    /// Whether weights that served one can serve the other, of whatever model.
    pub(super) fn has_same_weights(&self, other: &Self) -> bool {
        let weights = |key: &Self| (key.manifest, key.layers, key.quant, key.kv_budget);
        weights(self) == weights(other)
    }
}

/// How a stage serves an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServeOptions {
    /// The most prompt tokens in one step.
    pub(crate) prefill_chunk: u32,
    /// Whether it retains its sessions' outputs.
    pub(crate) keep_outputs: bool,
}

impl From<&StageSpec> for ServeOptions {
    fn from(spec: &StageSpec) -> Self {
        Self { prefill_chunk: spec.prefill_chunk, keep_outputs: spec.keep_outputs }
    }
}

/// A frame on its way to the next stage. Its memory is booked until the link has sent it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: StageFrame,
    pub(crate) body: Vec<u8>,
    pub(super) _permit: FramePermit,
}

/// What the executor gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A session.
    Session { epoch: Epoch, session: SessionId, error: SessionError },
    /// A whole stage.
    Stage { epoch: Epoch, reason: GoneReason },
}

/// What is known of a stage once it is in memory.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) weight_bytes: u64,
    pub(crate) quant: Quant,
    pub(crate) gauge: Arc<StageGauge>,
}

/// A stage with the memory that it takes.
pub(crate) struct Loaded {
    pub(crate) stage: Stage,
    /// Held for as long as the stage is.
    pub(crate) memory: Vec<Reservation>,
    /// The most rows that fit its workspace.
    pub(crate) rows: usize,
}

/// What the thread is told.
pub(super) enum Command {
    Reuse { key: StageKey, epoch: Epoch, options: ServeOptions, reply: oneshot::Sender<Option<Installed>> },
    Install(Box<Install>),
    Connect { epoch: Epoch, out: mpsc::Sender<Outgoing> },
    Inlet { epoch: Epoch, reply: oneshot::Sender<Option<FrameBudget>> },
    Frame(Arrived),
    Refuse { frame: StageFrame, error: OverLimit },
    Retained { epoch: Epoch, reply: oneshot::Sender<Option<Vec<RetainedSession>>> },
    Park { epoch: Epoch, keep: bool },
    Release,
}

/// A stage to put into service.
pub(super) struct Install {
    pub(super) key: StageKey,
    pub(super) epoch: Epoch,
    pub(super) options: ServeOptions,
    pub(super) loaded: Loaded,
    pub(super) reply: oneshot::Sender<Result<Installed, OverLimit>>,
}

/// A frame of the earlier stage.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) frame: StageFrame,
    pub(super) body: Vec<u8>,
    pub(super) permit: FramePermit,
}

/// Memory to free, because the ledger's limit was lowered. It does not wait behind commands.
pub(super) struct Shrink {
    pub(super) done: SyncSender<()>,
}
