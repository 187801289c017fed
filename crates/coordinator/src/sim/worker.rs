//! A simulated worker: it speaks the control protocol as a real one does, and its stages ([`stage`](super::stage)) the
//! stage protocol.

use super::{
    checks::Log,
    machine::Quirks,
    model::Kv,
    stage::{self, Frame},
    turns::Computer,
};
use crate::published::Published;
use gogrid_link::{Link, Protocol, Transport};
use gogrid_wire::{
    Epoch, InviteToken, PeerAddr, PeerId, SessionId, VERSION,
    control::{Beat, Hello, Lends, LoadFailure, Peer, RetainedSession, StageBeat, StageSpec, ToCoordinator, ToWorker},
    hello::{Capabilities, feature},
    stage::{Hello as StageHello, Refusal, Reply, Role, StageFrame},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const BEAT: Duration = Duration::from_secs(1);
const BUSY_BEAT: Duration = Duration::from_millis(250);
/// How long sessions of an epoch that is over are retained.
const RETAINED_FOR: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// Pauses between two tries to reach the coordinator.
const PAUSES: [u64; 6] = [100, 200, 400, 800, 1600, 5000];
/// Messages that may wait.
const QUEUE: usize = 64;

/// What a worker's tasks share.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) id: PeerId,
    pub(super) coordinator: PeerId,
    pub(super) token: InviteToken,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) computer: Computer,
    pub(super) log: Log,
    pub(super) lends: Published<Lends>,
    pub(super) quirks: Arc<Mutex<Quirks>>,
    pub(super) held: Arc<Mutex<BTreeMap<Epoch, Held>>>,
    pub(super) parked: Arc<Mutex<Vec<Parked>>>,
    pub(super) leave_request: CancellationToken,
}

/// A stage whose epoch is over, with the sessions that may go on.
pub(super) struct Parked {
    spec: StageSpec,
    sessions: BTreeMap<SessionId, Kv>,
    until: Instant,
}

/// A stage on its way into service, or in it.
pub(super) struct Held {
    pub(super) spec: StageSpec,
    pub(super) sessions: BTreeMap<SessionId, Kv>,
    /// Those of earlier epochs.
    pub(super) retained: BTreeMap<SessionId, Kv>,
    /// Those whose answers are complete.
    pub(super) cached: BTreeMap<SessionId, Kv>,
    /// Those that could not go on here: frames that still come for them are ignored.
    pub(super) refused: BTreeSet<SessionId>,
    /// The epoch whose stage hands over to this one.
    handover_from: Option<Epoch>,
    frames: mpsc::Sender<Frame>,
    received: Option<mpsc::Receiver<Frame>>,
    pub(super) reports: mpsc::Sender<ToCoordinator>,
    tasks: Vec<AbortHandle>,
}

impl Worker {
    /// Finds the coordinator, again and again, until it has left.
    pub(super) async fn live(self) {
        self.computer.spawn(self.clone().accept());
        let mut tries = 0;
        loop {
            if let Some(link) = self.join().await {
                tries = 0;
                let left = self.serve(link).await;
                let epochs: Vec<Epoch> = self.held().keys().copied().collect();
                epochs.into_iter().for_each(|epoch| self.stop(epoch, !left));
                if left {
                    return self.say("has left");
                }
            }
            tokio::time::sleep(Duration::from_millis(PAUSES[tries.min(PAUSES.len() - 1)])).await;
            tries += 1;
        }
    }

    async fn join(&self) -> Option<Link> {
        let coordinator = PeerAddr { id: self.coordinator, addrs: Vec::new() };
        let mut link = self.transport.dial(&coordinator, Protocol::Control).await.ok()?;
        let hello = Hello {
            version: VERSION,
            token: Some(self.token),
            name: format!("machine-{}", self.id.0[0]),
            device: "cpu".into(),
            memory: self.lends.current().memory,
            addrs: Vec::new(),
        };
        let features = [feature::KV_REUSE, feature::BF16, feature::PREFIX_CACHE].map(String::from).into();
        let capabilities = Capabilities { features, ..Capabilities::default() };
        link.sender.send(&ToCoordinator::Hello(hello), &capabilities.to_body()).await.ok()?;
        let answer = timeout(2 * ANSWER_WITHIN, link.receiver.recv::<ToWorker>()).await.ok()?.ok()?;
        matches!(answer.message, ToWorker::Welcome(_)).then_some(link)
    }

