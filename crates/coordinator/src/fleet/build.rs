//! A pipeline on its way into service, and in it: every stage loads, then all link up.

use super::{
    ModelId,
    core::Core,
    deadlines::Watch,
    event::Action,
    plan::PlannedStage,
    state::{ModelState, Waiting},
};
use crate::{
    generate::NotReady,
    kv_capacity::KvCapacity,
    pipeline::PipelineHealth,
    planner::{PREFILL_CHUNK_CPU, PREFILL_CHUNK_GPU, Placement},
};
use gogrid_model::DeviceKind;
use gogrid_wire::{
    Epoch, PeerAddr, PeerId,
    control::{Peer, RetainedSession, StageSpec, ToWorker},
    stage::{Refusal, Role},
};
use std::time::Duration;

/// A pipeline with the machines that it is made of.
pub(super) struct Build {
    pub(super) epoch: Epoch,
    pub(super) stages: Vec<BuildStage>,
    /// Whether the first stage's link is there.
    feeding: bool,
    /// Whether the last stage's link is there.
    collecting: bool,
    ready: bool,
    pub(super) health: PipelineHealth,
    /// The pipelines of the same model that end when this one is loaded: the one that it takes over from, and those
    /// that have a stage of it.
    pub(super) replaces: Vec<Epoch>,
    /// Whether it is wanted even if those it replaces work as they should.
    pub(super) is_better: bool,
    /// What it is waited for.
    pub(super) watch: Watch,
}

pub(super) struct BuildStage {
    pub(super) place: Placement,
    /// Memory of the weights in bytes, and their type, once loaded.
    pub(super) loaded: Option<(u64, String)>,
    /// What it has of earlier epochs' sessions, once it is linked up.
    started: Option<Vec<RetainedSession>>,
}

impl Build {
    fn new(epoch: Epoch, stages: Vec<Placement>, replaces: Vec<Epoch>, is_better: bool) -> Self {
        let stages = stages.into_iter().map(|place| BuildStage { place, loaded: None, started: None });
        Self {
            epoch,
            stages: stages.collect(),
            feeding: false,
            collecting: false,
            ready: false,
            health: PipelineHealth::Open,
            replaces,
            is_better,
            watch: Watch::default(),
        }
    }

    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.stages.iter().any(|stage| stage.place.machine == peer)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.stages.iter().map(|stage| stage.place.machine)
    }

    pub(super) fn placements(&self) -> Vec<Placement> {
        self.stages.iter().map(|stage| stage.place.clone()).collect()
    }

    pub(super) fn has_stage(&self, place: &Placement) -> bool {
        self.stages.iter().any(|stage| stage.place.is_same_stage(place))
    }

    /// Whether all stages are in memory.
    pub(super) fn is_loaded(&self) -> bool {
        self.stages.iter().all(|stage| stage.loaded.is_some())
    }

    /// The stages that are not in memory yet.
    pub(super) fn not_loaded(&self) -> Vec<Placement> {
        self.stages.iter().filter(|stage| stage.loaded.is_none()).map(|stage| stage.place.clone()).collect()
    }

    /// The machines that have not said that they are linked up, or not taken their end of the ring.
    pub(super) fn not_linked(&self) -> Vec<PeerId> {
        let last = self.stages.len().saturating_sub(1);
        let lacks = |(at, stage): &(usize, &BuildStage)| {
            stage.started.is_none() || *at == 0 && !self.feeding || *at == last && !self.collecting
        };
        self.stages.iter().enumerate().filter(lacks).map(|(_, stage)| stage.place.machine).collect()
    }

    /// What a token is predicted to take.
    pub(super) fn token_time(&self) -> Duration {
        Duration::from_secs_f64(self.stages.iter().map(|stage| stage.place.seconds_per_token.max(0.0)).sum())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether it takes sessions.
    pub(super) fn is_open(&self) -> bool {
        self.ready && self.health == PipelineHealth::Open
    }

    fn stage(&mut self, peer: PeerId) -> Option<&mut BuildStage> {
        self.stages.iter_mut().find(|stage| stage.place.machine == peer)
    }

    /// Takes in that a stage is loaded; true when it was the last one missing.
    fn loaded(&mut self, peer: PeerId, weights: (u64, String)) -> bool {
        let news = self.stage(peer).is_some_and(|stage| stage.loaded.replace(weights).is_none());
        if news && self.is_loaded() {
            self.watch = Watch::default();
            return true;
        }
        false
    }

    /// Takes in that a stage is linked up; true when the pipeline is ready with it.
    pub(super) fn started(&mut self, peer: PeerId, retained: Vec<RetainedSession>) -> bool {
        // It is told to start when all are loaded, so it cannot have started earlier.
        if !self.is_loaded() {
            return false;
        }
        if let Some(stage) = self.stage(peer) {
            stage.started.get_or_insert(retained);
        }
        let started = self.stages.iter().all(|stage| stage.started.is_some());
        if self.ready || !started || !self.feeding || !self.collecting {
            return false;
        }
        self.ready = true;
        self.watch = Watch::default();
        true
    }

    /// What each stage has of earlier epochs' sessions. Taken once.
    fn take_retained(&mut self) -> Vec<Vec<RetainedSession>> {
        self.stages.iter_mut().filter_map(|stage| stage.started.as_mut()).map(std::mem::take).collect()
    }

    /// Lets the right worker take its end of the ring, once.
    pub(super) fn attach(&mut self, peer: PeerId, role: Role) -> Result<(), Refusal> {
        let (stage, taken) = match role {
            Role::Receiver => (self.stages.first(), &mut self.feeding),
            Role::Sender => (self.stages.last(), &mut self.collecting),
        };
        if stage.is_none_or(|stage| stage.place.machine != peer) || *taken {
            return Err(Refusal::WrongPeer(self.epoch));
        }
        *taken = true;
        Ok(())
    }
}

