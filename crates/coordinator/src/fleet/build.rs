//! Pipelines on their way into service, and in it.

use super::{FleetTask, Model, ToPeer};
use crate::{
    pipeline::{Pipeline, ToFirst},
    planner::{
        self, Delays, Demand, Link as MachineLink, Machine, PREFILL_CHUNK_CPU, PREFILL_CHUNK_GPU, Placement, Plan,
        PlanError,
    },
    route::{Route, Routes},
};
use gogrid_link::Link;
use gogrid_model::DeviceKind;
use gogrid_wire::{
    Epoch, PeerAddr, PeerId,
    control::{Peer, StageSpec, ToWorker},
    stage::{Refusal, Role},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::mpsc, time::Instant};

/// A pipeline with the machines that it is made of.
pub(crate) struct Build {
    pub(super) model: String,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) stages: Vec<BuildStage>,
    /// The queue towards the first stage, until its link is there.
    frames: Option<mpsc::Receiver<ToFirst>>,
    /// Whether the last stage's link is there.
    collecting: bool,
    ready: bool,
}

pub(super) struct BuildStage {
    pub(super) place: Placement,
    /// Memory of the weights and their type, once loaded.
    pub(super) loaded: Option<(u64, String)>,
    started: bool,
}

/// One of the two ends of a ring at the coordinator.
pub(crate) enum RingEnd {
    /// Feeds the first stage.
    First(Arc<Pipeline>, mpsc::Receiver<ToFirst>),
    /// Collects from the last stage.
    Last(Arc<Pipeline>),
}

impl RingEnd {
    /// Serves the link for as long as it and the epoch last; returns why it ended.
    pub(crate) async fn serve(self, link: Link) -> String {
        match self {
            Self::First(pipeline, mut frames) => match pipeline.feed(link.sender, &mut frames).await {
                Ok(()) => "the epoch is over".into(),
                Err(error) => format!("the link to the first stage: {error}"),
            },
            Self::Last(pipeline) => {
                // The sender is kept, since dropping it would end the stream.
                let Link { receiver, sender: _sender, .. } = link;
                tokio::select! {
                    biased;
                    error = pipeline.collect(receiver) => format!("the link from the last stage: {error}"),
                    () = pipeline.lost.cancelled() => "the epoch is over".into(),
                }
            }
        }
    }
}

impl Build {
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.stages.iter().any(|stage| stage.place.machine == peer)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.stages.iter().map(|stage| stage.place.machine)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    fn stage(&mut self, peer: PeerId) -> Option<&mut BuildStage> {
        self.stages.iter_mut().find(|stage| stage.place.machine == peer)
    }

    /// Writes down a loaded stage; true when it was the last one missing.
    pub(super) fn loaded(&mut self, peer: PeerId, bytes: u64, quant: String) -> bool {
        let news = self.stage(peer).is_some_and(|stage| stage.loaded.replace((bytes, quant)).is_none());
        news && self.stages.iter().all(|stage| stage.loaded.is_some())
    }

    /// Writes down a started stage; true when the pipeline is ready with it.
    pub(super) fn started(&mut self, peer: PeerId) -> bool {
        if let Some(stage) = self.stage(peer) {
            stage.started = true;
        }
        let complete = self.stages.iter().all(|stage| stage.started) && self.frames.is_none() && self.collecting;
        complete && !std::mem::replace(&mut self.ready, true)
    }

    /// Lets the right worker take its end of the ring, once.
    pub(super) fn attach(&mut self, peer: PeerId, role: Role) -> Result<RingEnd, Refusal> {
        let wrong = Refusal::WrongPeer(self.pipeline.epoch);
        let at = |stage: Option<&BuildStage>| stage.is_some_and(|stage| stage.place.machine == peer);
        match role {
            Role::Receiver if at(self.stages.first()) => {
                self.frames.take().map(|frames| RingEnd::First(self.pipeline.clone(), frames)).ok_or(wrong)
            }
            Role::Sender if at(self.stages.last()) && !std::mem::replace(&mut self.collecting, true) => {
                Ok(RingEnd::Last(self.pipeline.clone()))
            }
            _ => Err(wrong),
        }
    }
}

