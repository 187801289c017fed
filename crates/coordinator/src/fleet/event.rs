//! What the core is told, and what it wants done.

use super::{
    plan::{Outcome, PlanRequest},
    returning::{Restored, Stages},
};
use crate::{
    generate::NotReady,
    kv_capacity::KvCapacity,
    model::Model,
    pipeline::PipelineHealth,
    planner::{Device, Reliability},
    registry::{Groups, ModelRecord},
};
use gogrid_wire::{
    Epoch, PeerId, SessionId,
    control::{Hello, RetainedSession, SessionError, ToCoordinator, ToWorker},
    stage::{Refusal, Role},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What a pipeline does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Activity {
    /// Sessions in flight.
    pub(crate) sessions: usize,
    /// Rows that were sent into it and not answered yet.
    pub(crate) rows: usize,
    /// Answers so far.
    pub(crate) replies: u64,
    /// Measured time of a token; zero before the first.
    pub(crate) token_time: Duration,
}

/// What happened.
pub(crate) enum Event {
    /// The coordinator started, and this is what the one before it recorded.
    Restored(Restored),
    /// A worker was let in.
    Connected { peer: PeerId, hello: Hello, device: Arc<Device> },
    /// A worker sent a message over its control link.
    Message { peer: PeerId, connection: u64, message: ToCoordinator, round_trip: Option<Duration> },
    /// A worker's control link ended.
    Gone { peer: PeerId, connection: u64 },
    /// A worker wants to be the neighbour of the coordinator in an epoch's ring.
    Attach { peer: PeerId, epoch: Epoch, role: Role },
    /// A stage link between a worker and the coordinator ended.
    LinkEnded { epoch: Epoch, reason: String },
    /// The registry's models have changed.
    Reload,
    /// All models and groups of the registry; `None` when they cannot be read.
    ModelsRead(Option<(Vec<ModelRecord>, Groups)>),
    /// A model's files were read; `None` when they cannot be used.
    ModelOpened { record: Box<ModelRecord>, model: Option<Arc<Model>> },
    /// A plan is ready.
    Planned { job: u64, outcome: Outcome },
    /// The registry reserved as many epochs as were asked for, or fewer when it failed.
    EpochsReserved { asked: usize, epochs: Vec<Epoch> },
    /// Time has passed, and this is what goes on in the pipelines.
    Tick { activity: BTreeMap<Epoch, Activity> },
    /// The coordinator is about to end.
    Stopping,
}

/// What is to be done. Actions are carried out in their order.
pub(crate) enum Action {
    /// Answers [`Event::Connected`]: the worker is in, and this is its connection.
    Accept {
        peer: PeerId,
        connection: u64,
    },
    /// The worker is gone: no message is sent to it from now on.
    Disconnect {
        peer: PeerId,
    },
    Send {
        peer: PeerId,
        message: ToWorker,
        body: Vec<u8>,
    },
    /// Answers [`Event::Attach`]: which end of which epoch's ring the worker takes.
    Attach(Result<(Epoch, Role), Refusal>),
    /// A pipeline is being built. `token_time` is what a token is predicted to take.
    OpenPipeline {
        epoch: Epoch,
        kv: KvCapacity,
        token_time: Duration,
        /// Whether all its stages keep complete answers.
        supports_prefix_cache: bool,
        /// Whether all its workers know constrained answers.
        constrains: bool,
    },
    SetHealth {
        epoch: Epoch,
        health: PipelineHealth,
    },
    /// Every stage is linked up, and has this of earlier epochs' sessions, in the order of the stages.
    SetRetained {
        epoch: Epoch,
        stages: Vec<Vec<RetainedSession>>,
    },
    FailSession {
        epoch: Epoch,
        session: SessionId,
        error: SessionError,
    },
    /// The pipeline is over: its sessions move elsewhere.
    ClosePipeline {
        epoch: Epoch,
    },
    /// Every model's route, and whose files are being read. This is the whole of it, not a change.
    Publish {
        routes: Vec<ModelRoute>,
        opening: BTreeSet<String>,
        /// Whether the registry was read, so that there are no others.
        is_complete: bool,
    },
    Record(Record),
    /// Take a worker that resigned off the allow list.
    Resigned(PeerId),
    /// Reserve epochs in the registry; answered by [`Event::EpochsReserved`].
    ReserveEpochs(usize),
    /// Read the registry's models; answered by [`Event::ModelsRead`].
    ReadModels,
    /// Read a model's files; answered by [`Event::ModelOpened`].
    OpenModel(Box<ModelRecord>),
    /// Answered by [`Event::Planned`].
    Plan(Box<PlanRequest>),
    /// Send [`Event::Tick`] now: pipelines may be empty that are to end when they are.
    Tick,
}

/// A model with its pipelines that take sessions.
pub(crate) struct ModelRoute {
    pub(crate) model: Arc<Model>,
    pub(crate) open: Vec<Epoch>,
    /// What the model waits for while there is none.
    pub(crate) reason: NotReady,
}

/// What the next coordinator needs to know.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    /// The pipelines that serve, by model.
    Pipelines(BTreeMap<String, Vec<Stages>>),
    /// How reliable a machine has been until now.
    Reliability { peer: PeerId, seen: Reliability },
}
