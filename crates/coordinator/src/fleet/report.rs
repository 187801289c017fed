use super::{
    ModelId,
    build::Build,
    core::Core,
    spares::Spare,
    state::{ModelState, Waiting, Worker},
};
use crate::model::Model;
use crate::{
    generate::NotReady,
    pipeline::PipelineHealth,
    registry::Member,
    status::{
        HeldStage, MeasuredStage, ModelStatus, PipelineState, PipelineStatus, PlacedStage, QueueStatus, Status,
        WorkerState, WorkerStatus,
    },
};
use gogrid_wire::{Epoch, PeerId};
use std::collections::{BTreeMap, HashMap};

impl Core {
    /// What there is, with the sessions of each pipeline. The API's part (address, queue) is filled in by who knows it.
    pub(crate) fn status(&self, members: Vec<Member>, sessions: &BTreeMap<Epoch, usize>) -> Status {
        let mut held = self.held_stages();
        let workers = members.into_iter().map(|member| match self.workers.get(&member.id) {
            Some(worker) => worker_status(member.id, worker, held.remove(&member.id).unwrap_or_default()),
            None => WorkerStatus {
                id: member.id.to_string(),
                name: member.name,
                state: WorkerState::Offline,
                device: String::new(),
                memory_bytes: 0,
                sessions: 0,
                stages: Vec::new(),
            },
        });
        Status {
            api: String::new(),
            workers: workers.collect(),
            models: self.models.iter().map(|(id, state)| self.model_status(id, state, sessions)).collect(),
            sessions: sessions.values().sum(),
            queue: QueueStatus { waiting: 0, capacity: 0 },
        }
    }

    /// The stages of each machine, by epoch, and then its spares.
    fn held_stages(&self) -> HashMap<PeerId, Vec<HeldStage>> {
        let mut stages: Vec<(bool, Epoch, PeerId, HeldStage)> = Vec::new();
        for ModelState { model, builds, spares, .. } in self.models.values() {
            for (epoch, build) in builds {
                for stage in &build.stages {
                    let peer = stage.place.machine;
                    stages.push((false, *epoch, peer, self.held_stage(model, *epoch, stage)));
                }
            }
            for (epoch, spare) in spares {
                stages.push((true, *epoch, spare.place.machine, held_spare(model, *epoch, spare)));
            }
        }
        stages.sort_by_key(|(spare, epoch, ..)| (*spare, *epoch));
        let mut held: HashMap<PeerId, Vec<HeldStage>> = HashMap::new();
        for (_, _, peer, stage) in stages {
            held.entry(peer).or_default().push(stage);
        }
        held
    }

    fn held_stage(&self, model: &Model, epoch: Epoch, stage: &super::build::BuildStage) -> HeldStage {
        let worker = self.workers.get(&stage.place.machine);
        let beat = worker.and_then(|worker| worker.beat.stages.iter().find(|beat| beat.epoch == epoch));
        HeldStage {
            model: model.name.clone(),
            layers: [stage.place.layers.start, stage.place.layers.end],
            epoch: u64::from(epoch.number()),
            quant: stage.loaded.as_ref().map(|(_, quant)| quant.clone()),
            weights_bytes: stage.loaded.as_ref().map_or(0, |(bytes, _)| *bytes),
            kv_used_bytes: beat.map_or(0, |beat| beat.kv_used),
            kv_budget_bytes: stage.place.kv_budget,
            sessions: beat.map_or(0, |beat| beat.sessions),
            spare: false,
            measured: beat.and_then(|beat| beat.speed).map(|speed| {
                let ms = |nanos: u64| nanos as f64 / 1e6;
                let (head_ms, prompt_layer_ms) = (speed.head.map(ms), speed.prompt_layer.map(ms));
                MeasuredStage { layer_ms: ms(speed.layer), head_ms, prompt_layer_ms }
            }),
        }
    }

