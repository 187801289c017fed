use super::{FleetTask, Worker, build::Build, spares::Spare};
use crate::{
    pipeline::Standing,
    planner::Placement,
    status::{
        HeldStage, MeasuredStage, ModelStatus, PipelineState, PipelineStatus, PlacedStage, QueueStatus, Status,
        WorkerState, WorkerStatus,
    },
};
use gogrid_wire::{Epoch, PeerId};

impl FleetTask {
    /// What there is. The API's part (address, queue) is filled in by who knows it.
    pub(super) async fn status(&self) -> Status {
        let members = self.registry.lock().await.members().unwrap_or_default();
        let workers = members.into_iter().map(|member| match self.workers.get(&member.id) {
            Some(worker) => self.worker_status(member.id, worker),
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
            models: self.models.iter().map(|model| self.model_status(model)).collect(),
            sessions: self.builds.values().map(|build| build.pipeline.sessions()).sum(),
            queue: QueueStatus { waiting: 0, capacity: 0 },
        }
    }

    fn worker_status(&self, id: PeerId, worker: &Worker) -> WorkerStatus {
        let stages = self.builds.iter().flat_map(|(epoch, build)| held_stages(*epoch, build, id, worker));
        let spares = self.spares.iter().filter(|(_, spare)| spare.place.machine == id);
        let spares = spares.map(|(epoch, spare)| held_spare(*epoch, spare));
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
            // As the machine itself counts, stages that the coordinator has given up included.
            sessions: worker.beat.stages.iter().map(|stage| stage.sessions).sum(),
            stages: stages.chain(spares).collect(),
        }
    }

    fn model_status(&self, model: &super::Model) -> ModelStatus {
        let builds = self.builds.iter().filter(|(_, build)| build.model == model.name);
        let mut pipelines: Vec<_> = builds.map(|(epoch, build)| self.pipeline_status(*epoch, build)).collect();
        pipelines.sort_by_key(|pipeline| (pipeline.state, pipeline.epoch));
        let ready = pipelines.first().is_some_and(|pipeline| pipeline.state == PipelineState::Ready);
        ModelStatus {
            name: model.name.clone(),
            quant: model.quant.map_or_else(|| "auto".into(), |quant| quant.to_string()),
            layers: model.manifest.config.layers.len(),
            context_length: model.manifest.config.context_length,
            ready,
            reason: (!ready).then(|| self.reason(&model.name)),
            epoch: pipelines.first().map(|pipeline| pipeline.epoch),
            stages: pipelines.first().map_or_else(Vec::new, |pipeline| pipeline.stages.clone()),
            replicas: model.replicas,
            pipelines,
        }
    }

    fn pipeline_status(&self, epoch: Epoch, build: &Build) -> PipelineStatus {
        let stages = build.stages.iter().map(|stage| PlacedStage {
            layers: [stage.place.layers.start, stage.place.layers.end],
            worker: self.worker_name(stage.place.machine),
            worker_id: stage.place.machine.to_string(),
        });
        PipelineStatus {
            epoch: epoch.0,
            state: match build.pipeline.standing() {
                Standing::Open if build.is_ready() => PipelineState::Ready,
                Standing::Open => PipelineState::Building,
                Standing::Stopped => PipelineState::Stopped,
                Standing::Leaving => PipelineState::Leaving,
                Standing::Stalled => PipelineState::Stalled,
            },
            sessions: build.pipeline.sessions(),
            stages: stages.collect(),
        }
    }
}

fn held_spare(epoch: Epoch, spare: &Spare) -> HeldStage {
    let Placement { layers, kv_budget, .. } = &spare.place;
    let (weights_bytes, quant) = spare.loaded.clone().unzip();
    HeldStage {
        model: spare.model.clone(),
        layers: [layers.start, layers.end],
        epoch: epoch.0,
        quant,
        weights_bytes: weights_bytes.unwrap_or(0),
        kv_used_bytes: 0,
        kv_budget_bytes: *kv_budget,
        sessions: 0,
        spare: true,
        measured: None,
    }
}

fn held_stages(epoch: Epoch, build: &Build, id: PeerId, worker: &Worker) -> impl Iterator<Item = HeldStage> {
    build.stages.iter().filter(move |stage| stage.place.machine == id).map(move |stage| {
        let beat = worker.beat.stages.iter().find(|beat| beat.epoch == epoch);
        HeldStage {
            model: build.model.clone(),
            layers: [stage.place.layers.start, stage.place.layers.end],
            epoch: epoch.0,
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
    })
}
