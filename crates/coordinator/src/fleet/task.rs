//! The fleet's task: it hands events to the [core](super::core) and carries out its actions. Files, plans and the registry
//! are on other threads.

use super::{
    Connected, Fleet, Timing, ToPeer,
    core::{Core, Settings},
    event::{Action, Activity, Event, ModelRoute},
    models,
    plan::{Outcome, PlanRequest},
    returning::Restored,
    ring::{OpenPipeline, RingEnd},
    store::Store,
};
use crate::{
    kv_reuse::RetainedKv,
    pipeline::{Pipeline, SessionReply},
    published::{Published, Publisher, publish},
    registry::{ModelRecord, RegistryHandle},
    route::{Route, RouteTable, Routes},
    status::Status,
    weights::TensorIndex,
};
use gogrid_wire::{
    Epoch, PeerId,
    hello::Capabilities,
    stage::{Refusal, Role},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Requests that may wait: a beat per machine and second, and a burst when all reconnect.
const REQUESTS: usize = 4096;

/// What a handle sends to the task.
pub(super) enum Request {
    Event(Event),
    Connected { worker: Box<Connected>, reply: oneshot::Sender<u64> },
    Attach { peer: PeerId, epoch: Epoch, role: Role, reply: oneshot::Sender<Result<RingEnd, Refusal>> },
    Status { members: Vec<crate::registry::Member>, reply: oneshot::Sender<Status> },
}

/// What waits for an action of the step that is being carried out.
enum Reply {
    Connection { to_worker: mpsc::Sender<ToPeer>, reply: oneshot::Sender<u64> },
    End(oneshot::Sender<Result<RingEnd, Refusal>>),
}

/// Where plans are made.
enum Planner {
    /// On a thread of their own.
    Threads,
    /// At once, and they are known after this time.
    #[cfg(test)]
    Virtual(std::time::Duration),
}

/// The task's state.
pub(crate) struct FleetTask {
    core: Core,
    requests: mpsc::Receiver<Request>,
    routes: Publisher<Routes>,
    store: Store,
    index: TensorIndex,
    max_sessions: usize,
    workers: BTreeMap<PeerId, mpsc::Sender<ToPeer>>,
    pipelines: BTreeMap<Epoch, OpenPipeline>,
    planner: Planner,
    /// One plan, each model's files once, epochs, and workers that resigned. Not all have a result that matters.
    jobs: JoinSet<Option<Event>>,
}

impl FleetTask {
    /// The task and its handle. `index` is where the weights' server finds tensors.
    pub(crate) fn new(
        registry: RegistryHandle,
        index: TensorIndex,
        max_sessions: usize,
        keep_sessions: bool,
        timing: Timing,
    ) -> (Self, Fleet, Published<Routes>) {
        let (requests, received) = mpsc::channel(REQUESTS);
        let (routes, published) = publish(Routes::default());
        let store = Store::new(registry);
        let task = Self {
            core: Core::new(Settings { max_sessions, keep_sessions, timing }, Instant::now()),
            requests: received,
            routes,
            store: store.clone(),
            index,
            max_sessions,
            workers: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            planner: Planner::Threads,
            jobs: JoinSet::new(),
        };
        (task, Fleet { requests, store }, published)
    }

    /// A model of the registry that was opened already.
    #[cfg(test)]
    pub(crate) fn know(&mut self, record: ModelRecord, model: Arc<crate::model::Model>) {
        self.core.know(record, model);
    }

    /// Makes plans take this long, in virtual time.
    #[cfg(test)]
    pub(crate) fn plan_within(&mut self, time: std::time::Duration) {
        self.planner = Planner::Virtual(time);
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let restored = self.store.restore().await.unwrap_or_else(|error| {
            tracing::error!(%error, "what the previous coordinator recorded cannot be read");
            Restored::default()
        });
        self.take(Event::Restored(restored), None);
        self.take(Event::Reload, None);
        // Requests wait until the models are open: before that there is nothing to say about them.
        while !self.jobs.is_empty() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(done) = self.jobs.join_next() => self.job_done(done),
            }
        }
        let mut tick = tokio::time::interval(self.core.tick_interval());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Rare, so that it takes nothing from the requests; behind them it might never have its turn.
                _ = tick.tick() => {
                    let activity = self.activity();
                    self.take(Event::Tick { activity }, None);
                }
                Some(done) = self.jobs.join_next() => self.job_done(done),
                request = self.requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => break,
                },
            }
        }
        self.take(Event::Stopping, None);
    }

    fn job_done(&mut self, done: Result<Option<Event>, JoinError>) {
        match done {
            Ok(Some(event)) => self.take(event, None),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a job of the fleet ended without a result"),
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Event(event) => self.take(event, None),
            Request::Connected { worker, reply } => {
                let Connected { id: peer, hello, capabilities, device, to_worker } = *worker;
                let Capabilities { program, backend, .. } = &capabilities;
                tracing::info!(
                    peer = %peer.short(), name = hello.name, device = hello.device, protocol = hello.version, program, backend,
                    "worker connected"
                );
                let reply = Reply::Connection { to_worker, reply };
                self.take(Event::Connected { peer, hello, device }, Some(reply));
            }
            Request::Attach { peer, epoch, role, reply } => {
                self.take(Event::Attach { peer, epoch, role }, Some(Reply::End(reply)));
            }
            Request::Status { members, reply } => {
                let sessions = self.pipelines.iter().map(|(epoch, open)| (*epoch, open.pipeline.sessions()));
                drop(reply.send(self.core.status(members, &sessions.collect())));
            }
        }
    }

    /// Lets the core take in an event, and carries out what it decides.
    fn take(&mut self, event: Event, mut reply: Option<Reply>) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.core.step(event, Instant::now()) {
                match action {
                    Action::Accept { peer, connection } => next = self.accept(peer, connection, reply.take()),
                    Action::Attach(attached) => self.attach(attached, reply.take()),
                    Action::Tick => next = Some(Event::Tick { activity: self.activity() }),
                    action => self.carry_out(action),
                }
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Disconnect { peer } => drop(self.workers.remove(&peer)),
            Action::Send { peer, message, body } => {
                if let Some(worker) = self.workers.get(&peer)
                    && worker.try_send(ToPeer { message, body }).is_err()
                {
                    // What it was told is lost, so that its state is not known: it has to connect again.
                    tracing::warn!(peer = %peer.short(), "the worker's link takes no messages: it is cut off");
                    self.workers.remove(&peer);
                }
            }
            Action::OpenPipeline { epoch, kv, token_time, supports_prefix_cache, constrains } => {
                let (pipeline, frames) =
                    Pipeline::new(epoch, kv, self.max_sessions, token_time, supports_prefix_cache, constrains);
                self.pipelines.insert(epoch, OpenPipeline { pipeline, frames: Some(frames) });
            }
            Action::SetHealth { epoch, health } => {
                self.pipeline(epoch, |pipeline| _ = pipeline.set_health(health));
            }
            Action::SetRetained { epoch, stages } => {
                self.pipeline(epoch, |pipeline| pipeline.set_retained(RetainedKv::new(stages)));
            }
            Action::FailSession { epoch, session, error } => {
                self.pipeline(epoch, |pipeline| pipeline.deliver(session, SessionReply::Failed(error)));
            }
            Action::ClosePipeline { epoch } => {
                if let Some(open) = self.pipelines.remove(&epoch) {
                    open.pipeline.lost.cancel();
                }
            }
            Action::Publish { routes, opening, is_complete } => {
                let open = self.open_routes(routes);
                self.routes.put(Arc::new(RouteTable { open, opening, is_complete }));
            }
            Action::ReserveEpochs(asked) => {
                let store = self.store.clone();
                self.jobs.spawn(async move {
                    let epochs = store.reserve_epochs(asked).await;
                    Some(Event::EpochsReserved { asked, epochs })
                });
            }
            Action::ReadModels => {
                let store = self.store.clone();
                self.jobs.spawn(async move { Some(read_models(&store).await) });
            }
            Action::OpenModel(record) => {
                let index = self.index.clone();
                self.jobs.spawn(async move { Some(open_model(record, index).await) });
            }
            Action::Plan(request) => self.plan(request),
            Action::Record(record) => self.store.record(record),
            Action::Resigned(peer) => {
                let store = self.store.clone();
                self.jobs.spawn(async move {
                    store.resigned(peer).await;
                    None
                });
            }
            Action::Accept { .. } | Action::Attach(_) | Action::Tick => {}
        }
    }

    fn pipeline(&self, epoch: Epoch, change: impl FnOnce(&Pipeline)) {
        if let Some(open) = self.pipelines.get(&epoch) {
            change(&open.pipeline);
        }
    }

    /// The worker's messages go to its link from now on. Returns that it is gone if its link has ended already.
    fn accept(&mut self, peer: PeerId, connection: u64, reply: Option<Reply>) -> Option<Event> {
        let Some(Reply::Connection { to_worker, reply }) = reply else { return None };
        self.workers.insert(peer, to_worker);
        reply.send(connection).is_err().then_some(Event::Gone { peer, connection })
    }

    fn attach(&mut self, attached: Result<(Epoch, Role), Refusal>, reply: Option<Reply>) {
        let Some(Reply::End(reply)) = reply else { return };
        let end = attached.and_then(|(epoch, role)| {
            let end = self.pipelines.get_mut(&epoch).and_then(|open| open.take_end(role));
            end.ok_or(Refusal::UnknownEpoch(epoch))
        });
        drop(reply.send(end));
    }

    /// Which pipelines the router may use.
    fn open_routes(&self, routes: Vec<ModelRoute>) -> BTreeMap<String, Route> {
        let route = |ModelRoute { model, open, reason }: ModelRoute| {
            let open = open.iter().filter_map(|epoch| self.pipelines.get(epoch));
            let pipelines = open.map(|open| open.pipeline.clone()).collect();
            (model.name.clone(), Route { model, pipelines, reason })
        };
        routes.into_iter().map(route).collect()
    }

    fn activity(&self) -> BTreeMap<Epoch, Activity> {
        self.pipelines.iter().map(|(epoch, open)| (*epoch, open.pipeline.activity())).collect()
    }

    fn plan(&mut self, request: Box<PlanRequest>) {
        let job = request.job();
        match self.planner {
            Planner::Threads => self.jobs.spawn(async move {
                let outcome = tokio::task::spawn_blocking(move || request.run()).await;
                let failed = |error: JoinError| {
                    tracing::error!(%error, "the planner failed");
                    Outcome::Nothing { reason: Some("the planner failed".into()) }
                };
                Some(Event::Planned { job, outcome: outcome.unwrap_or_else(failed) })
            }),
            #[cfg(test)]
            Planner::Virtual(time) => self.jobs.spawn(async move {
                tokio::time::sleep(time).await;
                Some(Event::Planned { job, outcome: request.run() })
            }),
        };
    }
}

async fn read_models(store: &Store) -> Event {
    match store.models().await {
        Ok(read) => Event::ModelsRead(Some(read)),
        Err(error) => {
            tracing::error!(%error, "the models cannot be read");
            Event::ModelsRead(None)
        }
    }
}

async fn open_model(record: Box<ModelRecord>, index: TensorIndex) -> Event {
    let opened = tokio::task::spawn_blocking({
        let record = record.clone();
        move || models::open(&record, &index)
    });
    let model = match opened.await {
        Ok(Ok(model)) => Some(Arc::new(model)),
        Ok(Err(error)) => {
            tracing::error!(model = record.name, path = %record.path.display(), %error, "model unusable");
            None
        }
        Err(error) => {
            tracing::error!(model = record.name, %error, "model unusable");
            None
        }
    };
    Event::ModelOpened { record, model }
}
