//! The resource controller: a named thread that looks at the machine, lets the governor decide, and makes the allowance hold.
//!
//! ```text
//! probe ──Sample──▶ governor ──Allowance──▶ pacers, ledger ──▶ executor (before its next slice, its next allocation)
//! commands (limits, pause, resume) ──▶ governor            └──▶ coordinator (`Lends`), panel (`View`)
//! ```
//! It is a thread of its own so that an order holds at once, whatever the links or the executor are doing. It looks
//! often while there is work, seldom while there is none, and at once when work arrives.

mod settings;
mod sleep;
mod system_caps;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use settings::Settings;
pub use settings::{SettingsError, compute_threads, system_policy};
pub(crate) use sleep::follow as follow_sleep;
pub(crate) use view::{Lent, StageView, State, View};

use crate::{
    executor::Executor,
    pace::Paced,
    record::{self, Record, WorkDelta},
    weights::WeightCache,
};
use gogrid_limits::{
    Allowance, Governor, Ledger, Limits, LimitsError, Load, Machine, Memory, Now, Pause, Preset, Sample, Share, Usage,
};
use gogrid_panel_api::{PauseRequest, Point, RequestError};
use gogrid_probe::{Probe, Source, Watch};
use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};
use system_caps::SystemCaps;
use tokio::sync::oneshot;
use view::Rates;

/// How often the machine is looked at while there is work: input is answered within a tenth of a second.
const SAMPLE_BUSY: Duration = Duration::from_millis(50);
/// And while there is none: the governor takes a gap of ten seconds for a sleep, and an idle worker costs nothing.
const SAMPLE_IDLE: Duration = Duration::from_secs(2);
/// Orders that may wait: people give them one by one.
const COMMANDS: usize = 16;
/// After a pause of this length memory is given back. Before that, resuming needs no reload.
pub(crate) const LONG_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The longest pause with an end: a year. What is meant to last longer has no end.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 3600);

/// What the resource controller is told.
pub(crate) enum ResourceCommand {
    /// New values of limits; all are taken or none.
    Set(Vec<(String, String)>),
    /// Another preset.
    Preset(String),
    /// Stop computing.
    Pause(PauseRequest),
    /// Go on.
    Resume,
    /// Compute nothing, or go on, for the self-test: as for a pause, but nobody else is told.
    Hold(bool),
    /// Compute nothing and tell the coordinator, since the system goes to sleep; or go on, since it is awake.
    Sleep(bool),
    /// Look at the machine now: there is work.
    Sample,
    /// Tell where each signal comes from.
    Sources(oneshot::Sender<Vec<Source>>),
}

type Reply = oneshot::Sender<Result<(), RequestError>>;

/// A handle on the controller's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub(crate) struct ResourceController {
    commands: mpsc::SyncSender<(ResourceCommand, Option<Reply>)>,
    view: Arc<View>,
}

/// What a resource controller is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) probe: Box<dyn Probe>,
    pub(crate) paced: Paced,
    pub(crate) ledger: Ledger,
    pub(crate) executor: Executor,
    pub(crate) weights: WeightCache,
    pub(crate) record: Record,
    pub(crate) gpu: bool,
    /// After a pause of this length memory is given back: [`LONG_PAUSE`], but in tests.
    pub(crate) long_pause: Duration,
}

impl ResourceController {
    /// Starts the thread. It has looked at the machine once when this returns.
    pub(crate) fn start(parts: Parts) -> io::Result<Self> {
        let (commands, received) = mpsc::sync_channel(COMMANDS);
        let (ready, looked) = mpsc::sync_channel(1);
        let Parts { settings, machine, probe, paced, ledger, executor, weights, record, gpu, long_pause } = parts;
        let governor = Governor::new(settings.in_force(), machine);
        let view = Arc::new(View::new(governor.allowance().clone(), settings.clone(), record, gpu));
        let mut control_loop = ControlLoop {
            settings,
            governor,
            probe,
            paced,
            ledger,
            executor,
            weights,
            gpu,
            long_pause,
            machine,
            view: view.clone(),
            caps: SystemCaps::new(),
            rates: Rates::default(),
            sampled: Instant::now(),
            finishing: None,
            held: false,
            asleep: false,
            tokens: 0,
            stopped_since: None,
            released: false,
        };
        let body = move || {
            control_loop.sample();
            // Whoever started it waits.
            let _ = ready.send(());
            control_loop.run(&received);
        };
        thread::Builder::new().name("resources".into()).spawn(body)?;
        looked.recv().map_err(io::Error::other)?;
        Ok(Self { commands, view })
    }

    /// What it last saw and decided.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Gives an order and waits until it holds.
    pub(crate) async fn command(&self, command: ResourceCommand) -> Result<(), RequestError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.try_send((command, Some(reply))).is_err() {
            return Err(RequestError::new(
                None,
                "the worker has too many commands to carry out, or is ending; try again",
            ));
        }
        answer.await.unwrap_or_else(|_| Err(RequestError::new(None, "the worker is ending")))
    }

    /// Where each signal comes from on this machine.
    pub(crate) async fn sources(&self) -> Result<Vec<Source>, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.command(ResourceCommand::Sources(reply)).await?;
        answer.await.map_err(|_| RequestError::new(None, "the worker is ending"))
    }

    /// There is work: look at the machine now.
    pub(crate) fn sample_now(&self) {
        // When it is full, the thread is about to look anyway.
        drop(self.commands.try_send((ResourceCommand::Sample, None)));
    }
}