    /// Serves a connection; true when the worker has left.
    async fn serve(&self, Link { mut sender, mut receiver, .. }: Link) -> bool {
        self.say("is connected");
        let (messages, mut incoming) = mpsc::channel(QUEUE);
        let reading = self.computer.spawn(async move {
            while let Ok(message) = receiver.recv::<ToWorker>().await {
                if messages.send(message.message).await.is_err() {
                    return;
                }
            }
        });
        let (reports, mut reported) = mpsc::channel(QUEUE);
        let mut beat = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut leaving = false;
        let mut deadline = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        let mut lends = self.lends.clone();
        let mut lent = lends.observe();
        // What Hello does not say.
        let mut news = lent.stopped.is_some() || !lent.computes;
        let left = loop {
            let message = tokio::select! {
                biased;
                () = std::future::ready(()), if news => {
                    news = false;
                    Some(ToCoordinator::Lends(lent.clone()))
                }
                () = self.leave_request.cancelled(), if !leaving => {
                    leaving = true;
                    let within = if lent.computes { DRAIN_WITHIN } else { Duration::ZERO };
                    deadline.as_mut().reset(tokio::time::Instant::now() + within);
                    Some(ToCoordinator::Draining)
                }
                () = &mut deadline, if leaving => break true,
                () = &mut beat => {
                    let now = self.beat();
                    let busy = now.stages.iter().any(|stage| stage.sessions > 0);
                    beat.as_mut().reset(Instant::now() + if busy { BUSY_BEAT } else { BEAT });
                    Some(ToCoordinator::Beat(now))
                }
                message = incoming.recv() => match message {
                    Some(ToWorker::Drained) => break true,
                    Some(message) => {
                        self.handle(message, &reports);
                        None
                    }
                    None => break leaving,
                },
                Ok(()) = lends.changed() => {
                    (lent, news) = (lends.observe(), true);
                    None
                }
                Some(report) = reported.recv() => Some(report),
            };
            if let Some(message) = message
                && sender.send(&message, &[]).await.is_err()
            {
                break leaving;
            }
        };
        reading.abort();
        left
    }

    fn beat(&self) -> Beat {
        let beat = |(epoch, held): (&Epoch, &Held)| StageBeat {
            epoch: *epoch,
            sessions: held.sessions.len() as u32,
            kv_used: 0,
            speed: None,
        };
        Beat { stages: self.held().iter().map(beat).collect() }
    }

    fn handle(&self, message: ToWorker, reports: &mpsc::Sender<ToCoordinator>) {
        match message {
            ToWorker::Load(spec) => self.load(spec, reports),
            ToWorker::Start { epoch } => {
                let started = self.computer.spawn(self.clone().start(epoch));
                if let Some(held) = self.held().get_mut(&epoch) {
                    held.tasks.push(started);
                }
            }
            ToWorker::Stop { epoch, keep } => self.stop(epoch, keep),
            ToWorker::Welcome(_) | ToWorker::Refused(_) | ToWorker::Drained | ToWorker::About => {
                self.log.wrong("a message out of turn");
            }
        }
    }

    fn stop(&self, epoch: Epoch, keep: bool) {
        let mut all = self.held();
        let Some(held) = all.remove(&epoch) else { return };
        held.tasks.iter().for_each(AbortHandle::abort);
        self.say(format_args!("stops {epoch}"));
        let (spec, mut sessions) = (held.spec, held.sessions);
        sessions.extend(held.retained);
        sessions.extend(held.cached);
        sessions.retain(|_, _| keep);
        match all.iter_mut().find(|(_, successor)| successor.handover_from == Some(epoch)) {
            Some((&now, successor)) => {
                (successor.retained, successor.handover_from) = (sessions, None);
                let others = all.values_mut().filter(|other| other.handover_from == Some(epoch));
                others.for_each(|other| other.handover_from = Some(now));
            }
            // One that was to take over and never did has nothing.
            None if held.handover_from.is_none() => {
                let until = Instant::now() + RETAINED_FOR;
                self.parked().push(Parked { spec, sessions, until });
            }
            None => {}
        }
    }

    /// What a stage finds in memory: that of the epoch that it takes over, or retained sessions.
    fn reuse(&self, spec: &StageSpec) -> (Option<Epoch>, BTreeMap<SessionId, Kv>) {
        let key = |spec: &StageSpec| (spec.model.clone(), spec.first_layer, spec.end_layer, spec.kv_budget);
        let serving = self
            .held()
            .iter()
            .find(|(_, held)| held.handover_from.is_none() && key(&held.spec) == key(spec))
            .map(|(epoch, _)| *epoch);
        if serving.is_some() {
            return (serving, BTreeMap::new());
        }
        let mut parked = std::mem::take(&mut *self.parked());
        parked.retain(|parked| parked.until > Instant::now() && key(&parked.spec) == key(spec));
        (None, parked.pop().map(|parked| parked.sessions).unwrap_or_default())
    }

    fn load(&self, spec: StageSpec, reports: &mpsc::Sender<ToCoordinator>) {
        let epoch = spec.epoch;
        self.say(format_args!("loads {epoch}: layers {}..{}", spec.first_layer, spec.end_layer));
        let (time, fails) = {
            let mut quirks = self.quirks.lock().unwrap_or_else(PoisonError::into_inner);
            let fails = quirks.failing_loads > 0;
            quirks.failing_loads = quirks.failing_loads.saturating_sub(1);
            (quirks.load, fails)
        };
        let report = if fails {
            ToCoordinator::LoadFailed { epoch, reason: LoadFailure::Failed }
        } else {
            ToCoordinator::Loaded { epoch, weight_bytes: 1, quant: "none".into(), bandwidth: None }
        };
        let loading = self.computer.spawn({
            let reports = reports.clone();
            async move {
                tokio::time::sleep(time).await;
                drop(reports.send(report).await);
            }
        });
        let (frames, received) = mpsc::channel(QUEUE);
        let (received, reports, tasks) = (Some(received), reports.clone(), vec![loading]);
        let (handover_from, retained) = self.reuse(&spec);
        let held = Held {
            spec,
            sessions: BTreeMap::new(),
            retained,
            cached: BTreeMap::new(),
            refused: BTreeSet::new(),
            handover_from,
            frames,
            received,
            reports,
            tasks,
        };
        if self.held().insert(epoch, held).is_some() {
            self.log.wrong(format_args!("epoch {epoch} is loaded twice"));
        }
    }

