//! The fleet: which workers are connected, which pipelines they make up. One task owns all of it; everybody else holds
//! a [`Fleet`] handle and sends events.
//!
//! A model without a pipeline is planned whenever something changed that could give it one. Its pipeline is then built
//! in two steps: every stage loads (`Load` → `Loaded`), then all link up (`Start` → `Started`). When a machine or a
//! link of it is lost, the whole epoch ends and the model is planned anew. A model that is served gets further
//! pipelines on machines of their own ([`scale_out`]), which take over from one that is lost.

mod build;
mod improve;
mod models;
mod assign;
mod scale_out;
mod report;
mod returning;
mod spares;
mod health;
#[cfg(test)]
mod tests;
mod timing;
mod reliability;

pub(crate) use build::RingEnd;
pub(crate) use models::Model;
pub(crate) use timing::Timing;

use crate::{
    planner::{Measured, Placement},
    published::{Published, Publisher, publish},
    registry::Registry,
    route::Routes,
    status::Status,
};
use build::Build;
use gogrid_wire::{
    Epoch, PeerId,
    control::{Beat, Hello, Lends, ToCoordinator, ToWorker},
    stage,
};
use models::Models;
use returning::Returning;
use spares::Spare;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use reliability::ReliabilityRecords;

/// Events that may wait: a beat per machine and second, and a burst when all reconnect.
const EVENTS: usize = 4096;
/// A message for a worker.
#[derive(Debug)]
pub(crate) struct ToPeer {
    pub(crate) message: ToWorker,
    pub(crate) body: Vec<u8>,
}

/// A worker that was let in.
pub(crate) struct Connected {
    pub(crate) id: PeerId,
    pub(crate) hello: Hello,
    pub(crate) to_worker: mpsc::Sender<ToPeer>,
}

/// What the fleet's task is told.
pub(crate) enum Event {
    Connected { worker: Connected, reply: oneshot::Sender<u64> },
    Message { peer: PeerId, connection: u64, message: ToCoordinator, round_trip: Option<Duration> },
    Gone { peer: PeerId, connection: u64 },
    Attach { peer: PeerId, epoch: Epoch, role: stage::Role, reply: oneshot::Sender<Result<RingEnd, stage::Refusal>> },
    LinkEnded { epoch: Epoch, reason: String },
    Reload,
    Status { reply: oneshot::Sender<Status> },
}

/// A handle on the fleet's task.
#[derive(Clone)]
pub(crate) struct Fleet {
    events: mpsc::Sender<Event>,
    registry: Arc<Mutex<Registry>>,
}

impl Fleet {
    pub(crate) fn registry(&self) -> &Mutex<Registry> {
        &self.registry
    }

    /// Hands in an event. Cancel-safe.
    pub(crate) async fn tell(&self, event: Event) {
        drop(self.events.send(event).await);
    }

    /// A worker was let in; returns the number of this connection, `None` at shutdown.
    pub(crate) async fn connected(&self, worker: Connected) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.tell(Event::Connected { worker, reply }).await;
        answer.await.ok()
    }

    /// A worker wants to be the neighbour of the coordinator in an epoch's ring.
    pub(crate) async fn attach(
        &self,
        peer: PeerId,
        epoch: Epoch,
        role: stage::Role,
    ) -> Result<RingEnd, stage::Refusal> {
        let (reply, answer) = oneshot::channel();
        self.tell(Event::Attach { peer, epoch, role, reply }).await;
        answer.await.unwrap_or(Err(stage::Refusal::UnknownEpoch(epoch)))
    }

    /// What there is; `None` at shutdown.
    pub(crate) async fn status(&self) -> Option<Status> {
        let (reply, answer) = oneshot::channel();
        self.tell(Event::Status { reply }).await;
        answer.await.ok()
    }
}

/// A connected worker.
struct Worker {
    connection: u64,
    hello: Hello,
    device: gogrid_model::DeviceSpec,
    to_worker: mpsc::Sender<ToPeer>,
    last_beat: Instant,
    beat: Beat,
    /// What was measured of each model there, at what it lends now.
    measured: BTreeMap<String, Measured>,
    /// Of a packet between it and the coordinator.
    round_trip: Option<Duration>,
    /// Bytes a second that it took from the coordinator, at best.
    bandwidth: Option<u64>,
    lends: Lends,
    draining: bool,
}

impl Worker {
    /// Whether stages and sessions may be placed there.
    fn takes_work(&self) -> bool {
        !self.draining && self.lends.stopped.is_none()
    }
}

