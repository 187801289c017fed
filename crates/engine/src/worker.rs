use crate::{
    control::{self, Control, Ended, Introduction, Shared},
    desk::{Desk, Who},
    executor::{Executor, Lost},
    lender::{LONG_PAUSE, Lender, Parts, Settings, SettingsError, lent},
    links::{self, Inbound},
    load::Loader,
    local::{Local, LocalError},
    membership::{Membership, MembershipError},
    pace::Paced,
    slices::{PLANNED, WHOLE},
    weights::WeightCache,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use gogrid_limits::{Account, Ledger, LimitsError, Machine, OverLimit, Preset, Sample};
use gogrid_link::{Protocol, Transport};
use gogrid_model::{DeviceError, DeviceKind, DeviceSpec};
use gogrid_probe::{Probe, Watch};
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
    /// The file of the limits; in the data folder when not given.
    pub limits: Option<PathBuf>,
    /// The limits where no file says otherwise.
    pub preset: Preset,
    /// Memory of the device to lend, in bytes, in place of what the limits say.
    pub memory: Option<u64>,
    /// Computes batches whole, in one slice each: to measure what slices are good for.
    pub whole_batches: bool,
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
    /// The limits.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The memory that was asked for is no limit.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The machine's memory, of which a part is to be lent, is not known.
    #[error("the device's memory is not known ({reason}): say with --memory how much to lend")]
    UnknownMemory {
        /// Why not.
        reason: String,
    },
    /// Not even the device's runtime fits the limit.
    #[error("the GPU cannot be used within its memory limit")]
    TooLittle(#[from] OverLimit),
    /// The socket for the panel and the command line.
    #[error(transparent)]
    Local(#[from] LocalError),
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

/// What a GPU's driver and libraries take beside everything that is asked for, in bytes: a CUDA context with cuBLAS.
const GPU_RUNTIME: u64 = 600 << 20;

/// A worker, ready to run.
pub struct Worker {
    transport: Arc<dyn Transport>,
    options: WorkerOptions,
    probe: Box<dyn Probe>,
    state: watch::Sender<WorkerState>,
}

impl Worker {
    /// A worker on this transport, and what looks at the machine for it.
    pub fn new(transport: Arc<dyn Transport>, options: WorkerOptions, probe: Box<dyn Probe>) -> Self {
        Self { transport, options, probe, state: watch::Sender::new(WorkerState::Connecting) }
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
        let Self { transport, options, probe, state } = self;
        options.device.check_built()?;
        let (coordinator, mut token) = whom_to_join(&options)?;
        let (lost, mut failures) = mpsc::channel(FAILURES);
        let LentDevice { lender, loader } = lend(&options, probe, lost)?;
        let inbound = Inbound::default();
        let who = Who {
            id: transport.id().to_string(),
            name: options.name.clone(),
            device: options.device.to_string(),
            coordinator: coordinator.id.to_string(),
            gpu: is_gpu(options.device),
        };
        let desk = Desk {
            who: Arc::new(who),
            lender: lender.clone(),
            executor: loader.executor.clone(),
            paced: loader.paced.clone(),
            ledger: loader.ledger.clone(),
        };
        let shared = Shared { loader: loader.clone(), inbound: inbound.clone(), view: lender.view().clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(Local::bind(&options.data)?.serve(desk));
        tasks.spawn(accept(transport.clone(), inbound.clone(), loader.executor.clone()));
        tasks.spawn(look_at_arrivals(loader.executor.work().arrivals(), lender.clone()));

        let executor = loader.executor.clone();
        let serve = async {
            let (mut pauses, started) = (pauses(), Instant::now());
            while !stop.is_cancelled() {
                let introduction = Introduction {
                    name: options.name.clone(),
                    device: options.device.to_string(),
                    memory: lent(&loader.ledger.usage()),
                };
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
                        lender.view().set_connected(true);
                        let (transport, coordinator) = (transport.clone(), coordinator.clone());
                        let served =
                            Control::serve(transport, coordinator, joined, shared.clone(), &mut failures, &stop).await;
                        lender.view().set_connected(false);
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

/// The device with everything that stands between it and who wants to use it.
struct LentDevice {
    lender: Lender,
    loader: Loader,
}

fn is_gpu(device: DeviceSpec) -> bool {
    device.kind() != DeviceKind::Cpu
}

fn lend(
    options: &WorkerOptions,
    mut probe: Box<dyn Probe>,
    lost: mpsc::Sender<Lost>,
) -> Result<LentDevice, WorkerError> {
    let (device, gpu) = (options.device, is_gpu(options.device));
    let mut settings = Settings::load(&options.data, options.limits.as_deref(), options.preset)?;
    if let Some(bytes) = options.memory {
        settings.set(if gpu { "gpu-memory" } else { "memory" }, &format!("{bytes}B"))?;
    }
    let sample = probe.sample(&Watch { gpu, ..Watch::default() });
    let machine = machine(&sample, gpu, options.memory.is_some())?;
    let cache = WeightCache::open(&options.data.join("weights"))?;
    let (paced, ledger) = (Paced::new(gpu), Ledger::new(0));
    let planned = if options.whole_batches { WHOLE } else { PLANNED };
    let executor = Executor::start(&device.to_string(), planned, paced.clone(), ledger.clone(), lost)?;
    let parts = Parts {
        settings,
        machine,
        probe,
        paced: paced.clone(),
        ledger: ledger.clone(),
        executor: executor.clone(),
        weights: cache.clone(),
        gpu,
        long_pause: LONG_PAUSE,
    };
    let lender = Lender::start(parts)?;
    let runtime = if gpu { Some(ledger.reserve(Account::Runtime, GPU_RUNTIME)?) } else { None };
    let loader = Loader { executor, cache, device, ledger, paced, _runtime: Arc::new(runtime) };
    Ok(LentDevice { lender, loader })
}

/// The totals of which limits are parts. With the memory to lend in bytes, a total that is not known is not needed.
fn machine(sample: &Sample, gpu: bool, memory_given: bool) -> Result<Machine, WorkerError> {
    let total = |signal: Result<u64, String>, needed: bool| match signal {
        Ok(total) => Ok(total),
        Err(_) if !needed || memory_given => Ok(u64::MAX),
        Err(reason) => Err(WorkerError::UnknownMemory { reason }),
    };
    let memory = total(sample.memory.clone().into_result().map(|memory| memory.total), !gpu)?;
    let gpu_memory = match &sample.gpu {
        Some(found) if gpu => Some(total(found.clone().into_result().map(|gpu| gpu.memory_total), true)?),
        _ => None,
    };
    let cores = u32::try_from(gogrid_probe::logical_cores()).unwrap_or(u32::MAX);
    Ok(Machine { cores, memory, gpu_memory })
}

/// The machine is looked at as soon as there is work after a rest: what was seen last may be seconds old.
async fn look_at_arrivals(mut arrivals: watch::Receiver<u64>, lender: Lender) {
    while arrivals.changed().await.is_ok() {
        lender.look();
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
