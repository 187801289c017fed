use crate::{
    api::{Identity, WorkerApi},
    control::{Introduction, Shared},
    error::WorkerError,
    executor::{Executor, Failure},
    grid::{Grid, MembershipCommands},
    ledgers::Ledgers,
    links::{self, Inbound},
    load::Loader,
    local::Local,
    options::{WorkerOptions, WorkerState},
    pace::Paced,
    record::Record,
    resources::{LONG_PAUSE, Parts, ResourceController, Settings, follow_sleep},
    slices::{PLANNED, WHOLE},
    weights::WeightCache,
};
use gogrid_compute::{Runtime, check_built};
use gogrid_limits::{Account, Gpu, Machine, Sample, Totals};
use gogrid_link::{Protocol, Transport};
use gogrid_model::{DeviceKind, DeviceSpec};
use gogrid_probe::{Probe, Watch};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Session failures that may wait for the control link; more than a device has sessions.
const FAILURES: usize = 1024;
/// Stage links served at once: every stage has one, and a worker has at most as many stages.
const MAX_STAGE_LINKS: usize = 64;
/// Links of peers that no stage expects, which are told so and closed: they must not keep expected ones waiting.
const MAX_STRANGERS: usize = 8;

/// What a GPU's driver and libraries take, in bytes, if the machine does not show it: a CUDA context with cuBLAS.
const GPU_RUNTIME: u64 = 600 << 20;

/// A worker, ready to run.
pub struct Worker {
    transport: Arc<dyn Transport>,
    options: WorkerOptions,
    probe: Box<dyn Probe>,
    state: watch::Sender<WorkerState>,
}

impl Worker {
    /// A worker on this transport, with a probe of its machine.
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
        check_built(self.options.device)?;
        let record = Record::open(&self.options.data);
        record.begin();
        let result = self.serve(record.clone(), stop).await;
        record.end(result.as_ref().err().map(ToString::to_string));
        result
    }

    async fn serve(self, record: Record, stop: CancellationToken) -> Result<(), WorkerError> {
        let Self { transport, options, probe, state } = self;
        let (failed, failures) = mpsc::channel(FAILURES);
        let LentDevice { resources, loader, machine } = lend(&options, probe, failed, record.clone())?;
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
            cache: loader.cache.clone(),
            membership,
            given_up: Arc::new(options.given_up),
            testing: Arc::default(),
        };
        let shared = Shared { loader: loader.clone(), inbound: inbound.clone(), view: resources.view().clone() };
        let local = Local::bind(&options.data)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(local.serve(api));
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
            // The program ends, so that the coordinator notices at once: no request waits for a machine that will never
            // answer.
            () = executor.ended() => Err(WorkerError::Executor),
        };
        transport.close().await;
        result
    }
}

/// The device, with what bounds its use.
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
    failures: mpsc::Sender<Failure>,
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
    let settings = settings(options, totals, &record)?;
    let runtime = if gpu { Some(start_runtime(device, &sample, probe.as_mut())?) } else { None };
    let cache = WeightCache::open(&options.data.join("weights"))?;
    let (paced, ledgers) = (Paced::new(gpu), Ledgers::new(gpu));
    let planned = if options.whole_batches { WHOLE } else { PLANNED };
    let executor = Executor::start(&device.to_string(), planned, paced.clone(), ledgers.clone(), failures)?;
    let parts = Parts {
        settings,
        machine,
        probe,
        paced: paced.clone(),
        ledgers: ledgers.clone(),
        executor: executor.clone(),
        weights: cache.clone(),
        record,
        gpu,
        long_pause: LONG_PAUSE,
    };
    let resources = ResourceController::start(parts)?;
    let runtime = match runtime {
        Some((runtime, bytes)) => Some((runtime, ledgers.device.reserve(Account::Runtime, bytes)?)),
        None => None,
    };
    let loader = Loader { executor, cache, device, ledger: ledgers.device, paced, _runtime: Arc::new(runtime) };
    let machine = gogrid_panel_api::Machine {
        cores: machine.cores,
        memory: totals.memory,
        gpu_name: gpu.then(|| name_of(device)).flatten(),
        gpu_memory: totals.gpu_memory,
        disk: totals.disk,
    };
    Ok(LentDevice { resources, loader, machine })
}