/// The task's state.
pub(crate) struct FleetTask {
    registry: Arc<Mutex<Registry>>,
    events: mpsc::Receiver<Event>,
    routes: Publisher<Routes>,
    models: Models,
    workers: BTreeMap<PeerId, Worker>,
    reliability: ReliabilityRecords,
    builds: BTreeMap<Epoch, Build>,
    /// The stages that each model's last pipeline had, for as long as the machines may still hold them.
    former: BTreeMap<String, Vec<Placement>>,
    /// Pipelines of the coordinator before this one.
    returning: Returning,
    /// Stages that are kept warm.
    spares: BTreeMap<Epoch, Spare>,
    /// Models that wait, with the reason and when to try again.
    waiting: BTreeMap<String, (String, Option<Instant>)>,
    /// When each model was last planned while it was served, and when one of them may be again.
    scaled_out: BTreeMap<String, Instant>,
    /// When spares were last loaded for each model.
    spared: BTreeMap<String, Instant>,
    scale_out_again: Option<Instant>,
    /// When to look for better plans again.
    improve_again: Instant,
    connections: u64,
    /// When this task last had a turn.
    last_turn: Instant,
    max_sessions: usize,
    /// Whether sessions of a lost pipeline may go on where they are kept.
    keep_sessions: bool,
    timing: Timing,
}