impl FleetTask {
    /// Plans every model that nothing serves or is about to, starts building what has a place, and then gives what is
    /// served its replicas.
    pub(super) async fn place(&mut self) {
        // What does not compute is of no use beside a pipeline that does, and its owners want the memory.
        let idle: Vec<Epoch> = self.idle().filter(|epoch| self.is_served_without(*epoch)).collect();
        for epoch in idle {
            self.close(epoch, "a machine of it does not compute").await;
        }
        let now = Instant::now();
        let missing: Vec<Arc<Model>> = self
            .models
            .iter()
            .filter(|model| !self.builds.values().any(|build| build.model == model.name && self.works(build)))
            .filter(|model| self.waiting.get(&model.name).is_none_or(|(_, at)| at.is_none_or(|at| at <= now)))
            .cloned()
            .collect();
        for model in missing {
            match self.make_room(&model).await {
                Ok(plan) => {
                    let ms = plan.predicted.per_token * 1e3;
                    tracing::info!(model = model.name, binding = %plan.binding, "planned {ms:.1} ms per token");
                    self.waiting.remove(&model.name);
                    self.build(&model, plan.stages).await;
                }
                Err(error) => {
                    tracing::info!(model = model.name, %error, "no place yet");
                    self.waiting.insert(model.name.clone(), (error.to_string(), None));
                }
            }
        }
        self.spread().await;
        self.publish();
    }