    fn model_status(&self, id: &ModelId, state: &ModelState, sessions: &BTreeMap<Epoch, usize>) -> ModelStatus {
        let model = &state.model;
        let builds = state.builds.values().map(|build| self.pipeline_status(build, sessions));
        let mut pipelines: Vec<_> = builds.collect();
        pipelines.sort_by_key(|pipeline| (pipeline.state, pipeline.epoch));
        let ready = pipelines.first().is_some_and(|pipeline| pipeline.state == PipelineState::Ready);
        ModelStatus {
            name: model.name.clone(),
            quant: model.quant.map_or_else(|| "auto".into(), |quant| quant.to_string()),
            layers: model.manifest.config.layers.len(),
            context_length: model.manifest.config.context_length,
            ready,
            reason: (!ready).then(|| self.reason(id)),
            epoch: pipelines.first().map(|pipeline| pipeline.epoch),
            stages: pipelines.first().map_or_else(Vec::new, |pipeline| pipeline.stages.clone()),
            replicas: model.replicas,
            pipelines,
        }
    }

    fn pipeline_status(&self, build: &Build, sessions: &BTreeMap<Epoch, usize>) -> PipelineStatus {
        let stages = build.stages.iter().map(|stage| PlacedStage {
            layers: [stage.place.layers.start, stage.place.layers.end],
            worker: self.worker_name(stage.place.machine),
            worker_id: stage.place.machine.to_string(),
        });
        PipelineStatus {
            epoch: u64::from(build.epoch.number()),
            state: match build.health {
                PipelineHealth::Open if build.is_ready() => PipelineState::Ready,
                PipelineHealth::Open => PipelineState::Building,
                PipelineHealth::Stopped => PipelineState::Stopped,
                PipelineHealth::Leaving => PipelineState::Leaving,
                PipelineHealth::Stalled => PipelineState::Stalled,
            },
            sessions: sessions.get(&build.epoch).copied().unwrap_or(0),
            stages: stages.collect(),
        }
    }

    /// What a model without an open pipeline waits for, in words for consumers.
    pub(super) fn not_ready(&self, id: &ModelId) -> NotReady {
        // A pipeline that is on its way says more than one that is stopped.
        if let Some(build) = self.of_model(id).find(|build| !build.is_ready()) {
            let loaded = build.stages.iter().filter(|stage| stage.loaded.is_some()).count();
            return NotReady::Loading { loaded, stages: build.stages.len() };
        }
        if self.of_model(id).next().is_some() {
            return NotReady::Stopped;
        }
        let waiting = self.models.get(id).and_then(|state| state.waiting.as_ref());
        waiting.map_or(NotReady::Planning, |Waiting { class, .. }| *class)
    }

    /// The same in words for the operator, with machines by name.
    pub(super) fn reason(&self, id: &ModelId) -> String {
        let class = self.not_ready(id);
        let waiting = self.models.get(id).and_then(|state| state.waiting.as_ref());
        match (class, waiting) {
            (NotReady::Stopped, _) => self.stopped_by(id),
            (NotReady::Loading { .. }, _) | (_, None) => class.to_string(),
            (_, Some(waiting)) => waiting.reason.clone(),
        }
    }

    /// Which machine of a model's pipelines takes no work.
    fn stopped_by(&self, id: &ModelId) -> String {
        let mut workers = self.of_model(id).flat_map(Build::peers).filter_map(|peer| self.workers.get(&peer));
        match workers.find_map(|worker| Some((worker, worker.lends.stopped?))) {
            Some((worker, why)) => format!("{} takes no work now: {why}", worker.hello.name),
            None => "a machine that serves it is leaving".into(),
        }
    }
}

fn worker_status(id: PeerId, worker: &Worker, stages: Vec<HeldStage>) -> WorkerStatus {
    WorkerStatus {
        id: id.to_string(),
        name: worker.hello.name.clone(),
        state: match &worker.lends.stopped {
            _ if worker.draining => WorkerState::Draining,
            Some(_) => WorkerState::Stopped,
            None => WorkerState::Ready,
        },
        device: worker.hello.device.clone(),
        memory_bytes: worker.lends.memory,
        // As the machine itself counts, with stages that the coordinator has given up.
        sessions: worker.beat.stages.iter().map(|stage| stage.sessions).fold(0, u32::saturating_add),
        stages,
    }
}

fn held_spare(model: &Model, epoch: Epoch, spare: &Spare) -> HeldStage {
    let (weights_bytes, quant) = spare.loaded.clone().unzip();
    HeldStage {
        model: model.name.clone(),
        layers: [spare.place.layers.start, spare.place.layers.end],
        epoch: u64::from(epoch.number()),
        quant,
        weights_bytes: weights_bytes.unwrap_or(0),
        kv_used_bytes: 0,
        kv_budget_bytes: spare.place.kv_budget,
        sessions: 0,
        spare: true,
        measured: None,
    }
}