impl FleetTask {
    /// The task and its handle. `weights` is where the weights' server finds tensors.
    pub(crate) fn new(
        registry: Registry,
        weights: crate::weights::TensorIndex,
        max_sessions: usize,
        keep_sessions: bool,
        timing: Timing,
    ) -> (Self, Fleet, Published<Routes>) {
        let (events, received) = mpsc::channel(EVENTS);
        let (routes, published) = publish(Routes::default());
        let registry = Arc::new(Mutex::new(registry));
        let task = Self {
            registry: registry.clone(),
            events: received,
            routes,
            models: Models::new(weights),
            workers: BTreeMap::new(),
            reliability: ReliabilityRecords::default(),
            builds: BTreeMap::new(),
            former: BTreeMap::new(),
            returning: Returning::nothing(),
            spares: BTreeMap::new(),
            waiting: BTreeMap::new(),
            scaled_out: BTreeMap::new(),
            spared: BTreeMap::new(),
            scale_out_again: None,
            improve_again: Instant::now() + timing.improve_every,
            connections: 0,
            last_turn: Instant::now(),
            max_sessions,
            keep_sessions,
            timing,
        };
        (task, Fleet { events, registry }, published)
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.restore(self.timing.return_within).await;
        self.reload().await;
        let mut tick = tokio::time::interval(self.timing.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.last_turn = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    for peer in self.workers.keys() {
                        self.record_reliability(*peer).await;
                    }
                    break;
                }
                // Rare, so that it takes nothing from the events; behind them it might never have its turn.
                _ = tick.tick() => {
                    self.excuse_own_pause();
                    self.tick().await;
                }
                event = self.events.recv() => match event {
                    Some(event) => {
                        self.excuse_own_pause();
                        self.handle(event).await;
                    }
                    None => break,
                },
            }
        }
    }

    /// A coordinator that stood still itself, on a machine that slept or had no time for it, heard of nobody meanwhile:
    /// that is no silence of the machines.
    fn excuse_own_pause(&mut self) {
        let now = Instant::now();
        let since = now.duration_since(std::mem::replace(&mut self.last_turn, now));
        let stood_still = since.saturating_sub(self.timing.tick);
        if stood_still > self.timing.suspect_busy_after / 2 {
            tracing::warn!(seconds = stood_still.as_secs_f32(), "the coordinator stood still");
            self.workers.values_mut().for_each(|worker| worker.last_beat += stood_still);
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Connected { worker, reply } => self.connect(worker, reply).await,
            Event::Message { peer, connection, message, round_trip } => {
                if let Some(worker) = self.workers.get_mut(&peer).filter(|worker| worker.connection == connection) {
                    worker.round_trip = round_trip.or(worker.round_trip);
                    self.message(peer, message).await;
                }
            }
            Event::Gone { peer, connection } => {
                if self.workers.get(&peer).is_some_and(|worker| worker.connection == connection) {
                    self.lose(peer, "it disconnected").await;
                }
            }
            Event::Attach { peer, epoch, role, reply } => {
                let end = match self.builds.get_mut(&epoch) {
                    Some(build) => build.attach(peer, role),
                    None => Err(stage::Refusal::UnknownEpoch(epoch)),
                };
                drop(reply.send(end));
            }
            Event::LinkEnded { epoch, reason } => self.end(epoch, &reason).await,
            Event::Reload => self.reload().await,
            Event::Status { reply } => drop(reply.send(self.status().await)),
        }
    }

    async fn connect(&mut self, worker: Connected, reply: oneshot::Sender<u64>) {
        let Connected { id, hello, to_worker } = worker;
        if self.workers.contains_key(&id) {
            self.lose(id, "it connected anew").await;
        }
        self.connections += 1;
        let Ok(device) = hello.device.parse() else {
            return tracing::warn!(peer = %id.short(), device = hello.device, "a worker with an unknown kind of device");
        };
        if reply.send(self.connections).is_err() {
            return;
        }
        tracing::info!(peer = %id.short(), name = hello.name, device = hello.device, "worker connected");
        let lends = Lends { memory: hello.memory, stopped: None, computes: true };
        let worker = Worker {
            connection: self.connections,
            hello,
            lends,
            device,
            to_worker,
            last_beat: Instant::now(),
            beat: Beat { stages: Vec::new() },
            measured: BTreeMap::new(),
            round_trip: None,
            bandwidth: None,
            draining: false,
        };
        self.workers.insert(id, worker);
        self.reliability.came(id, Instant::now());
        self.waiting.values_mut().for_each(|(_, retry)| *retry = None);
        self.assign().await;
    }

    async fn message(&mut self, peer: PeerId, message: ToCoordinator) {
        match message {
            ToCoordinator::Beat(beat) => {
                let silent = self.workers.get(&peer).is_some_and(|worker| self.is_silent(worker));
                let measured = self.measured(&beat);
                if let Some(worker) = self.workers.get_mut(&peer) {
                    (worker.last_beat, worker.beat) = (Instant::now(), beat);
                    worker.measured.extend(measured);
                }
                if silent {
                    // Plans were made without it; what has no place may have one now.
                    self.waiting.values_mut().for_each(|(_, retry)| *retry = None);
                    self.assign().await;
                }
            }
            ToCoordinator::Loaded { epoch, weight_bytes, quant, bandwidth, .. } => {
                if let Some(worker) = self.workers.get_mut(&peer) {
                    worker.bandwidth = bandwidth.or(worker.bandwidth);
                }
                if let Some(spare) = self.spares.get_mut(&epoch) {
                    spare.loaded = Some((weight_bytes, quant.clone()));
                }
                let all = self.builds.get_mut(&epoch).is_some_and(|build| build.loaded(peer, weight_bytes, quant));
                if all {
                    let former = self.builds.get_mut(&epoch).map(|build| std::mem::take(&mut build.replaces));
                    for former in former.unwrap_or_default() {
                        self.close(former, "another takes over").await;
                    }
                    self.send_to_all(epoch, |_| ToWorker::Start { epoch }).await;
                }
            }
            ToCoordinator::Started { epoch, kept } => {
                if self.builds.get_mut(&epoch).is_some_and(|build| build.started(peer, kept)) {
                    tracing::info!(%epoch, "pipeline ready");
                    self.record_pipelines().await;
                    // A model that is served may have a replica now.
                    self.assign().await;
                }
            }
            ToCoordinator::LoadFailed { epoch, message } => {
                let name = self.worker_name(peer);
                self.end(epoch, &format!("{name} cannot load its stage: {message}")).await;
            }
            ToCoordinator::LinkLost { epoch, message } => {
                let name = self.worker_name(peer);
                self.end(epoch, &format!("{name} lost a stage link: {message}")).await;
            }
            ToCoordinator::StageGone { epoch, message } => {
                let name = self.worker_name(peer);
                self.end(epoch, &format!("{name} gave its stage up: {message}")).await;
            }
            ToCoordinator::Lends(lends) => self.lends(peer, lends).await,
            ToCoordinator::SessionFailed { epoch, session, error } => {
                if let Some(build) = self.builds.get(&epoch) {
                    build.pipeline.answer(session, crate::pipeline::Answer::Failed(error));
                }
            }
            ToCoordinator::Draining => self.drain(peer).await,
            ToCoordinator::Resign => match self.registry.lock().await.remove(peer) {
                Ok(()) => tracing::info!(peer = %peer.short(), "worker resigned"),
                Err(error) => tracing::error!(%error, "a worker that resigned is still a member"),
            },
            ToCoordinator::Hello(_) => tracing::warn!(peer = %peer.short(), "a second hello; ignored"),
        }
    }

    /// What a beat says of the models whose stages it names.
    fn measured(&self, beat: &Beat) -> Vec<(String, Measured)> {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let measured = beat.stages.iter().filter_map(|stage| {
            let (build, speed) = (self.builds.get(&stage.epoch)?, stage.speed?);
            let (head, prompt_layer) = (speed.head.map(seconds), speed.prompt_layer.map(seconds));
            Some((build.model.clone(), Measured { layer: seconds(speed.layer), head, prompt_layer }))
        });
        measured.collect()
    }

    /// The worker wants to leave: its pipelines take no new sessions, and end when theirs have moved or are over.
    async fn drain(&mut self, peer: PeerId) {
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.draining = true;
            tracing::info!(peer = %peer.short(), "worker draining");
        }
        self.assign().await;
        self.tick().await;
    }

    /// The worker's owner lends more or less than before, or has stopped or resumed it.
    async fn lends(&mut self, peer: PeerId, lends: Lends) {
        let Some(worker) = self.workers.get_mut(&peer) else { return };
        if worker.lends == lends {
            return;
        }
        tracing::info!(peer = %peer.short(), name = worker.hello.name, memory = lends.memory, stopped = lends.stopped, "worker lends");
        worker.lends = lends;
        // What has no place may have one now.
        self.waiting.values_mut().for_each(|(_, retry)| *retry = None);
        self.assign().await;
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        let silent = |worker: &Worker| now.duration_since(worker.last_beat) > self.timing.lost_after;
        let gone: Vec<PeerId> = self.workers.iter().filter(|(_, w)| silent(w)).map(|(id, _)| *id).collect();
        for peer in gone {
            self.lose(peer, "it missed three beats").await;
        }
        if self.update_health() {
            self.assign().await;
        }
        for epoch in self.left() {
            self.end(epoch, "its sessions have left it").await;
        }
        let leaving: Vec<PeerId> = self.workers.iter().filter(|(_, w)| w.draining).map(|(id, _)| *id).collect();
        for peer in leaving {
            if !self.builds.values().any(|build| build.has(peer)) {
                self.send(peer, ToWorker::Drained, Vec::new()).await;
            }
        }
        let due = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
        if self.waiting.values().any(|(_, retry)| due(retry)) || due(&self.scale_out_again) {
            self.assign().await;
        }
        self.improve().await;
    }

    /// A worker is gone, and every epoch that it was part of with it.
    async fn lose(&mut self, peer: PeerId, why: &str) {
        let name = self.worker_name(peer);
        tracing::warn!(peer = %peer.short(), name, why, "worker lost");
        let polite = self.workers.remove(&peer).is_some_and(|worker| worker.draining);
        self.reliability.went(peer, polite, Instant::now());
        self.spares.retain(|_, spare| spare.place.machine != peer);
        let epochs: Vec<Epoch> = self.builds.iter().filter(|(_, b)| b.has(peer)).map(|(epoch, _)| *epoch).collect();
        for epoch in epochs {
            self.close(epoch, &format!("{name}: {why}")).await;
        }
        self.assign().await;
        // Last: requests wait for what is above, and nobody for the disk.
        self.record_reliability(peer).await;
    }

    /// Ends an epoch, and plans its model anew.
    async fn end(&mut self, epoch: Epoch, reason: &str) {
        if self.close(epoch, reason).await {
            self.assign().await;
        }
    }

    /// Ends an epoch: its sessions go elsewhere, its workers are told. False if there is none.
    async fn close(&mut self, epoch: Epoch, reason: &str) -> bool {
        // Its sessions go on elsewhere at once, or they wait for a pipeline that may have some of its stages.
        let keep = self.keep_sessions && !self.is_served_without(epoch);
        let Some(build) = self.builds.remove(&epoch) else {
            self.drop_spare(epoch).await;
            return false;
        };
        tracing::warn!(%epoch, model = build.model, reason, "pipeline ended");
        build.pipeline.lost.cancel();
        for peer in build.peers() {
            self.send(peer, ToWorker::Stop { epoch, keep }, Vec::new()).await;
        }
        // A pipeline that never worked would fail again at once; one that did, or that lost a machine, deserves a new
        // plan now.
        let now = build.is_ready() || build.peers().any(|peer| !self.workers.contains_key(&peer));
        let retry = if now { Instant::now() } else { Instant::now() + self.timing.retry_after };
        let others = self.of_model(&build.model).next().is_some();
        let stages = build.stages.into_iter().map(|stage| stage.place).collect();
        self.former.insert(build.model.clone(), stages);
        if !(now && others) {
            self.waiting.insert(build.model, (reason.to_owned(), Some(retry)));
        }
        true
    }

    fn worker_name(&self, peer: PeerId) -> String {
        self.workers.get(&peer).map_or_else(|| peer.short(), |worker| worker.hello.name.clone())
    }

    async fn send(&self, peer: PeerId, message: ToWorker, body: Vec<u8>) {
        if let Some(worker) = self.workers.get(&peer)
            && worker.to_worker.try_send(ToPeer { message, body }).is_err()
        {
            tracing::warn!(peer = %peer.short(), "the worker's link takes no messages");
        }
    }
}