/// The donor's limits: as they were saved, or as the options say.
fn settings(options: &WorkerOptions, totals: Totals, record: &Record) -> Result<Settings, WorkerError> {
    let WorkerOptions { data, limits, preset, policy, memory, .. } = options;
    let mut settings = if limits.is_none() && options.resident {
        let (settings, event) = Settings::load_or_set_aside(data, *preset, policy.clone(), totals)?;
        if let Some(event) = event {
            record.happened(event);
        }
        settings
    } else {
        Settings::load(data, limits.as_deref(), *preset, policy.clone(), totals)?
    };
    if let Some(bytes) = memory {
        let key = if is_gpu(options.device) { "gpu-memory" } else { "memory" };
        settings.set(key, &format!("{bytes}B"))?;
    }
    Ok(settings)
}

/// Starts a GPU's driver, and says what it and its libraries take of the memory before anything is loaded: what this
/// process has on the device, or what is used there more than before.
fn start_runtime(device: DeviceSpec, before: &Sample, probe: &mut dyn Probe) -> Result<(Runtime, u64), WorkerError> {
    let runtime = Runtime::start(device)?;
    let after = probe.sample(&Watch { gpu: true, ..Watch::default() });
    let seen = |sample: &Sample| sample.gpu.clone().and_then(|gpu| gpu.into_result().ok());
    let bytes = runtime_bytes(seen(before).as_ref(), seen(&after).as_ref());
    tracing::info!(%device, bytes, "the device's runtime is started");
    Ok((runtime, bytes))
}

/// What the runtime takes, from what was seen of the device before it was started and after.
fn runtime_bytes(before: Option<&Gpu>, after: Option<&Gpu>) -> u64 {
    let own = after.and_then(|gpu| gpu.memory_own.known().copied());
    let more = || Some(after?.memory_used.saturating_sub(before?.memory_used));
    own.or_else(more).filter(|bytes| *bytes > 0).unwrap_or(GPU_RUNTIME)
}

fn name_of(device: DeviceSpec) -> Option<String> {
    let device = Some(device.to_string());
    gogrid_probe::devices().into_iter().find(|found| found.device == device).map(|found| found.name)
}

/// The totals that limits in percent refer to. A total that is not known is not needed where `--memory` gives bytes.
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

/// Has the machine sampled as soon as there is work after a rest: the last sample may be seconds old.
async fn sample_on_arrivals(mut arrivals: watch::Receiver<u64>, resources: ResourceController) {
    while arrivals.changed().await.is_ok() {
        resources.sample_now();
    }
}

/// Takes the links that earlier stages dial.
async fn accept(transport: Arc<dyn Transport>, inbound: Inbound, executor: Executor) {
    let (mut expected, mut strangers) = (JoinSet::new(), JoinSet::new());
    while let Some(link) = transport.accept().await {
        let (links, most) = match inbound.expects(link.peer) {
            true => (&mut expected, MAX_STAGE_LINKS),
            false => (&mut strangers, MAX_STRANGERS),
        };
        while links.try_join_next().is_some() {}
        if link.protocol != Protocol::Stage || links.len() >= most {
            tracing::warn!(peer = %link.peer.short(), "link refused: not a stage link, or too many links");
            continue;
        }
        links.spawn(links::serve_inbound(link, inbound.clone(), executor.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_limits::{Load, Signal};

    fn gpu(used: u64, own: Option<u64>) -> Gpu {
        Gpu {
            load: Signal::Known(Load { total: 0.0, own: 0.0 }),
            memory_total: 8 << 30,
            memory_used: used,
            memory_own: own.map_or_else(|| Signal::unknown("not told"), Signal::Known),
            celsius: Signal::unknown("not looked at"),
            watts: Signal::unknown("not looked at"),
            shared: None,
        }
    }

    #[test]
    fn a_runtime_takes_what_the_device_shows_of_it() {
        let before = gpu(1 << 30, None);
        assert_eq!(runtime_bytes(Some(&before), Some(&gpu(3 << 30, Some(300 << 20)))), 300 << 20);
        assert_eq!(runtime_bytes(Some(&before), Some(&gpu((1 << 30) + 500, None))), 500);
        for after in [None, Some(gpu(1 << 20, None)), Some(gpu(1 << 30, Some(0)))] {
            assert_eq!(runtime_bytes(Some(&before), after.as_ref()), GPU_RUNTIME);
        }
    }
}