impl Core {
    /// All pipelines.
    pub(super) fn builds(&self) -> impl Iterator<Item = &Build> {
        self.models.values().flat_map(|state| state.builds.values())
    }

    /// The pipelines of a model, the oldest first.
    pub(super) fn of_model(&self, id: &ModelId) -> impl Iterator<Item = &Build> {
        self.models.get(id).into_iter().flat_map(|state| state.builds.values())
    }

    pub(super) fn build(&self, epoch: Epoch) -> Option<&Build> {
        self.models.get(self.by_epoch.get(&epoch)?)?.builds.get(&epoch)
    }

    pub(super) fn build_mut(&mut self, epoch: Epoch) -> Option<&mut Build> {
        self.models.get_mut(self.by_epoch.get(&epoch)?)?.builds.get_mut(&epoch)
    }

    /// The pipelines that a machine is part of, the oldest first.
    pub(super) fn epochs_with(&self, peer: PeerId) -> Vec<Epoch> {
        let mut epochs: Vec<Epoch> = self.builds().filter(|build| build.has(peer)).map(|build| build.epoch).collect();
        epochs.sort_unstable();
        epochs
    }

    /// Starts a pipeline, in the place of `former` if there is one.
    pub(super) fn start_build(
        &mut self,
        id: &ModelId,
        stages: Vec<PlannedStage>,
        former: Option<Epoch>,
        is_better: bool,
    ) {
        // A machine has a stage once: its old epoch ends before the new one begins.
        let shares_stage = |build: &Build| stages.iter().any(|stage| build.has_stage(&stage.place));
        let replaced = self.of_model(id).filter(|build| Some(build.epoch) == former || shares_stage(build));
        let replaces: Vec<Epoch> = replaced.map(|build| build.epoch).collect();
        let Some(epoch) = self.take_epoch() else { return };
        let peers: Vec<Peer> = stages.iter().map(|stage| self.peer(stage.place.machine)).collect();
        let peer = |at: Option<usize>| at.and_then(|at| peers.get(at)).cloned().unwrap_or(Peer::Coordinator);
        let chunk = self.prefill_chunk(stages.iter().map(|stage| &stage.place));
        let kv = self.kv_capacity(id, stages.iter().map(|stage| &stage.place), chunk);
        let token_time = stages.iter().map(|stage| stage.place.seconds_per_token.max(0.0)).sum();
        let token_time = Duration::from_secs_f64(token_time);
        let keeps = |stage: &PlannedStage| {
            self.workers.get(&stage.place.machine).is_some_and(|worker| worker.device.supports_prefix_cache)
        };
        let supports_prefix_cache = stages.iter().all(keeps);
        let worker_constrains = |peer| self.workers.get(&peer).is_some_and(|worker| worker.device.constrains);
        let constrains = stages.iter().all(|stage| worker_constrains(stage.place.machine));
        self.actions.push(Action::OpenPipeline { epoch, kv, token_time, supports_prefix_cache, constrains });
        let mut places = Vec::new();
        tracing::info!(%epoch, model = %id, stages = stages.len(), "building a pipeline");
        for (at, stage) in stages.into_iter().enumerate() {
            let spare = self.make_way(id, &stage.place);
            places.push(stage.place.clone());
            self.load(epoch, id, stage, chunk, [peer(at.checked_sub(1)), peer(Some(at + 1))]);
            if let Some(spare) = spare {
                self.drop_spare(spare);
            }
        }
        if let Some(state) = self.models.get_mut(id) {
            state.builds.insert(epoch, Build::new(epoch, places, replaces, is_better));
            self.by_epoch.insert(epoch, id.clone());
        }
        self.changed();
    }

