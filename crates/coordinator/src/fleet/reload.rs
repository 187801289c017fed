//! The registry's models: new ones are opened and planned, changed ones anew, removed ones end.

use super::{ModelId, core::Core, event::Action, state::ModelState};
use crate::model::Model;
use crate::registry::ModelRecord;
use gogrid_wire::Epoch;
use std::{collections::BTreeMap, sync::Arc};

impl Core {
    pub(super) fn models_read(&mut self, records: Vec<ModelRecord>) {
        self.models_are_read = true;
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
