//! The worker's control link: one connection to the coordinator, from `Hello` to its end.

#[cfg(test)]
mod tests;

use crate::{
    executor::{self, Installed, StageGauge},
    links::{self, Inbound, LinkLost},
    load::{Loader, StageLoadError},
    resources::{Lent, StageView, View, lent},
    slices::Speed,
    weights::Mirrors,
};
use gogrid_limits::Ledger;
use gogrid_link::{DialError, FrameSender, Link, LinkError, Protocol, Received, Transport};
use gogrid_wire::{
    Epoch, InviteToken, PeerAddr, VERSION,
    control::{
        Beat, Hello, Lends, Peer, Refusal, RetainedSession, StageBeat, StageSpec, StageSpeed, ToCoordinator, ToWorker,
        Welcome,
    },
    stage::Role,
};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// A sign of life goes out this often.
const BEAT: Duration = Duration::from_secs(1);
/// And this often while there are sessions, which somebody waits for.
const BUSY_BEAT: Duration = Duration::from_millis(250);
/// The coordinator answers the first message within this time.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// When leaving, sessions get this long to end.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// The coordinator takes a member off its list within this time.
const RESIGN_WITHIN: Duration = Duration::from_secs(2);
/// Messages from the coordinator that may wait while one is handled, and reports of stages that may wait to be sent.
const QUEUE: usize = 64;

/// Why the worker is not connected (any more).
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the link to the coordinator broke")]
    Link(#[from] LinkError),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the coordinator did not answer in time")]
    Timeout,
    #[error("the coordinator's first message was not understood")]
    Unexpected,
}

/// What the worker says of itself.
#[derive(Clone)]
pub(crate) struct Introduction {
    pub(crate) name: String,
    pub(crate) device: String,
    /// What it lends now.
    pub(crate) ledger: Ledger,
}

/// A coordinator has let the machine in.
pub(crate) struct Joined {
    link: Link,
    welcome: Welcome,
}

impl Joined {
    /// The grid's name.
    pub(crate) fn grid(&self) -> &str {
        &self.welcome.grid
    }
}

/// How the worker is asked to leave.
pub(crate) struct LeaveRequest {
    asked: CancellationToken,
    for_good: AtomicBool,
}

impl LeaveRequest {
    /// Asked when `stop` is, too.
    pub(crate) fn under(stop: &CancellationToken) -> Self {
        Self { asked: stop.child_token(), for_good: AtomicBool::new(false) }
    }

    /// Leave; for good: the machine is to be a member no longer.
    pub(crate) fn ask(&self, for_good: bool) {
        self.for_good.store(for_good, Ordering::Relaxed);
        self.asked.cancel();
    }
}

/// Dials the coordinator and is let in, or not.
pub(crate) async fn join(
    transport: &dyn Transport,
    coordinator: &PeerAddr,
    introduction: &Introduction,
    token: Option<InviteToken>,
) -> Result<Joined, ControlError> {
    let mut link = transport.dial(coordinator, Protocol::Control).await?;
    let Introduction { name, device, ledger } = introduction.clone();
    let memory = lent(&ledger.usage());
    let hello = Hello { version: VERSION, token, name, device, memory, addrs: transport.addrs().await };
    link.sender.send(&ToCoordinator::Hello(hello), &[]).await?;
    let answer = tokio::time::timeout(WELCOME_WITHIN, link.receiver.recv::<ToWorker>()).await;
    match answer.map_err(|_| ControlError::Timeout)??.message {
        ToWorker::Welcome(welcome) => Ok(Joined { link, welcome }),
        ToWorker::Refused(refusal) => Err(refusal.into()),
        _ => Err(ControlError::Unexpected),
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The worker was asked to stop and has left.
    Left,
    /// The coordinator or the network went away.
    Lost,
}

/// One stage on its way into service, or in it.
struct Held {
    spec: StageSpec,
    since: Instant,
    gauge: Option<Arc<StageGauge>>,
    /// Ends what runs for the stage: its load, then its links.
    tasks: Vec<AbortHandle>,
}

/// What outlives a connection.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) loader: Loader,
    pub(crate) inbound: Inbound,
    pub(crate) view: Arc<View>,
}

