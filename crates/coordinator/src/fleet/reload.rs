//! The registry's models: new ones are opened and planned, changed ones anew, removed ones end.

use super::{ModelId, core::Core, event::Action, state::ModelState};
use crate::model::Model;
use crate::{
    planner::Placement,
    registry::{Groups, ModelRecord},
};
use gogrid_wire::Epoch;
use std::{collections::BTreeMap, sync::Arc};

impl Core {
    pub(super) fn models_read(&mut self, records: Vec<ModelRecord>, groups: Groups) {
        self.models_are_read = true;
        if self.groups != groups {
            self.groups = groups;
            self.end_forbidden();
            self.may_place_all();
        }
        let records: BTreeMap<ModelId, ModelRecord> =
            records.into_iter().map(|record| (ModelId::from(record.name.as_str()), record)).collect();
        self.opening.retain(|id, record| records.get(id) == Some(record));
        let stale = self.models.iter().filter(|(id, state)| records.get(id) != Some(&state.record));
        let stale: Vec<ModelId> = stale.map(|(id, _)| id.clone()).collect();
        for id in stale {
            self.remove_model(&id);
        }
        for (id, record) in records {
            if !self.models.contains_key(&id) && !self.opening.contains_key(&id) {
                self.actions.push(Action::OpenModel(Box::new(record.clone())));
                self.opening.insert(id, record);
            }
        }
        self.assign();
    }

    /// Ends what is on machines that may no longer serve its model.
    fn end_forbidden(&mut self) {
        let forbidden = |(id, state): (&ModelId, &ModelState)| -> Vec<Epoch> {
            let allows = |place: &Placement| self.groups.allow(id.as_str(), place.machine);
            let builds = state.builds.values().filter(|build| !build.placements().iter().all(allows));
            let spares = state.spares.iter().filter(|(_, spare)| !allows(&spare.place));
            builds.map(|build| build.epoch).chain(spares.map(|(epoch, _)| *epoch)).collect()
        };
        let epochs: Vec<Epoch> = self.models.iter().flat_map(forbidden).collect();
        for epoch in epochs {
            self.close(epoch, "a machine is no longer in a group of the model");
        }
    }

    /// Takes a model in whose files were read, unless the registry has changed it meanwhile.
    pub(super) fn model_opened(&mut self, record: ModelRecord, model: Option<Arc<Model>>) {
        let id = ModelId::from(record.name.as_str());
        if self.opening.get(&id) != Some(&record) {
            return;
        }
        self.opening.remove(&id);
        self.publish = true;
        if let Some(model) = model {
            let before = self.before.remove(id.as_str()).unwrap_or_default();
            tracing::info!(model = %id, "model ready to be placed");
            self.models.insert(id, ModelState::new(record, model, before));
            self.changed();
            self.assign();
        }
    }

    /// Ends a model's pipelines and spares, and forgets all that was planned for it: what has its name next may hold
    /// memory of another size.
    fn remove_model(&mut self, id: &ModelId) {
        let Some(state) = self.models.get(id) else { return };
        let epochs: Vec<Epoch> = state.builds.keys().chain(state.spares.keys()).copied().collect();
        for epoch in epochs {
            self.close(epoch, "the model changed");
        }
        self.models.remove(id);
        self.before.remove(id.as_str());
        self.changed();
    }
}