struct ControlLoop {
    settings: Settings,
    governor: Governor,
    probe: Box<dyn Probe>,
    paced: Paced,
    ledger: Ledger,
    executor: Executor,
    weights: WeightCache,
    gpu: bool,
    long_pause: Duration,
    machine: Machine,
    view: Arc<View>,
    caps: SystemCaps,
    rates: Rates,
    /// When the machine was last looked at.
    sampled: Instant,
    /// A pause that begins when the last session is over.
    finishing: Option<PauseRequest>,
    /// Whether the self-test has stopped everything.
    held: bool,
    /// Whether the system sleeps, or is about to.
    asleep: bool,
    /// Rows that were computed when the machine was last looked at.
    tokens: u64,
    stopped_since: Option<Instant>,
    /// Whether the stages were given up for a long pause.
    released: bool,
}

impl ControlLoop {
    fn run(mut self, commands: &mpsc::Receiver<(ResourceCommand, Option<Reply>)>) {
        loop {
            let busy = self.executor.gauge().is_busy() || self.finishing.is_some();
            let every = if busy { SAMPLE_BUSY } else { SAMPLE_IDLE };
            // Orders that come one after another do not keep it from looking.
            let wait = every.saturating_sub(self.sampled.elapsed());
            if wait.is_zero() {
                self.sample();
                continue;
            }
            match commands.recv_timeout(wait) {
                Ok((command, reply)) => {
                    let result = self.carry_out(command);
                    if let Some(reply) = reply {
                        drop(reply.send(result));
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn now(&self) -> Now {
        Now::new(gogrid_probe::since_boot(), &jiff::Zoned::now())
    }

    fn sample(&mut self) {
        let elapsed = std::mem::replace(&mut self.sampled, Instant::now()).elapsed();
        let watch = Watch {
            programs: self.governor.limits().stop_for.clone(),
            gpu: self.gpu,
            own_gpu_busy: self.gpu.then(|| self.rates.gpu_since_last(&self.paced)),
        };
        let sample = self.probe.sample(&watch);
        self.paced.observe(&sample);
        let now = self.now();
        self.governor.update(&sample, now);
        self.rates.turn(&sample, &self.paced, self.executor.gauge().tokens());
        self.note(&sample, elapsed);
        self.view.observe(sample, self.rates.now());
        let over = self.view.sessions() == 0;
        match self.finishing.take_if(|_| over) {
            Some(request) => {
                if let Err(error) = self.pause(request) {
                    tracing::error!(error = error.message, "cannot pause");
                }
            }
            None => self.hold(),
        }
    }

    /// For charts, and for what the day has seen.
    fn note(&mut self, sample: &Sample, elapsed: Duration) {
        let (limits, rates) = (self.governor.limits(), self.rates.now());
        let device = sample.gpu.as_ref().and_then(|gpu| gpu.known());
        let ledger = self.ledger.usage().total();
        let used = |memory: &Memory| memory.total.saturating_sub(memory.available).saturating_sub(memory.own);
        let others_memory = match device {
            Some(gpu) => Some(gpu.memory_used.saturating_sub(gpu.memory_own.known().copied().unwrap_or(ledger))),
            None if self.gpu => None,
            None => sample.memory.known().map(used),
        };
        let load = device.and_then(|gpu| gpu.load.known());
        let memory_limit = match self.machine.gpu_memory {
            Some(total) if self.gpu => limits.gpu_memory.resolve(total),
            _ => limits.memory.resolve(self.machine.memory),
        };
        let look = Point {
            at_ms: record::now_ms(),
            cpu: sample.cpu.known().map(|load| load.own),
            cpu_others: sample.cpu.known().map(Load::others),
            cpu_limit: limits.cpu.fraction() as f32,
            gpu: self.gpu.then_some(rates.gpu),
            gpu_others: load.map(Load::others),
            gpu_limit: self.gpu.then(|| limits.gpu.fraction() as f32),
            memory: Some(ledger),
            memory_others: others_memory,
            memory_limit: (memory_limit < u64::MAX).then_some(memory_limit),
            tokens_per_second: rates.tokens,
        };
        let tokens = self.executor.gauge().tokens();
        let work = WorkDelta {
            elapsed,
            tokens: tokens - std::mem::replace(&mut self.tokens, tokens),
            busy: self.executor.gauge().is_busy() && !self.paced.is_stopped(),
            cpu: look.cpu.unwrap_or_default(),
            cores: self.machine.cores,
            gpu_watts: device.and_then(|gpu| gpu.watts.known().copied()),
            gpu: load.map_or(0.0, |load| if load.total > 0.0 { (load.own / load.total).min(1.0) } else { 0.0 }),
        };
        self.view.record().observe(&look, &jiff::Zoned::now().date().to_string(), &work);
    }

    /// Makes the allowance hold.
    fn hold(&mut self) {
        let allowance = self.governor.allowance().clone();
        let paced = match self.held || self.asleep {
            true => Allowance { cpu: Share::ZERO, gpu: Share::ZERO, ..allowance.clone() },
            false => allowance.clone(),
        };
        self.paced.allow(&paced, self.governor.limits().cpu_threads);
        let limit = if self.gpu { allowance.gpu_memory } else { allowance.memory };
        self.ledger.set_limit(limit);
        self.executor.wake();
        if self.ledger.over() > 0 {
            self.executor.shrink(format!("less memory is lent now: {}", allowance.reason));
        }
        let limits = self.governor.limits();
        self.caps.apply(limits.cpu, (!self.gpu).then(|| limits.memory.resolve(self.machine.memory)));
        self.view.set_caps(self.caps.levers());
        // Where the disk's size is not known, a part of it bounds nothing.
        let disk = limits.disk.resolve(gogrid_probe::disk_size(self.weights.folder()).unwrap_or(u64::MAX));
        self.weights.bounds().set(disk, limits.network);
        self.give_back_after_long_pause(&allowance);
        let computes = !self.asleep && self.paced.computes(&allowance);
        let stopped = match &self.finishing {
            _ if self.asleep => Some("it goes to sleep".to_owned()),
            Some(_) => Some("it pauses after the answers under way".to_owned()),
            None => (!computes).then(|| allowance.reason.to_string()),
        };
        self.view.decided(
            allowance,
            &self.settings,
            Lent { memory: lent(&self.ledger.usage()), stopped, computes },
            self.finishing.is_some(),
        );
    }

    fn give_back_after_long_pause(&mut self, allowance: &Allowance) {
        if self.paced.computes(allowance) {
            (self.stopped_since, self.released) = (None, false);
            return;
        }
        let since = *self.stopped_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.long_pause && !self.released {
            self.released = self.executor.release(format!("not computing for long: {}", allowance.reason));
        }
    }

    fn carry_out(&mut self, command: ResourceCommand) -> Result<(), RequestError> {
        match command {
            ResourceCommand::Sample => {
                self.sample();
                Ok(())
            }
            ResourceCommand::Sources(reply) => {
                // Whoever asked may be gone.
                drop(reply.send(self.probe.sources()));
                Ok(())
            }
            ResourceCommand::Hold(held) => {
                self.held = held;
                self.hold();
                Ok(())
            }
            ResourceCommand::Sleep(asleep) => {
                self.asleep = asleep;
                self.hold();
                Ok(())
            }
            ResourceCommand::Set(changes) => {
                let limits = self.settings.with(&changes).map_err(|error| refused(&error))?;
                self.take(limits)
            }
            ResourceCommand::Preset(name) => {
                let preset: Preset = name.parse().map_err(|_| RequestError {
                    field: Some("preset".into()),
                    message: format!("preset = {name} is none of quiet, balanced and full"),
                })?;
                let mut limits = self.settings.chosen().clone();
                limits.choose(preset);
                self.take(limits)
            }
            ResourceCommand::Pause(request) if request.after_answers && self.view.sessions() > 0 => {
                self.finishing = Some(request);
                self.hold();
                Ok(())
            }
            ResourceCommand::Pause(request) => self.pause(request),
            ResourceCommand::Resume => {
                self.finishing = None;
                self.take(Limits { pause: None, ..self.settings.chosen().clone() })
            }
        }
    }

    fn pause(&mut self, request: PauseRequest) -> Result<(), RequestError> {
        self.finishing = None;
        let pause = match request.seconds.map(Duration::from_secs) {
            None => Pause::Indefinitely,
            Some(length) if length.is_zero() || length > LONGEST_PAUSE => {
                let message = format!("a pause of {} s is out of range: 1 s to 366 days", length.as_secs());
                return Err(RequestError { field: Some("seconds".into()), message });
            }
            Some(length) => Pause::Until(self.now().timestamp + length),
        };
        self.take(Limits { pause: Some(pause), ..self.settings.chosen().clone() })
    }

    /// Takes new limits of the donor: what a policy leaves of them holds, and they are kept for the next start.
    fn take(&mut self, limits: Limits) -> Result<(), RequestError> {
        self.settings.choose(limits);
        let now = self.now();
        self.governor.set_limits(self.settings.in_force(), now);
        self.hold();
        self.settings.keep().map_err(|error| RequestError {
            field: None,
            message: format!("the limits hold now, but cannot be kept for the next start: {}", chain(&error)),
        })
    }
}

fn refused(error: &LimitsError) -> RequestError {
    RequestError { field: error.key().map(str::to_owned), message: error.to_string() }
}

/// Memory for weights and KV caches: what the ledger may hold without the device's runtime, and without what is kept
/// back for a step's intermediate results (a batch is cut so that they fit).
pub(crate) fn lent(usage: &Usage) -> u64 {
    const PART: u64 = 16;
    const MOST: u64 = 256 << 20;
    usage.limit.saturating_sub(usage.runtime).saturating_sub((usage.limit / PART).min(MOST))
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
