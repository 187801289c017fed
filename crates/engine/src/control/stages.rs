//! The stages that the coordinator asked for: loaded, linked up, stopped.

use crate::{
    error::chain,
    executor::{Failure, Installed, OUT_QUEUE, StageGauge},
    links::{self, Inbound, LinkLost},
    load::{Loader, StageLoadError},
    resources::{StageView, View},
    weights::WeightSource,
};
use gogrid_link::{Link, Transport};
use gogrid_wire::{
    Epoch, PeerAddr,
    control::{LoadFailure, Peer, RetainedSession, StageSpec, ToCoordinator, ToWorker},
    stage::Role,
};
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

/// The most stages at once: as many as links that a worker serves. A machine holds a handful.
const MAX_STAGES: usize = 64;
/// The longest name of a model, in bytes: the coordinator's own bound.
const MAX_NAME: usize = 200;
/// Bytes of manifests of stages that are being loaded. A 70B model's has about 110 KB.
const MANIFESTS: usize = 64 << 20;

/// What outlives a connection.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) loader: Loader,
    pub(crate) inbound: Inbound,
    pub(crate) view: Arc<View>,
}

/// What a stage's tasks tell.
pub(super) enum Report {
    Loaded(Epoch, Result<Installed, StageLoadError>),
    Linked(Epoch, Result<Vec<RetainedSession>, String>),
}

/// One stage on its way into service, or in it.
struct Stage {
    spec: StageSpec,
    since: Instant,
    /// Bytes of its manifest, while it is being loaded.
    manifest: usize,
    gauge: Option<Arc<StageGauge>>,
    /// Ends what runs for the stage: its load, then its links.
    tasks: Vec<AbortHandle>,
}

/// The stages of one connection.
pub(super) struct Stages {
    transport: Arc<dyn Transport>,
    coordinator: PeerAddr,
    loader: Loader,
    inbound: Inbound,
    view: Arc<View>,
    held: HashMap<Epoch, Stage>,
    tasks: JoinSet<()>,
    lost: mpsc::Sender<LinkLost>,
    reports: mpsc::Sender<Report>,
}