/// A connected worker.
pub(crate) struct Control {
    transport: Arc<dyn Transport>,
    coordinator: PeerAddr,
    loader: Loader,
    inbound: Inbound,
    mirrors: Mirrors,
    view: Arc<View>,
    held: HashMap<Epoch, Held>,
    tasks: JoinSet<()>,
    lost: mpsc::Sender<LinkLost>,
    reports: mpsc::Sender<Report>,
}

/// What a stage's tasks tell.
enum Report {
    Loaded(Epoch, Result<Installed, StageLoadError>),
    Linked(Epoch, Result<Vec<RetainedSession>, String>),
}

impl Control {
    /// Serves the connection until it breaks, or the worker is asked to leave and the sessions are over.
    pub(crate) async fn serve(
        transport: Arc<dyn Transport>,
        coordinator: PeerAddr,
        Joined { link, welcome }: Joined,
        Shared { loader, inbound, view }: Shared,
        failures: &mut mpsc::Receiver<executor::Failure>,
        leave: &LeaveRequest,
    ) -> Ended {
        let (lost, mut losses) = mpsc::channel(QUEUE);
        let (reports, mut reported) = mpsc::channel(QUEUE);
        let Link { mut sender, mut receiver, remote_ip, .. } = link;
        let mirrors = mirrors(&welcome, &coordinator, remote_ip);
        let (held, tasks) = (HashMap::new(), JoinSet::new());
        let mut lent = view.lent();
        // What changed while there was no connection is news too, and Hello says nothing of a pause.
        lent.mark_changed();
        let mut this = Self { transport, coordinator, loader, inbound, mirrors, view, held, tasks, lost, reports };

        let (messages, mut incoming) = mpsc::channel(QUEUE);
        this.tasks.spawn(async move {
            while let Ok(message) = receiver.recv::<ToWorker>().await {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
        });

        let beat = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(beat);
        // The first beat of work does not wait for the next one of rest.
        let mut arrivals = this.loader.executor.gauge().arrivals();
        let mut leaving = false;
        let deadline = tokio::time::sleep(Duration::MAX);
        tokio::pin!(deadline);
        let ended = loop {
            let message = tokio::select! {
                () = leave.asked.cancelled(), if !leaving => {
                    leaving = true;
                    // What does not compute will not end its sessions; they go on elsewhere when it is gone.
                    let within = if this.loader.paced.is_stopped() { Duration::ZERO } else { DRAIN_WITHIN };
                    deadline.as_mut().reset(tokio::time::Instant::now() + within);
                    Some(ToCoordinator::Draining)
                }
                () = &mut deadline, if leaving => break Ended::Left,
                Ok(()) = arrivals.changed() => {
                    beat.as_mut().reset(tokio::time::Instant::now());
                    None
                }
                () = &mut beat => {
                    let now = this.beat();
                    let busy = now.stages.iter().any(|stage| stage.sessions > 0);
                    beat.as_mut().reset(tokio::time::Instant::now() + if busy { BUSY_BEAT } else { BEAT });
                    Some(ToCoordinator::Beat(now))
                }
                message = incoming.recv() => match message {
                    Some(Received { message: ToWorker::Drained, .. }) => break Ended::Left,
                    Some(Received { message, body }) => { this.handle(message, body).await; None }
                    None => break if leaving { Ended::Left } else { Ended::Lost },
                },
                Some(given_up) = failures.recv() => this.given_up(given_up),
                Ok(()) = lent.changed() => {
                    let now = lent.borrow_and_update().clone();
                    now.map(|Lent { memory, stopped, computes }| ToCoordinator::Lends(Lends { memory, stopped, computes }))
                }
                Some(LinkLost { epoch, message }) = losses.recv() => {
                    let known = this.held.contains_key(&epoch);
                    known.then_some(ToCoordinator::LinkLost { epoch, message })
                }
                Some(report) = reported.recv() => this.report(report),
            };
            if let Some(message) = message
                && send(&mut sender, &message).await.is_err()
            {
                break if leaving { Ended::Left } else { Ended::Lost };
            }
        };
        if ended == Ended::Left && leave.for_good.load(Ordering::Relaxed) {
            resign(&mut sender, &mut incoming).await;
        }
        let epochs: Vec<Epoch> = this.held.keys().copied().collect();
        for epoch in epochs {
            this.stop(epoch, ended == Ended::Lost).await;
        }
        ended
    }

    fn beat(&self) -> Beat {
        let slowdown = self.loader.paced.slowdown();
        let stages = self.held.iter().filter_map(|(epoch, held)| {
            let gauge = held.gauge.as_ref()?;
            let (sessions, kv_used) = (gauge.sessions.load(Ordering::Relaxed), gauge.kv_used.load(Ordering::Relaxed));
            let speed = gauge.speed().and_then(|speed| at_allowance(speed, slowdown));
            Some(StageBeat { epoch: *epoch, sessions, kv_used, speed })
        });
        Beat { stages: stages.collect() }
    }

    async fn handle(&mut self, message: ToWorker, body: Vec<u8>) {
        match message {
            ToWorker::Load(spec) => self.load(spec, body),
            ToWorker::Start { epoch } => self.start(epoch),
            ToWorker::Stop { epoch, keep } => self.stop(epoch, keep).await,
            ToWorker::Welcome(_) | ToWorker::Refused(_) | ToWorker::Drained => {
                tracing::warn!("a message out of turn from the coordinator; ignored");
            }
        }
    }

    fn load(&mut self, spec: StageSpec, manifest: Vec<u8>) {
        let (epoch, model) = (spec.epoch, &spec.model);
        tracing::info!(%epoch, model, layers = ?(spec.first_layer..spec.end_layer), "loading a stage");
        if let Some(peer) = spec.from.worker() {
            self.inbound.expect(epoch, peer, self.lost.clone());
        }
        let (loader, mirrors, reports) = (self.loader.clone(), self.mirrors.clone(), self.reports.clone());
        let loading = {
            let spec = spec.clone();
            self.tasks.spawn(async move {
                let result = loader.load(&spec, &manifest, &mirrors).await;
                drop(reports.send(Report::Loaded(epoch, result)).await);
            })
        };
        let since = Instant::now();
        self.view.set_stage(epoch.0, Some(stage_view(&spec, since, None)));
        self.held.insert(epoch, Held { spec, since, gauge: None, tasks: vec![loading] });
    }

    /// Links up: the executor's output to the later stage, and from the coordinator where this stage is the first.
    fn start(&mut self, epoch: Epoch) {
        let Some(held) = self.held.get_mut(&epoch) else { return };
        let (from, to) = (held.spec.from.clone(), held.spec.to.clone());
        let (transport, coordinator) = (self.transport.clone(), self.coordinator.clone());
        let (executor, lost, reports) = (self.loader.executor.clone(), self.lost.clone(), self.reports.clone());
        held.tasks.push(self.tasks.spawn(async move {
            let up = async {
                let to = if let Peer::Worker(addr) = &to { addr } else { &coordinator };
                let out = links::dial(&*transport, to, epoch, Role::Sender).await?;
                let first = match from {
                    Peer::Coordinator => Some(links::dial(&*transport, &coordinator, epoch, Role::Receiver).await?),
                    Peer::Worker(_) => None,
                };
                Ok::<_, links::ConnectError>((out, first))
            };
            match up.await {
                Ok((link, first)) => {
                    let (out, outgoing) = mpsc::channel(links::OUT_QUEUE);
                    executor.connect(epoch, out).await;
                    let retained = executor.retained(epoch).await.ok_or_else(|| "the stage is not here".into());
                    drop(reports.send(Report::Linked(epoch, retained)).await);
                    let transmit = links::transmit(epoch, link, outgoing, lost.clone());
                    match first {
                        Some(first) => {
                            {
                                tokio::join!(transmit, links::receive(epoch, first.receiver, &executor, &lost));
                            };
                        }
                        None => transmit.await,
                    }
                }
                Err(error) => drop(reports.send(Report::Linked(epoch, Err(error.to_string()))).await),
            }
        }));
    }

    async fn stop(&mut self, epoch: Epoch, keep: bool) {
        self.inbound.forget(epoch);
        if let Some(held) = self.held.remove(&epoch) {
            held.tasks.iter().for_each(AbortHandle::abort);
            self.loader.executor.park(epoch, keep).await;
            self.view.set_stage(epoch.0, None);
            tracing::info!(%epoch, "stage stopped");
        }
    }

    /// What the executor had to give up.
    fn given_up(&mut self, given_up: executor::Failure) -> Option<ToCoordinator> {
        match given_up {
            executor::Failure::Session { epoch, session, error } => {
                Some(ToCoordinator::SessionFailed { epoch, session, error })
            }
            executor::Failure::Stage { epoch, message } => {
                self.inbound.forget(epoch);
                let held = self.held.remove(&epoch)?;
                held.tasks.iter().for_each(AbortHandle::abort);
                self.view.set_stage(epoch.0, None);
                Some(ToCoordinator::StageGone { epoch, message })
            }
        }
    }

    fn report(&mut self, report: Report) -> Option<ToCoordinator> {
        let (Report::Loaded(epoch, _) | Report::Linked(epoch, _)) = &report;
        let (epoch, held) = (*epoch, self.held.get_mut(epoch)?);
        Some(match report {
            Report::Loaded(_, Ok(installed)) => {
                let loaded = (installed.weight_bytes, installed.gauge.clone());
                self.view.set_stage(epoch.0, Some(stage_view(&held.spec, held.since, Some(loaded))));
                held.gauge = Some(installed.gauge);
                let (kv_budget, quant) = (held.spec.kv_budget, installed.quant.to_string());
                let bandwidth = self.loader.cache.bandwidth();
                ToCoordinator::Loaded { epoch, weight_bytes: installed.weight_bytes, kv_budget, quant, bandwidth }
            }
            Report::Loaded(_, Err(error)) => {
                let message = chain(&error);
                tracing::warn!(%epoch, message, "the stage cannot be loaded");
                ToCoordinator::LoadFailed { epoch, message }
            }
            Report::Linked(_, Ok(kept)) => ToCoordinator::Started { epoch, kept },
            Report::Linked(_, Err(message)) => ToCoordinator::LinkLost { epoch, message },
        })
    }
}

/// What a stage takes under limits; `None` while nothing is allowed.
fn at_allowance(speed: Speed, slowdown: f64) -> Option<StageSpeed> {
    let nanos = |seconds: f64| (seconds * slowdown * 1e9) as u64;
    let Speed { layer, head, prompt_layer } = speed;
    let speed = StageSpeed { layer: nanos(layer), head: head.map(nanos), prompt_layer: prompt_layer.map(nanos) };
    slowdown.is_finite().then_some(speed)
}

fn stage_view(spec: &StageSpec, since: Instant, loaded: Option<(u64, Arc<StageGauge>)>) -> StageView {
    StageView { model: spec.model.clone(), layers: [spec.first_layer, spec.end_layer], since, loaded }
}

/// Says that the machine is a member no longer, and waits until the coordinator has closed: it has read it then.
async fn resign<T>(sender: &mut FrameSender, incoming: &mut mpsc::Receiver<T>) {
    if send(sender, &ToCoordinator::Resign).await.is_ok() {
        let closed = async { while incoming.recv().await.is_some() {} };
        if tokio::time::timeout(RESIGN_WITHIN, closed).await.is_err() {
            tracing::warn!("the coordinator may not have heard that this machine leaves");
        }
    }
}

async fn send(sender: &mut FrameSender, message: &ToCoordinator) -> Result<(), LinkError> {
    sender.send(message, &[]).await
}

/// The weights' server runs beside the coordinator: at the address that answered, else at any it is known by.
fn mirrors(welcome: &Welcome, coordinator: &PeerAddr, remote: Option<IpAddr>) -> Mirrors {
    let known: BTreeSet<IpAddr> = coordinator.addrs.iter().map(std::net::SocketAddr::ip).collect();
    let others = known.into_iter().filter(|ip| Some(*ip) != remote);
    let urls = remote.into_iter().chain(others).map(|ip| match ip {
        IpAddr::V4(ip) => format!("http://{ip}:{}", welcome.weights_port),
        IpAddr::V6(ip) => format!("http://[{ip}]:{}", welcome.weights_port),
    });
    Mirrors { urls: urls.collect(), token: welcome.weights_token.clone() }
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