    /// The KV memory of stages of a model whose steps have at most `chunk` prompt tokens.
    fn kv_capacity<'a>(&self, id: &ModelId, stages: impl Iterator<Item = &'a Placement>, chunk: u32) -> KvCapacity {
        let (mut tokens, mut sizes) = (u64::MAX, Vec::new());
        for place in stages {
            tokens = tokens.min(place.kv_tokens);
            if let (Some(state), Some(worker)) = (self.models.get(id), self.workers.get(&place.machine)) {
                let (manifest, footprint) = (&state.model.manifest, &worker.device.footprint);
                let quant = state.model.quant.unwrap_or_else(|| manifest.default_quant(footprint.device));
                let sequences = footprint.sequences(manifest, place.layers, quant, chunk as usize);
                sizes.push((sequences, place.kv_budget));
            }
        }
        KvCapacity::new(tokens, sizes)
    }

    /// The most prompt tokens in a step over these stages.
    pub(super) fn prefill_chunk<'a>(&self, stages: impl IntoIterator<Item = &'a Placement>) -> u32 {
        let kind = |place: &Placement| self.workers.get(&place.machine).map(|worker| worker.device.kind());
        let on_cpu = stages.into_iter().any(|place| kind(place) == Some(DeviceKind::Cpu));
        if on_cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU }
    }

    /// Tells a machine to load a stage between two others.
    pub(super) fn load(&mut self, epoch: Epoch, id: &ModelId, stage: PlannedStage, chunk: u32, [from, to]: [Peer; 2]) {
        let Some(ModelState { model, .. }) = self.models.get(id) else { return };
        let PlannedStage { place, manifest } = stage;
        let spec = StageSpec {
            epoch,
            model: model.name.clone(),
            first_layer: place.layers.start as u32,
            end_layer: place.layers.end as u32,
            quant: model.quant.map_or_else(|| "auto".into(), |quant| quant.to_string()),
            kv_budget: place.kv_budget,
            prefill_chunk: chunk,
            keep_outputs: self.settings.keep_sessions,
            from,
            to,
        };
        self.send(place.machine, ToWorker::Load(spec), manifest);
    }

    fn peer(&self, id: PeerId) -> Peer {
        let addrs = self.workers.get(&id).map(|worker| worker.hello.addrs.clone()).unwrap_or_default();
        Peer::Worker(PeerAddr { id, addrs })
    }

    /// A worker has loaded a stage or a spare. When all stages are there, they link up.
    pub(super) fn stage_loaded(&mut self, peer: PeerId, epoch: Epoch, weights: (u64, String)) {
        if let Some(spare) = self.spare_mut(epoch) {
            spare.loaded = Some(weights);
            return;
        }
        let Some(build) = self.build_mut(epoch) else { return };
        if !build.loaded(peer, weights) {
            return;
        }
        for former in std::mem::take(&mut build.replaces) {
            self.close(former, "another takes over");
        }
        let peers: Vec<PeerId> = self.build(epoch).into_iter().flat_map(Build::peers).collect();
        for peer in peers {
            self.send(peer, ToWorker::Start { epoch }, Vec::new());
        }
    }

    pub(super) fn pipeline_ready(&mut self, epoch: Epoch) {
        tracing::info!(%epoch, "pipeline ready");
        let stages = self.build_mut(epoch).map(Build::take_retained).unwrap_or_default();
        self.actions.push(Action::SetRetained { epoch, stages });
        self.changed();
        self.record_pipelines();
        // A model that is served may have a replica now.
        self.assign();
    }

    /// Ends an epoch, and plans its model anew.
    pub(super) fn end(&mut self, epoch: Epoch, reason: &str) {
        if self.close(epoch, reason) {
            self.assign();
        }
    }

    /// Ends an epoch: its sessions go elsewhere, its workers are told. False if there is none.
    pub(super) fn close(&mut self, epoch: Epoch, reason: &str) -> bool {
        // Where another pipeline serves, sessions go on there at once. Else they wait for one that may have some of the
        // same stages.
        let keep = self.settings.keep_sessions && !self.is_served_without(epoch);
        self.drop_spare(epoch);
        let Some(build) = self.remove_build(epoch) else { return false };
        let Some(id) = self.by_epoch.remove(&epoch) else { return false };
        tracing::warn!(%epoch, model = %id, reason, "pipeline ended");
        self.actions.push(Action::ClosePipeline { epoch });
        for peer in build.peers() {
            self.send(peer, ToWorker::Stop { epoch, keep }, Vec::new());
        }
        // A pipeline that never worked would fail again at once; one that did, or that lost a machine or was failed by it,
        // deserves a new plan now.
        let held = |peer: PeerId| self.models.get(&id).is_some_and(|state| state.quarantine.holds(peer));
        let without = |peer: PeerId| !self.workers.contains_key(&peer) || held(peer);
        let now = build.is_ready() || build.peers().any(without);
        let retry = if now { self.now } else { self.now + self.settings.timing.retry_after };
        if let Some(state) = self.models.get_mut(&id) {
            state.former = build.placements();
            if !now || state.builds.is_empty() {
                state.waiting =
                    Some(Waiting { class: NotReady::Interrupted, reason: reason.to_owned(), retry: Some(retry) });
            }
        }
        self.changed();
        true
    }

    fn remove_build(&mut self, epoch: Epoch) -> Option<Build> {
        self.models.get_mut(self.by_epoch.get(&epoch)?)?.builds.remove(&epoch)
    }
}
