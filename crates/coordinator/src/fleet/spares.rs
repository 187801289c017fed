//! Warm spares: where no further pipeline fits, machines without a part in one keep stages of it in memory, as far as
//! they lend it. A spare that takes the place of a lost machine has nothing to load.

use super::{ModelId, core::Core, deadlines::Watch, plan::PlannedStage, state::Worker};
use crate::planner::Placement;
use gogrid_wire::{
    Epoch, PeerId,
    control::{Peer, ToWorker},
};
use std::collections::BTreeMap;

/// A stage that is loaded and serves nothing yet, in an epoch of its own.
pub(super) struct Spare {
    pub(super) place: Placement,
    /// Memory of the weights in bytes, and their type, once loaded.
    pub(super) loaded: Option<(u64, String)>,
    pub(super) watch: Watch,
}

impl Core {
    pub(super) fn spares(&self) -> impl Iterator<Item = (Epoch, &ModelId, &Spare)> {
        self.models.iter().flat_map(|(id, state)| state.spares.iter().map(move |(epoch, spare)| (*epoch, id, spare)))
    }

    pub(super) fn spare_mut(&mut self, epoch: Epoch) -> Option<&mut Spare> {
        self.models.get_mut(self.by_epoch.get(&epoch)?)?.spares.get_mut(&epoch)
    }

    /// Spares of a model, the loaded ones first.
    pub(super) fn spares_of(&self, id: &ModelId) -> Vec<Placement> {
        let mut spares: Vec<&Spare> = self.models.get(id).into_iter().flat_map(|state| state.spares.values()).collect();
        spares.sort_by_key(|spare| spare.loaded.is_none());
        spares.into_iter().map(|spare| spare.place.clone()).collect()
    }

    /// Drops the spares that are no longer useful.
    pub(super) fn drop_useless_spares(&mut self) {
        let useless = self.spares().filter(|(_, id, spare)| !self.is_useful(id, spare));
        let useless: Vec<Epoch> = useless.map(|(epoch, ..)| epoch).collect();
        useless.into_iter().for_each(|epoch| self.drop_spare(epoch));
    }

    /// Makes room for a stage: drops the spares of its machine that do not fit beside it. A spare that is that very
    /// stage is returned: the stage takes it over.
    pub(super) fn make_way(&mut self, id: &ModelId, place: &Placement) -> Option<Epoch> {
        let of_machine = self.spares().filter(|(_, _, spare)| spare.place.machine == place.machine);
        let (same, others): (Vec<_>, Vec<_>) =
            of_machine.partition(|(_, of, spare)| *of == id && spare.place.is_same_stage(place));
        let taken_over = same.first().map(|(epoch, ..)| *epoch);
        let others = same.iter().skip(1).chain(&others);
        let mut others: Vec<(Epoch, u64)> =
            others.map(|(epoch, _, spare)| (*epoch, spare.place.memory.total())).collect();
        others.sort_unstable();
        let mut free = self.free_at(place.machine, &[]).saturating_sub(place.memory.total());
        for (epoch, takes) in others {
            match takes <= free {
                true => free -= takes,
                false => self.drop_spare(epoch),
            }
        }
        taken_over
    }

    /// Tells a spare's machine to free it, or to hand it over to the stage that it was told to load.
    pub(super) fn drop_spare(&mut self, epoch: Epoch) {
        let Some(id) = self.by_epoch.get(&epoch) else { return };
        let Some(spare) = self.models.get_mut(id).and_then(|state| state.spares.remove(&epoch)) else { return };
        self.by_epoch.remove(&epoch);
        self.send(spare.place.machine, ToWorker::Stop { epoch, keep: false }, Vec::new());
    }

    /// A machine is gone, and its spares with it.
    pub(super) fn forget_spares_of(&mut self, peer: PeerId) {
        for state in self.models.values_mut() {
            state.spares.retain(|epoch, spare| {
                let stays = spare.place.machine != peer;
                if !stays {
                    self.by_epoch.remove(epoch);
                }
                stays
            });
        }
    }

    pub(super) fn load_spare(&mut self, id: &ModelId, stage: PlannedStage) {
        let Some(epoch) = self.take_epoch() else { return };
        let place = stage.place.clone();
        let worker = self.worker_name(place.machine);
        tracing::info!(%epoch, model = %id, layers = %place.layers, worker, "a warm spare");
        let chunk = self.prefill_chunk(std::iter::once(&place));
        // Its neighbours are not known yet, and it is never told to link up.
        self.load(epoch, id, stage, chunk, [Peer::Coordinator, Peer::Coordinator]);
        if let Some(state) = self.models.get_mut(id) {
            state.spares.insert(epoch, Spare { place, loaded: None, watch: Watch::default() });
            self.by_epoch.insert(epoch, id.clone());
        }
    }

    /// Stages of a model's pipelines that have no spare.
    pub(super) fn stages_without_spare(&self, id: &ModelId) -> Vec<Placement> {
        let spares = self.spares_of(id);
        self.of_model(id)
            // A machine with room for a pipeline of one stage is a replica.
            .filter(|build| build.is_ready() && self.works(build) && build.stages.len() > 1)
            .flat_map(super::build::Build::placements)
            .filter(|place| !spares.iter().any(|spare| spare.layers == place.layers))
            .collect()
    }

    /// Whether its machine takes work, a pipeline has that stage, and no replica would take over instead.
    fn is_useful(&self, id: &ModelId, spare: &Spare) -> bool {
        let Some(state) = self.models.get(id) else { return false };
        if self.has_all_replicas(id) || !self.workers.get(&spare.place.machine).is_some_and(Worker::takes_work) {
            return false;
        }
        let stages = state.builds.values().flat_map(|build| &build.stages).map(|stage| &stage.place);
        stages.chain(&state.former).any(|place| place.layers == spare.place.layers)
    }

    /// What the spares of each machine take, in bytes.
    pub(super) fn taken_by_spares(&self) -> BTreeMap<PeerId, u64> {
        let mut taken = BTreeMap::new();
        for (_, _, spare) in self.spares() {
            *taken.entry(spare.place.machine).or_default() += spare.place.memory.total();
        }
        taken
    }
}
