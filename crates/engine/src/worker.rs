use crate::{
    control::{self, Control, Ended, Introduction},
    executor::Executor,
    links::{self, Inbound},
    load::Loader,
    membership::{Membership, MembershipError},
    weights::WeightCache,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use gogrid_link::{Protocol, Transport};
use gogrid_model::{DeviceError, DeviceSpec};
use gogrid_wire::{InviteToken, JoinCode, PeerAddr};
use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Session failures that may wait for the control link; more than a device has sessions.
const FAILURES: usize = 1024;
/// Stage links served at once; every epoch has one.
const MAX_STAGE_LINKS: usize = 64;

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The folder of its identity, membership and weights.
    pub data: PathBuf,
    /// A join code, needed once.
    pub join: Option<JoinCode>,
    /// The machine's name, for people.
    pub name: String,
    /// What computes.
    pub device: DeviceSpec,
    /// Memory lent for weights and KV, in bytes.
    pub memory: u64,
}

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Neither a member nor a join code.
    #[error(
        "this machine has not joined a coordinator yet: start it once with --join CODE (`gogrid invite` makes one)"
    )]
    NotJoined,
    /// The coordinator does not let this machine in.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers where the join code says.
    #[error("the coordinator of this join code does not answer: {0}")]
    NoAnswer(String),
    /// The membership file.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The thread that computes is gone, and with it every stage.
    #[error("the computing thread panicked; what it said is in the log above")]
    Executor,
    /// The weights' folder or a thread cannot be made.
    #[error("cannot set up the worker")]
    Io(#[from] io::Error),
}

/// How the worker stands with its coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    /// On its way.
    Connecting,
    /// A member, ready for stages.
    Ready,
}

/// A worker, ready to run.
pub struct Worker {
    transport: Arc<dyn Transport>,
    options: WorkerOptions,
    state: watch::Sender<WorkerState>,
}

impl Worker {
    /// A worker on this transport.
    pub fn new(transport: Arc<dyn Transport>, options: WorkerOptions) -> Self {
        Self { transport, options, state: watch::Sender::new(WorkerState::Connecting) }
    }

    /// Follows the worker's state.
    pub fn state(&self) -> watch::Receiver<WorkerState> {
        self.state.subscribe()
    }

    /// Runs until `stop` is cancelled and its sessions are over. Reconnects for ever, with growing pauses.
    ///
    /// # Errors
    /// When the machine is refused, cannot be set up, or its computing thread panics.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let Self { transport, options, state } = self;
        options.device.check_built()?;
        let (coordinator, mut token) = whom_to_join(&options)?;
        let (failed, mut failures) = mpsc::channel(FAILURES);
        let loader = Loader {
            executor: Executor::start(&options.device.to_string(), failed)?,
            cache: WeightCache::open(&options.data.join("weights"))?,
            device: options.device,
            memory: options.memory,
        };
        let inbound = Inbound::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(transport.clone(), inbound.clone(), loader.executor.clone()));
        let introduction =
            Introduction { name: options.name.clone(), device: options.device.to_string(), memory: options.memory };

        let executor = loader.executor.clone();
        let serve = async {
            let (mut pauses, started) = (pauses(), Instant::now());
            while !stop.is_cancelled() {
                let joined = tokio::select! {
                    joined = control::join(&*transport, &coordinator, &introduction, token) => joined,
                    () = stop.cancelled() => break,
                };
                match joined {
                    Ok(joined) => {
                        if token.take().is_some() {
                            Membership { coordinator: coordinator.clone() }.save(&options.data)?;
                        }
                        pauses = self::pauses();
                        tracing::info!(coordinator = %coordinator.id.short(), "connected");
                        state.send_replace(WorkerState::Ready);
                        let (transport, coordinator) = (transport.clone(), coordinator.clone());
                        let (loader, inbound) = (loader.clone(), inbound.clone());
                        let served =
                            Control::serve(transport, coordinator, joined, loader, inbound, &mut failures, &stop).await;
                        if served == Ended::Left {
                            break;
                        }
                        tracing::warn!("the coordinator is gone; trying to reach it again");
                        state.send_replace(WorkerState::Connecting);
                    }
                    Err(error) if error.is_final() => return Err(WorkerError::Refused(error.to_string())),
                    Err(error) if token.is_some() && started.elapsed() > JOIN_WITHIN => {
                        return Err(WorkerError::NoAnswer(error.to_string()));
                    }
                    Err(error) => tracing::warn!(%error, "cannot reach the coordinator yet"),
                }
                let pause = pauses.next().unwrap_or(MAX_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
            Ok(())
        };
        let result = tokio::select! {
            result = serve => result,
            // The coordinator and whoever started this program must notice at once: no request is to wait for a
            // machine that will never answer.
            () = executor.ended() => Err(WorkerError::Executor),
        };
        transport.close().await;
        result
    }
}

/// How long a machine that is no member yet tries: its owner is there and wants to know. A member tries for ever.
const JOIN_WITHIN: Duration = Duration::from_secs(8);
/// The longest pause between two tries: a coordinator that returns has its fleet back within this time.
const MAX_PAUSE: Duration = Duration::from_secs(5);

fn pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .build()
}

/// A join code names the coordinator, a new one too; without one the membership does.
fn whom_to_join(options: &WorkerOptions) -> Result<(PeerAddr, Option<InviteToken>), WorkerError> {
    match (&options.join, Membership::load(&options.data)?) {
        (Some(code), _) => Ok((code.coordinator.clone(), Some(code.token))),
        (None, Some(member)) => Ok((member.coordinator, None)),
        (None, None) => Err(WorkerError::NotJoined),
    }
}

/// Takes the links that earlier stages dial.
async fn accept(transport: Arc<dyn Transport>, inbound: Inbound, executor: Executor) {
    let mut links = JoinSet::new();
    while let Some(link) = transport.accept().await {
        while links.try_join_next().is_some() {}
        if link.protocol != Protocol::Stage || links.len() >= MAX_STAGE_LINKS {
            tracing::warn!(peer = %link.peer.short(), "link refused: a worker takes stage links only, and so many");
            continue;
        }
        links.spawn(links::serve_inbound(link, inbound.clone(), executor.clone()));
    }
}
