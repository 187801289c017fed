//! The thread behind the resource controller.

use super::{
    Lent, Settings, View,
    chart::Observed,
    command::{Parts, Reply, ResourceCommand},
    lent::{self, stop_reason},
    system_caps::SystemCaps,
    view::Rates,
};
use crate::{error::chain, executor::Executor, ledgers::Ledgers, pace::Paced, weights::WeightCache};
use gogrid_limits::{Allowance, Governor, Limits, LimitsError, Machine, Now, Pause, Preset, Sample, Share};
use gogrid_panel_api::{PauseRequest, RequestError};
use gogrid_probe::{Probe, Watch};
use gogrid_wire::control::StopReason;
use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// How often the machine is sampled while there is work: input is answered within a tenth of a second.
const SAMPLE_BUSY: Duration = Duration::from_millis(50);
/// And while there is none: the governor takes a gap of ten seconds for a sleep, and an idle worker costs nothing.
const SAMPLE_IDLE: Duration = Duration::from_secs(2);
/// The longest pause with an end: a year. What is meant to last longer has no end.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) struct ControlLoop {
    settings: Settings,
    governor: Governor,
    probe: Box<dyn Probe>,
    paced: Paced,
    ledgers: Ledgers,
    executor: Executor,
    weights: WeightCache,
    gpu: bool,
    long_pause: Duration,
    machine: Machine,
    view: Arc<View>,
    caps: SystemCaps,
    rates: Rates,
    /// When the machine was last sampled.
    sampled: Instant,
    /// A pause that begins when the last session is over.
    finishing: Option<PauseRequest>,
    /// Whether the self-test has stopped everything.
    held: bool,
    /// Whether the system sleeps, or is about to.
    asleep: bool,
    /// Rows that were computed when the machine was last sampled.
    tokens: u64,
    stopped_since: Option<Instant>,
    /// Whether the stages were given up for a long pause.
    released: bool,
}

