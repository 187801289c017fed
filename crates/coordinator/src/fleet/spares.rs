//! Warm spares: where there is no room for a whole further pipeline, machines without a part in one keep stages of it in
//! memory, as far as they lend it. One that takes the place of a lost machine has nothing to load.

use super::{FleetTask, Model};
use crate::planner::{self, Machine, Placement};
use gogrid_wire::{
    Epoch, PeerId,
    control::{Peer, ToWorker},
};
use std::sync::Arc;
use tokio::time::Instant;

/// A stage that is loaded and serves nothing yet, in an epoch of its own.
pub(super) struct Spare {
    pub(super) model: String,
    pub(super) place: Placement,
    /// Memory of the weights and their type, once loaded.
    pub(super) loaded: Option<(u64, String)>,
}

impl FleetTask {
    /// Lets spares go that are of no use any more, and loads those that are missing.
    pub(super) async fn keep_spares(&mut self) {
        let useless: Vec<Epoch> =
            self.spares.iter().filter(|(_, spare)| !self.is_useful(spare)).map(|(epoch, _)| *epoch).collect();
        for epoch in useless {
            self.drop_spare(epoch).await;
        }
        let now = Instant::now();
        let models: Vec<_> = self.models.iter().filter(|model| self.wants_replica(&model.name)).cloned().collect();
        for model in models {
            let missing = self.missing_spares(&model);
            let again = self.spared.get(&model.name).map(|last| *last + self.timing.replan_window);
            if missing.is_empty() || self.is_too_soon(again) {
                continue;
            }
            self.spared.insert(model.name.clone(), now);
            for place in missing {
                self.load_spare(&model, place).await;
            }
        }
    }

    /// Spares of a model, the loaded ones first.
    pub(super) fn spares_of(&self, model: &str) -> Vec<Placement> {
        let mut spares: Vec<_> = self.spares.values().filter(|spare| spare.model == model).collect();
        spares.sort_by_key(|spare| spare.loaded.is_none());
        spares.into_iter().map(|spare| spare.place.clone()).collect()
    }

    /// Makes way for a stage: lets the spares of its machine go that do not fit beside it. One that is that very stage
    /// is handed over to it.
    pub(super) async fn make_way(&mut self, model: &str, place: &Placement) -> Option<Epoch> {
        let same = |spare: &Spare| spare.model == model && spare.place.is_same_stage(place);
        let heir = self.spares.iter().find(|(_, spare)| same(spare)).map(|(epoch, _)| *epoch);
        let of_machine =
            self.spares.iter().filter(|(epoch, spare)| spare.place.machine == place.machine && Some(**epoch) != heir);
        let others: Vec<Epoch> = of_machine.map(|(epoch, _)| *epoch).collect();
        let free = self.machines(model, &[]).into_iter().find(|machine| machine.id == place.machine);
        let mut free = free.map_or(0, |machine| machine.free).saturating_sub(place.memory.total());
        for epoch in others {
            let takes = self.spares[&epoch].place.memory.total();
            match takes <= free {
                true => free -= takes,
                false => self.drop_spare(epoch).await,
            }
        }
        heir
    }

    /// A spare's machine must not hold it any more, or may hand it over to the stage that it was told to load.
    pub(super) async fn drop_spare(&mut self, epoch: Epoch) {
        if let Some(spare) = self.spares.remove(&epoch) {
            self.send(spare.place.machine, ToWorker::Stop { epoch, keep: false }, Vec::new()).await;
        }
    }

    async fn load_spare(&mut self, model: &Arc<Model>, place: Placement) {
        let Some(epoch) = self.next_epoch().await else { return };
        tracing::info!(%epoch, model = model.name, layers = %place.layers, worker = self.worker_name(place.machine), "a warm spare");
        // Its neighbours are not known yet, and it is never told to link up.
        let chunk = self.prefill_chunk(std::iter::once(&place));
        self.load(epoch, model, &place, chunk, [Peer::Coordinator, Peer::Coordinator]).await;
        self.spares.insert(epoch, Spare { model: model.name.clone(), place, loaded: None });
    }

    /// Stages of pipelines without a spare, and where one could be.
    fn missing_spares(&self, model: &Model) -> Vec<Placement> {
        let beside = |machine: Machine| Machine {
            free: machine.free.saturating_sub(self.taken_by_spares(machine.id)),
            ..machine
        };
        let mut machines: Vec<Machine> = self.machines(&model.name, &[]).into_iter().map(beside).collect();
        // A machine can take one place in a pipeline, and one that is part of it has its own to lose.
        let builds = || self.builds.values().filter(|build| build.model == model.name);
        let spares = || self.spares.values().filter(|spare| spare.model == model.name);
        machines.retain(|machine| {
            !builds().any(|build| build.has(machine.id)) && !spares().any(|spare| spare.place.machine == machine.id)
        });
        let stages: Vec<Placement> = builds()
            // Whoever has room for a pipeline of one stage is a replica.
            .filter(|build| build.is_ready() && self.works(build) && build.stages.len() > 1)
            .flat_map(|build| build.stages.iter().map(|stage| stage.place.clone()))
            .filter(|place| !spares().any(|spare| spare.place.layers == place.layers))
            .collect();
        planner::spares(&self.demand(model), &machines, &stages).into_iter().map(|spare| spare.place).collect()
    }

    /// Whether its machine takes work, a pipeline has that stage, and no replica would take over instead.
    fn is_useful(&self, spare: &Spare) -> bool {
        if self.has_all_replicas(&spare.model) {
            return false;
        }
        let works = self.workers.get(&spare.place.machine).is_some_and(super::Worker::takes_work);
        let builds = self.builds.values().filter(|build| build.model == spare.model);
        let former = self.former.get(&spare.model).into_iter().flatten();
        let mut stages = builds.flat_map(|build| &build.stages).map(|stage| &stage.place).chain(former);
        works && stages.any(|place| place.layers == spare.place.layers)
    }

    /// What the spares of a machine take.
    fn taken_by_spares(&self, machine: PeerId) -> u64 {
        let of_machine = self.spares.values().filter(|spare| spare.place.machine == machine);
        of_machine.map(|spare| spare.place.memory.total()).sum()
    }
}