    /// Links a stage up, and computes.
    async fn start(self, epoch: Epoch) {
        let (spec, frames, received, reports) = {
            let mut held = self.held();
            let Some(held) = held.get_mut(&epoch) else { return };
            let Some(received) = held.received.take() else { return self.log.wrong("a stage is started twice") };
            (held.spec.clone(), held.frames.clone(), received, held.reports.clone())
        };
        let lost = |message: &str| ToCoordinator::LinkLost { epoch, message: message.into() };
        let to = spec.to.worker().unwrap_or(self.coordinator);
        let Some(out) = self.dial(to, epoch, Role::Sender).await else {
            return drop(reports.send(lost("no link to the later stage")).await);
        };
        if spec.from == Peer::Coordinator {
            let Some(first) = self.dial(self.coordinator, epoch, Role::Receiver).await else {
                return drop(reports.send(lost("no link from the coordinator")).await);
            };
            let reading = self.computer.spawn(self.clone().receive(epoch, first, frames, reports.clone()));
            if let Some(held) = self.held().get_mut(&epoch) {
                held.tasks.push(reading);
            }
        }
        drop(reports.send(ToCoordinator::Started { epoch, kept: self.retained(epoch) }).await);
        let reason = stage::run(&self, &spec, received, out).await;
        if self.held().contains_key(&epoch) {
            drop(reports.send(lost(reason)).await);
        }
    }

    async fn dial(&self, to: PeerId, epoch: Epoch, role: Role) -> Option<Link> {
        let mut link = self.transport.dial(&PeerAddr { id: to, addrs: Vec::new() }, Protocol::Stage).await.ok()?;
        link.sender.send(&StageHello { version: VERSION, epoch, role }, &[]).await.ok()?;
        let reply = timeout(ANSWER_WITHIN, link.receiver.recv::<Reply>()).await.ok()?.ok()?.message;
        (reply == Reply::Accepted).then_some(link)
    }

    /// Takes the links that earlier stages dial.
    async fn accept(self) {
        while let Some(link) = self.transport.accept().await {
            self.computer.spawn(self.clone().inbound(link));
        }
    }

    async fn inbound(self, mut link: Link) {
        let Ok(Ok(hello)) = timeout(ANSWER_WITHIN, link.receiver.recv::<StageHello>()).await else { return };
        let StageHello { epoch, role, .. } = hello.message;
        let expected = match self.held().get(&epoch) {
            Some(held) if held.spec.from.worker() == Some(link.peer) && role == Role::Sender => {
                Ok((held.frames.clone(), held.reports.clone()))
            }
            Some(_) => Err(Refusal::WrongPeer(epoch)),
            None => Err(Refusal::UnknownEpoch(epoch)),
        };
        match expected {
            Ok((frames, reports)) => {
                if link.sender.send(&Reply::Accepted, &[]).await.is_ok() {
                    self.receive(epoch, link, frames, reports).await;
                }
            }
            Err(refusal) => link.refuse(&Reply::Refused(refusal)).await,
        }
    }

    /// Hands a link's frames to the stage.
    async fn receive(
        self,
        epoch: Epoch,
        mut link: Link,
        frames: mpsc::Sender<Frame>,
        reports: mpsc::Sender<ToCoordinator>,
    ) {
        while let Ok(frame) = link.receiver.recv::<StageFrame>().await {
            if frame.message.epoch() != epoch {
                self.log.wrong(format_args!("a frame of {} on a link of {epoch}", frame.message.epoch()));
            }
            if frames.send((frame.message, frame.body)).await.is_err() {
                return;
            }
        }
        if self.held().contains_key(&epoch) {
            let message = "the link from the earlier stage".into();
            drop(reports.send(ToCoordinator::LinkLost { epoch, message }).await);
        }
    }

    fn retained(&self, epoch: Epoch) -> Vec<RetainedSession> {
        let outputs = self.quirks.lock().unwrap_or_else(PoisonError::into_inner).keeps_outputs;
        let held = self.held();
        let Some(held) = held.get(&epoch) else { return Vec::new() };
        if held.handover_from.is_some() {
            self.log.wrong(format_args!("epoch {epoch} starts before the one that it takes over is over"));
        }
        held.retained
            .iter()
            .map(|(session, kv)| RetainedSession { session: *session, tokens: kv.length, outputs })
            .collect()
    }

    fn parked(&self) -> MutexGuard<'_, Vec<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<Epoch, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, what: impl std::fmt::Display) {
        self.log.note(format_args!("machine-{} {what}", self.id.0[0]));
    }
}