impl Stages {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        coordinator: PeerAddr,
        Shared { loader, inbound, view }: Shared,
        lost: mpsc::Sender<LinkLost>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let (held, tasks) = (HashMap::new(), JoinSet::new());
        Self { transport, coordinator, loader, inbound, view, held, tasks, lost, reports }
    }

    pub(super) fn loader(&self) -> &Loader {
        &self.loader
    }

    pub(super) fn holds(&self, epoch: Epoch) -> bool {
        self.held.contains_key(&epoch)
    }

    /// Those that are in memory.
    pub(super) fn loaded(&self) -> impl Iterator<Item = (Epoch, &StageGauge)> {
        self.held.iter().filter_map(|(epoch, stage)| Some((*epoch, &**stage.gauge.as_ref()?)))
    }

    /// Does what the coordinator says; what it is told at once.
    pub(super) async fn handle(&mut self, message: ToWorker, body: Vec<u8>) -> Option<ToCoordinator> {
        match message {
            ToWorker::Load(spec) => return self.load(spec, body),
            ToWorker::Start { epoch } => self.start(epoch),
            ToWorker::Stop { epoch, keep } => self.stop(epoch, keep).await,
            ToWorker::Welcome(_) | ToWorker::Refused(_) | ToWorker::Drained | ToWorker::About => {
                tracing::warn!("a message out of turn from the coordinator; ignored");
            }
        }
        None
    }

    fn load(&mut self, spec: StageSpec, manifest: Vec<u8>) -> Option<ToCoordinator> {
        let (epoch, model) = (spec.epoch, &spec.model);
        if let Err(message) = self.admits(&spec, manifest.len()) {
            tracing::warn!(%epoch, model, message, "the stage is not loaded");
            return Some(ToCoordinator::LoadFailed { epoch, reason: LoadFailure::Refused });
        }
        tracing::info!(%epoch, model, layers = ?(spec.first_layer..spec.end_layer), "loading a stage");
        if let Some(peer) = spec.from.worker() {
            self.inbound.expect(epoch, peer, self.lost.clone());
        }
        let since = Instant::now();
        self.view.set_stage(epoch.0, Some(stage_view(&spec, since, None)));
        let bytes = manifest.len();
        let loading = {
            let (loader, reports) = (self.loader.clone(), self.reports.clone());
            let from = WeightSource { transport: self.transport.clone(), coordinator: self.coordinator.clone() };
            let spec = spec.clone();
            self.spawn(async move {
                let result = loader.load(&spec, &manifest, &from).await;
                drop(reports.send(Report::Loaded(epoch, result)).await);
            })
        };
        self.held.insert(epoch, Stage { spec, since, manifest: bytes, gauge: None, tasks: vec![loading] });
        None
    }

    /// Whether one more stage is taken on.
    fn admits(&self, spec: &StageSpec, manifest: usize) -> Result<(), String> {
        let (epoch, name) = (spec.epoch, &spec.model);
        if !(1..=MAX_NAME).contains(&name.len()) || name.chars().any(char::is_control) {
            return Err(format!("the model's name is not 1 to {MAX_NAME} bytes without control characters"));
        }
        if self.holds(epoch) {
            return Err(format!("a stage of epoch {epoch} is here already"));
        }
        if self.held.len() >= MAX_STAGES {
            return Err(format!("this machine has {MAX_STAGES} stages already"));
        }
        let manifests: usize = self.held.values().map(|stage| stage.manifest).sum();
        if manifests.saturating_add(manifest) > MANIFESTS {
            return Err(format!("the manifests of stages being loaded have more than {MANIFESTS} bytes"));
        }
        Ok(())
    }

    /// Links up: the executor's output to the later stage, and from the coordinator where this stage is the first.
    fn start(&mut self, epoch: Epoch) {
        let Some(stage) = self.held.get(&epoch) else { return };
        let ends = Ends {
            transport: self.transport.clone(),
            coordinator: self.coordinator.clone(),
            epoch,
            from: stage.spec.from.clone(),
            to: stage.spec.to.clone(),
        };
        let linked = self.spawn(ends.serve(self.loader.clone(), self.lost.clone(), self.reports.clone()));
        if let Some(stage) = self.held.get_mut(&epoch) {
            stage.tasks.push(linked);
        }
    }

    async fn stop(&mut self, epoch: Epoch, keep: bool) {
        if self.forget(epoch).is_some() {
            self.loader.executor.park(epoch, keep).await;
            tracing::info!(%epoch, "stage stopped");
        }
    }

    /// The connection is over.
    pub(super) async fn stop_all(mut self, keep: bool) {
        let epochs: Vec<Epoch> = self.held.keys().copied().collect();
        for epoch in epochs {
            self.stop(epoch, keep).await;
        }
    }

    /// What the executor had to give up.
    pub(super) fn failed(&mut self, failure: Failure) -> Option<ToCoordinator> {
        match failure {
            Failure::Session { epoch, session, error } => Some(ToCoordinator::SessionFailed { epoch, session, error }),
            Failure::Stage { epoch, reason } => {
                self.forget(epoch)?;
                Some(ToCoordinator::StageGone { epoch, reason })
            }
        }
    }

    /// Ends a stage's links and its load.
    fn forget(&mut self, epoch: Epoch) -> Option<Stage> {
        self.inbound.forget(epoch);
        let stage = self.held.remove(&epoch)?;
        stage.tasks.iter().for_each(AbortHandle::abort);
        self.view.set_stage(epoch.0, None);
        Some(stage)
    }

    pub(super) fn report(&mut self, report: Report) -> Option<ToCoordinator> {
        let (Report::Loaded(epoch, _) | Report::Linked(epoch, _)) = &report;
        let (epoch, stage) = (*epoch, self.held.get_mut(epoch)?);
        Some(match report {
            Report::Loaded(_, Ok(installed)) => {
                let loaded = (installed.weight_bytes, installed.gauge.clone());
                self.view.set_stage(epoch.0, Some(stage_view(&stage.spec, stage.since, Some(loaded))));
                (stage.gauge, stage.manifest) = (Some(installed.gauge), 0);
                let quant = installed.quant.to_string();
                let bandwidth = self.loader.cache.bandwidth();
                ToCoordinator::Loaded { epoch, weight_bytes: installed.weight_bytes, quant, bandwidth }
            }
            Report::Loaded(_, Err(error)) => {
                stage.manifest = 0;
                tracing::warn!(%epoch, error = chain(&error), "the stage cannot be loaded");
                ToCoordinator::LoadFailed { epoch, reason: error.class() }
            }
            Report::Linked(_, Ok(kept)) => ToCoordinator::Started { epoch, kept },
            Report::Linked(_, Err(message)) => ToCoordinator::LinkLost { epoch, message },
        })
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        // Those that have ended are forgotten, or they would be as many as there were epochs.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task)
    }
}

/// The two ends of a stage in its epoch's ring.
struct Ends {
    transport: Arc<dyn Transport>,
    coordinator: PeerAddr,
    epoch: Epoch,
    from: Peer,
    to: Peer,
}

impl Ends {
    /// Dials what is to be dialed, and serves the links until they break.
    async fn serve(self, loader: Loader, lost: mpsc::Sender<LinkLost>, reports: mpsc::Sender<Report>) {
        let (epoch, executor) = (self.epoch, &loader.executor);
        let (link, first) = match self.dial().await {
            Ok(links) => links,
            Err(error) => return drop(reports.send(Report::Linked(epoch, Err(error.to_string()))).await),
        };
        let (out, outgoing) = mpsc::channel(OUT_QUEUE);
        executor.connect(epoch, out).await;
        let retained = executor.retained(epoch).await.ok_or_else(|| "the stage is not here".into());
        drop(reports.send(Report::Linked(epoch, retained)).await);
        let transmit = links::transmit(epoch, link, outgoing, lost.clone());
        match first {
            Some(first) => {
                let receive = links::receive(epoch, first.receiver, executor, &lost);
                tokio::join!(transmit, receive);
            }
            None => transmit.await,
        }
    }

    async fn dial(&self) -> Result<(Link, Option<Link>), links::ConnectError> {
        let to = if let Peer::Worker(addr) = &self.to { addr } else { &self.coordinator };
        let out = links::dial(&*self.transport, to, self.epoch, Role::Sender).await?;
        let first = match self.from {
            Peer::Coordinator => {
                Some(links::dial(&*self.transport, &self.coordinator, self.epoch, Role::Receiver).await?)
            }
            Peer::Worker(_) => None,
        };
        Ok((out, first))
    }
}

fn stage_view(spec: &StageSpec, since: Instant, loaded: Option<(u64, Arc<StageGauge>)>) -> StageView {
    StageView { model: spec.model.clone(), layers: [spec.first_layer, spec.end_layer], since, loaded }
}