impl ControlLoop {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { settings, machine, probe, paced, ledgers, executor, weights, record, gpu, long_pause } = parts;
        let governor = Governor::new(settings.in_force(), machine).requiring(settings.required());
        let view = Arc::new(View::new(governor.allowance().clone(), settings.clone(), record, gpu));
        Self {
            settings,
            governor,
            probe,
            paced,
            ledgers,
            executor,
            weights,
            gpu,
            long_pause,
            machine,
            view,
            caps: SystemCaps::new(),
            rates: Rates::default(),
            sampled: Instant::now(),
            finishing: None,
            held: false,
            asleep: false,
            tokens: 0,
            stopped_since: None,
            released: false,
        }
    }

    /// What it last saw and decided.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Serves until every handle is gone.
    pub(super) fn run(mut self, commands: &mpsc::Receiver<(ResourceCommand, Option<Reply>)>) {
        loop {
            let busy = self.executor.gauge().is_busy() || self.finishing.is_some();
            let every = if busy { SAMPLE_BUSY } else { SAMPLE_IDLE };
            // Commands that come one after another do not keep it from sampling.
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

    /// Samples the machine, and enforces what the governor makes of it.
    pub(super) fn sample(&mut self) {
        let elapsed = std::mem::replace(&mut self.sampled, Instant::now()).elapsed();
        let watch = Watch {
            programs: self.governor.limits().stop_for.clone(),
            gpu: self.gpu,
            own_gpu_busy: self.gpu.then(|| self.rates.gpu_since_last(&self.paced)),
        };
        let sample = self.probe.sample(&watch);
        self.paced.observe(&sample);
        let now = self.now();
        self.governor.observe_day(self.view.record().lent_on(&now.local.date().to_string()));
        self.governor.update(&sample, now);
        self.rates.observe(&sample, &self.paced, self.executor.gauge().tokens());
        self.record(&sample, elapsed);
        self.view.observe(sample, self.rates.now());
        let over = self.view.sessions() == 0;
        match self.finishing.take_if(|_| over) {
            Some(request) => {
                if let Err(error) = self.pause(request) {
                    tracing::error!(error = error.message, "cannot pause");
                }
            }
            None => {
                if !self.enforce() {
                    tracing::warn!("memory over the limit is not freed yet");
                }
            }
        }
    }

    /// Records a sample for the charts, and the work since the last one for the day.
    fn record(&mut self, sample: &Sample, elapsed: Duration) {
        let observed = Observed {
            sample,
            limits: self.governor.limits(),
            allowance: self.governor.allowance(),
            machine: &self.machine,
            rates: self.rates.now(),
            ledger: self.ledgers.device.usage().total(),
            is_gpu: self.gpu,
        };
        let tokens = self.executor.gauge().tokens();
        let since = tokens - std::mem::replace(&mut self.tokens, tokens);
        let busy = self.executor.gauge().is_busy() && !self.paced.is_stopped();
        let work = observed.work(elapsed, since, busy);
        let today = jiff::Zoned::now().date().to_string();
        self.view.record().observe(&observed.point(), &today, &work);
    }

    /// Makes the allowance hold; false where memory over a limit is freed only after the slice under way, which takes
    /// long.
    fn enforce(&mut self) -> bool {
        let allowance = self.governor.allowance().clone();
        let paced = match self.held || self.asleep {
            true => Allowance { cpu: Share::ZERO, gpu: Share::ZERO, ..allowance.clone() },
            false => allowance.clone(),
        };
        self.paced.allow(&paced, self.governor.limits().cpu_threads);
        self.ledgers.allow(&allowance);
        self.executor.wake();
        let freed = !self.ledgers.are_over() || self.executor.shrink();
        self.bound_the_process();
        self.give_back_after_long_pause(&allowance);
        let computes = !self.asleep && self.paced.computes(&allowance);
        let stopped = match &self.finishing {
            _ if self.asleep => Some(StopReason::Unavailable),
            Some(_) => Some(StopReason::Paused),
            None if self.view.takes_none() => Some(StopReason::Unavailable),
            None => (!computes).then(|| stop_reason(&allowance)),
        };
        let lent = Lent { memory: lent::lent(&self.ledgers.device.usage()), stopped, computes };
        self.view.decided(allowance, &self.settings, lent, self.finishing.is_some());
        freed
    }

    /// What bounds the process as a whole: the system's caps, and disk and network for weights.
    fn bound_the_process(&mut self) {
        let limits = self.governor.limits();
        self.caps.apply(limits.cpu, (!self.gpu).then(|| limits.memory.resolve(self.machine.memory)));
        self.view.set_caps(self.caps.levers());
        // Where the disk's size is not known, a part of it bounds nothing.
        let disk = limits.disk.resolve(gogrid_probe::disk_size(self.weights.folder()).unwrap_or(u64::MAX));
        self.weights.bounds().set(disk, limits.network);
    }

    fn give_back_after_long_pause(&mut self, allowance: &Allowance) {
        if self.paced.computes(allowance) {
            (self.stopped_since, self.released) = (None, false);
            return;
        }
        let since = *self.stopped_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.long_pause && !self.released {
            self.released = self.executor.release();
        }
    }

    fn carry_out(&mut self, command: ResourceCommand) -> Result<(), RequestError> {
        match command {
            ResourceCommand::Sample => {
                self.sample();
                Ok(())
            }
            ResourceCommand::Sources(reply) => {
                // The client that asked may be gone.
                drop(reply.send(self.probe.sources()));
                Ok(())
            }
            ResourceCommand::Hold(held) => {
                self.held = held;
                self.enforced()
            }
            ResourceCommand::Sleep(asleep) => {
                self.asleep = asleep;
                self.enforced()
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
                self.enforced()
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

    /// Takes new limits of the donor: what a policy leaves of them holds, and they are saved for the next start.
    fn take(&mut self, limits: Limits) -> Result<(), RequestError> {
        self.settings.choose(limits);
        let now = self.now();
        self.governor.set_limits(self.settings.in_force(), now);
        let enforced = self.enforced();
        self.settings.keep().map_err(|error| RequestError {
            field: None,
            message: format!("the limits hold now, but cannot be kept for the next start: {}", chain(&error)),
        })?;
        enforced
    }

    /// Makes the allowance hold before a command is answered.
    fn enforced(&mut self) -> Result<(), RequestError> {
        match self.enforce() {
            true => Ok(()),
            false => Err(RequestError::new(
                None,
                "the limits hold now, but memory over them is in use until the slice that is computed now has ended",
            )),
        }
    }
}

fn refused(error: &LimitsError) -> RequestError {
    RequestError { field: error.key().map(str::to_owned), message: error.to_string() }
}