    /// A plan for a model that nothing serves, beside all else; or instead of its own pipelines that do not compute; or
    /// instead of other models' replicas, the youngest first.
    async fn make_room(&mut self, model: &Model) -> Result<Plan, PlanError> {
        let unfit = match self.plan(model, &[]) {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let idle: Vec<Epoch> = self.idle().filter(|epoch| self.builds[epoch].model == model.name).collect();
        let spares = self.spares().into_iter().map(|epoch| vec![epoch]);
        let mut without = Vec::new();
        for epochs in [idle].into_iter().chain(spares).filter(|epochs| !epochs.is_empty()) {
            without.extend(epochs);
            if let Ok(plan) = self.plan(model, &without) {
                for epoch in without {
                    self.close(epoch, "its machines are needed by a model that has no others").await;
                }
                return Ok(plan);
            }
        }
        Err(unfit)
    }

    /// A plan for a model as if these epochs were over.
    fn plan(&self, model: &Model, without: &[Epoch]) -> Result<Plan, PlanError> {
        planner::plan(&self.demand(model), &self.machines(without), &Delays::default())
    }

    pub(super) fn demand<'a>(&self, model: &'a Model) -> Demand<'a> {
        let Model { manifest, quant, stages, .. } = model;
        // One whole context is the least that is of use: most requests are far shorter, and share it.
        Demand { manifest, quant: *quant, stages: *stages, lanes: 1, sessions: self.max_sessions, groups: &[] }
    }

    /// What each machine that works has left beside the stages that it holds, not counting those of some epochs.
    pub(super) fn machines(&self, without: &[Epoch]) -> Vec<Machine> {
        let now = Instant::now();
        let taken = |peer: &PeerId| -> u64 {
            let builds = self.builds.iter().filter(|(epoch, _)| !without.contains(epoch));
            let stages = builds.flat_map(|(_, build)| &build.stages);
            stages.filter(|stage| stage.place.machine == *peer).map(|stage| stage.place.memory.total()).sum()
        };
        let working = self.workers.iter().filter(|(_, worker)| worker.takes_work() && !self.is_silent(worker));
        let free = working.map(|(id, worker)| Machine {
            id: *id,
            device: worker.device,
            free: worker.lends.memory.saturating_sub(taken(id)),
            measured: None,
            link: MachineLink::default(),
            reliability: self.track_records.of(*id, now),
            groups: Vec::new(),
        });
        free.collect()
    }

    pub(super) async fn build(&mut self, model: &Arc<Model>, placements: Vec<Placement>) {
        let epoch = match self.registry.lock().await.next_epoch() {
            Ok(epoch) => epoch,
            Err(error) => return tracing::error!(%error, "no new epoch"),
        };
        let capacity = placements.iter().map(|place| place.kv_tokens).min().unwrap_or(0);
        let (pipeline, frames) = Pipeline::new(epoch, usize::try_from(capacity).unwrap_or(usize::MAX));
        let peer = |at: Option<usize>| match at.and_then(|at| placements.get(at)) {
            Some(place) => Peer::Worker(PeerAddr { id: place.machine, addrs: self.addrs(place.machine) }),
            None => Peer::Coordinator,
        };
        let on_cpu = placements
            .iter()
            .any(|place| self.workers.get(&place.machine).is_some_and(|w| w.device.kind() == DeviceKind::Cpu));
        for (at, place) in placements.iter().enumerate() {
            let spec = StageSpec {
                epoch,
                model: model.name.clone(),
                first_layer: place.layers.start as u32,
                end_layer: place.layers.end as u32,
                quant: model.quant.map_or_else(|| "auto".into(), |quant| quant.to_string()),
                kv_budget: place.kv_budget,
                prefill_chunk: if on_cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU },
                from: peer(at.checked_sub(1)),
                to: peer(Some(at + 1)),
            };
            match model.stage_manifest(place.layers) {
                Ok(manifest) => self.send(place.machine, ToWorker::Load(spec), manifest).await,
                Err(error) => tracing::error!(model = model.name, %error, "the manifest lacks a stage's tensors"),
            }
        }
        tracing::info!(%epoch, model = model.name, stages = placements.len(), "building a pipeline");
        let stages = placements.into_iter().map(|place| BuildStage { place, loaded: None, started: false });
        let build = Build {
            model: model.name.clone(),
            pipeline,
            stages: stages.collect(),
            frames: Some(frames),
            collecting: false,
            ready: false,
        };
        self.builds.insert(epoch, build);
    }

    fn addrs(&self, peer: PeerId) -> Vec<std::net::SocketAddr> {
        self.workers.get(&peer).map(|worker| worker.hello.addrs.clone()).unwrap_or_default()
    }

    pub(super) async fn send_to_all(&self, epoch: Epoch, message: impl Fn(PeerId) -> ToWorker) {
        if let Some(build) = self.builds.get(&epoch) {
            for peer in build.peers() {
                self.send(peer, message(peer), Vec::new()).await;
            }
        }
    }

    /// Tells the router which pipelines may be used.
    pub(super) fn publish(&mut self) {
        self.settle();
        let routes: BTreeMap<String, Route> = self
            .models
            .iter()
            .map(|model| {
                let builds = self.builds.values().filter(|build| build.model == model.name && build.ready);
                let open = builds.filter(|build| build.pipeline.open_for_sessions());
                let pipelines = open.map(|build| build.pipeline.clone()).collect();
                let reason = self.reason(&model.name);
                (model.name.clone(), Route { model: model.clone(), pipelines, reason })
            })
            .collect();
        self.routes.put(Routes::new(routes));
    }

    /// What a model without a usable pipeline waits for.
    pub(super) fn reason(&self, model: &str) -> String {
        let mut builds = self.builds.values().filter(|build| build.model == model);
        // One that is on its way says more than one that is stopped.
        let first = builds.clone().find(|build| !build.ready).or_else(|| builds.next());
        match first {
            Some(build) if build.ready => {
                let stopped =
                    build.peers().find_map(|peer| self.workers.get(&peer).filter(|w| w.lends.stopped.is_some()));
                match stopped {
                    Some(worker) => format!(
                        "{} takes no work now: {}",
                        worker.hello.name,
                        worker.lends.stopped.as_deref().unwrap_or_default()
                    ),
                    None => "a machine that serves it is leaving".into(),
                }
            }
            Some(build) => {
                let loaded = build.stages.iter().filter(|stage| stage.loaded.is_some()).count();
                format!("{loaded} of {} stages are loaded", build.stages.len())
            }
            None => self.waiting.get(model).map_or_else(String::new, |(reason, _)| reason.clone()),
        }
    }
}

impl From<ToWorker> for ToPeer {
    fn from(message: ToWorker) -> Self {
        Self { message, body: Vec::new() }
    }
}
