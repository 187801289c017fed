//! Pipelines on their way into service, and in it.

use super::{FleetTask, Model, ToPeer};
use crate::{
    kv_reuse::RetainedKv,
    pipeline::{FirstStageFrame, Pipeline},
    planner::{PREFILL_CHUNK_CPU, PREFILL_CHUNK_GPU, Placement},
};
use gogrid_link::Link;
use gogrid_model::DeviceKind;
use gogrid_wire::{
    Epoch, PeerAddr, PeerId,
    control::{Peer, RetainedSession, StageSpec, ToWorker},
    stage::{Refusal, Role},
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A pipeline with the machines that it is made of.
pub(crate) struct Build {
    pub(super) model: String,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) stages: Vec<BuildStage>,
    /// The queue towards the first stage, until its link is there.
    frames: Option<mpsc::Receiver<FirstStageFrame>>,
    /// Whether the last stage's link is there.
    collecting: bool,
    ready: bool,
    /// The pipelines of the same model that end when this one is loaded: those whose places it takes, and whose stages.
    pub(super) replaces: Vec<Epoch>,
    /// Whether it is wanted also where those work as they should.
    pub(super) is_better: bool,
}

pub(super) struct BuildStage {
    pub(super) place: Placement,
    /// Memory of the weights and their type, once loaded.
    pub(super) loaded: Option<(u64, String)>,
    /// What it has of earlier epochs' sessions, once it is linked up.
    started: Option<Vec<RetainedSession>>,
}

/// One of the two ends of a ring at the coordinator.
pub(crate) enum RingEnd {
    /// Feeds the first stage.
    First(Arc<Pipeline>, mpsc::Receiver<FirstStageFrame>),
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
    pub(super) fn started(&mut self, peer: PeerId, kept: Vec<RetainedSession>) -> bool {
        if let Some(stage) = self.stage(peer) {
            stage.started.get_or_insert(kept);
        }
        let started = self.stages.iter().all(|stage| stage.started.is_some());
        if self.ready || !started || self.frames.is_some() || !self.collecting {
            return false;
        }
        self.pipeline.set_retained(RetainedKv::new(
            self.stages.iter_mut().filter_map(|stage| stage.started.as_mut()).map(std::mem::take),
        ));
        self.ready = true;
        true
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
    /// Starts a pipeline, in the place of another one where `former` says so.
    pub(super) async fn build(
        &mut self,
        model: &Arc<Model>,
        placements: Vec<Placement>,
        former: Option<Epoch>,
        is_better: bool,
    ) {
        // A stage is on a machine once: its old epoch ends before the new one begins.
        let same = |build: &Build| {
            let mut pairs = build.stages.iter().flat_map(|stage| placements.iter().map(|place| (&stage.place, place)));
            build.model == model.name && pairs.any(|(old, new)| old.is_same_stage(new))
        };
        let replaces = self.builds.iter().filter(|(epoch, build)| Some(**epoch) == former || same(build));
        let replaces: Vec<Epoch> = replaces.map(|(epoch, _)| *epoch).collect();
        let Some(epoch) = self.next_epoch().await else { return };
        let capacity = placements.iter().map(|place| place.kv_tokens).min().unwrap_or(0);
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        let (pipeline, frames) = Pipeline::new(epoch, capacity, self.max_sessions);
        let peers: Vec<Peer> = placements.iter().map(|place| self.peer(place.machine)).collect();
        let peer = |at: Option<usize>| at.and_then(|at| peers.get(at)).cloned().unwrap_or(Peer::Coordinator);
        let chunk = self.prefill_chunk(&placements);
        for (at, place) in placements.iter().enumerate() {
            let spare = self.make_way(&model.name, place).await;
            self.load(epoch, model, place, chunk, [peer(at.checked_sub(1)), peer(Some(at + 1))]).await;
            if let Some(spare) = spare {
                self.drop_spare(spare).await;
            }
        }
        tracing::info!(%epoch, model = model.name, stages = placements.len(), "building a pipeline");
        let stages = placements.into_iter().map(|place| BuildStage { place, loaded: None, started: None });
        let build = Build {
            model: model.name.clone(),
            pipeline,
            stages: stages.collect(),
            frames: Some(frames),
            collecting: false,
            ready: false,
            replaces,
            is_better,
        };
        self.builds.insert(epoch, build);
    }

    pub(super) async fn next_epoch(&self) -> Option<Epoch> {
        let next = self.registry.next_epoch().await;
        next.inspect_err(|error| tracing::error!(%error, "no new epoch")).ok()
    }

    /// The most prompt tokens in a step over these stages.
    pub(super) fn prefill_chunk<'a>(&self, stages: impl IntoIterator<Item = &'a Placement>) -> u32 {
        let kind = |place: &Placement| self.workers.get(&place.machine).map(|worker| worker.device.kind());
        let on_cpu = stages.into_iter().any(|place| kind(place) == Some(DeviceKind::Cpu));
        if on_cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU }
    }

    /// Tells a machine to load a stage between two others.
    pub(super) async fn load(&self, epoch: Epoch, model: &Model, place: &Placement, chunk: u32, [from, to]: [Peer; 2]) {
        let spec = StageSpec {
            epoch,
            model: model.name.clone(),
            first_layer: place.layers.start as u32,
            end_layer: place.layers.end as u32,
            quant: model.quant.map_or_else(|| "auto".into(), |quant| quant.to_string()),
            kv_budget: place.kv_budget,
            prefill_chunk: chunk,
            keep_outputs: self.keep_sessions,
            from,
            to,
        };
        match model.stage_manifest(place.layers) {
            Ok(manifest) => self.send(place.machine, ToWorker::Load(spec), manifest).await,
            Err(error) => tracing::error!(model = model.name, %error, "the manifest lacks a stage's tensors"),
        }
    }

    fn peer(&self, id: PeerId) -> Peer {
        let addrs = self.workers.get(&id).map(|worker| worker.hello.addrs.clone()).unwrap_or_default();
        Peer::Worker(PeerAddr { id, addrs })
    }

    pub(super) async fn send_to_all(&self, epoch: Epoch, message: impl Fn(PeerId) -> ToWorker) {
        if let Some(build) = self.builds.get(&epoch) {
            for peer in build.peers() {
                self.send(peer, message(peer), Vec::new()).await;
            }
        }
    }
}

impl From<ToWorker> for ToPeer {
    fn from(message: ToWorker) -> Self {
        Self { message, body: Vec::new() }
    }
}
