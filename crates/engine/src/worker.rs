use crate::{
    api::{Identity, WorkerApi},
    control::{Introduction, Shared},
    executor::{Executor, Failure},
    grid::{Grid, MembershipCommands},
    links::{self, Inbound},
    load::Loader,
    local::{Local, LocalError},
    membership::MembershipError,
    pace::Paced,
    record::Record,
    resources::{LONG_PAUSE, Parts, ResourceController, Settings, SettingsError, follow_sleep},
    slices::{PLANNED, WHOLE},
    weights::WeightCache,
};
use gogrid_limits::{Account, Ledger, LimitsError, Machine, OverLimit, Policy, Preset, Sample, Totals};
use gogrid_link::{Protocol, Transport};
use gogrid_model::{DeviceError, DeviceKind, DeviceSpec};
use gogrid_probe::{Probe, Watch};
use gogrid_wire::JoinCode;
use std::{io, path::PathBuf, sync::Arc};
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
    /// What whoever manages the machine allows at most.
    pub policy: Policy,
    /// Memory of the device to lend, in bytes, in place of what the limits say.
    pub memory: Option<u64>,
    /// Whether it stays when the machine is a member of no grid, and waits to be told of one.
    pub resident: bool,
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
    /// A member of no grid.
    Outside,
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
        let (lost, failures) = mpsc::channel(FAILURES);
        let record = Record::open(&options.data);
        let LentDevice { resources, loader, machine } = lend(&options, probe, lost, record.clone())?;
        let inbound = Inbound::default();
        let (membership, commands) = MembershipCommands::new();
        let identity = Identity {
            id: transport.id().to_string(),
            name: options.name.clone(),
            device: options.device.to_string(),
            gpu: is_gpu(options.device),
            machine,
        };
        let api = WorkerApi {
            identity: Arc::new(identity),
            resources: resources.clone(),
            executor: loader.executor.clone(),
            paced: loader.paced.clone(),
            ledger: loader.ledger.clone(),
            membership,
            testing: Arc::default(),
        };
        let shared = Shared { loader: loader.clone(), inbound: inbound.clone(), view: resources.view().clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(Local::bind(&options.data)?.serve(api));
        tasks.spawn(accept(transport.clone(), inbound, loader.executor.clone()));
        tasks.spawn(sample_on_arrivals(loader.executor.gauge().arrivals(), resources.clone()));
        tasks.spawn(record.clone().keep());
        tasks.spawn(follow_sleep(resources.clone()));

        let executor = loader.executor.clone();
        let grid = Grid {
            transport: transport.clone(),
            introduction: Introduction {
                name: options.name,
                device: options.device.to_string(),
                ledger: loader.ledger.clone(),
            },
            data: options.data,
            shared,
            failures,
            commands,
            state,
            resident: options.resident,
        };
        let result = tokio::select! {
            result = grid.run(options.join, &stop) => result,
            // The coordinator and whoever started this program must notice at once: no request is to wait for a
            // machine that will never answer.
            () = executor.ended() => Err(WorkerError::Executor),
        };
        record.save();
        transport.close().await;
        result
    }
}

/// The device with everything that stands between it and who wants to use it.
struct LentDevice {
    resources: ResourceController,
    loader: Loader,
    machine: gogrid_panel_api::Machine,
}

fn is_gpu(device: DeviceSpec) -> bool {
    device.kind() != DeviceKind::Cpu
}

fn lend(
    options: &WorkerOptions,
    mut probe: Box<dyn Probe>,
    lost: mpsc::Sender<Failure>,
    record: Record,
) -> Result<LentDevice, WorkerError> {
    let (device, gpu) = (options.device, is_gpu(options.device));
    let sample = probe.sample(&Watch { gpu, ..Watch::default() });
    let machine = machine(&sample, gpu, options.memory.is_some())?;
    let known = |bytes: u64| (bytes < u64::MAX).then_some(bytes);
    let totals = Totals {
        memory: known(machine.memory),
        gpu_memory: machine.gpu_memory.and_then(known),
        disk: gogrid_probe::disk_size(&options.data).ok(),
    };
    let policy = options.policy.clone();
    let mut settings = match &options.limits {
        None if options.resident => {
            let (settings, event) = Settings::load_or_set_aside(&options.data, options.preset, policy, totals)?;
            event.into_iter().for_each(|event| record.happened(event));
            settings
        }
        file => Settings::load(&options.data, file.as_deref(), options.preset, policy, totals)?,
    };
    if let Some(bytes) = options.memory {
        settings.set(if gpu { "gpu-memory" } else { "memory" }, &format!("{bytes}B"))?;
    }
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
        record,
        gpu,
        long_pause: LONG_PAUSE,
    };
    let resources = ResourceController::start(parts)?;
    let runtime = if gpu { Some(ledger.reserve(Account::Runtime, GPU_RUNTIME)?) } else { None };
    let loader = Loader { executor, cache, device, ledger, paced, _runtime: Arc::new(runtime) };
    let machine = gogrid_panel_api::Machine {
        cores: machine.cores,
        memory: totals.memory,
        gpu_name: gpu.then(|| name_of(device)).flatten(),
        gpu_memory: totals.gpu_memory,
        disk: totals.disk,
    };
    Ok(LentDevice { resources, loader, machine })
}

fn name_of(device: DeviceSpec) -> Option<String> {
    let device = Some(device.to_string());
    gogrid_probe::devices().into_iter().find(|found| found.device == device).map(|found| found.name)
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
async fn sample_on_arrivals(mut arrivals: watch::Receiver<u64>, resources: ResourceController) {
    while arrivals.changed().await.is_ok() {
        resources.sample_now();
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
