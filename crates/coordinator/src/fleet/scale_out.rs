//! Further pipelines of a model that is served, on machines that no pipeline of it uses: they share its requests, and
//! the sequences of one that is lost go on over another without waiting for a load.

use super::{ModelId, core::Core, plan::Goal};
use gogrid_wire::Epoch;
use tokio::time::Instant;

impl Core {
    /// A replica of a model that wants one, unless it had one just now or none was found since anything changed.
    pub(super) fn replica_goal(&mut self, id: &ModelId) -> Option<Goal> {
        let state = self.models.get(id)?;
        let again = state.scaled_out.map(|last| last + self.settings.timing.replan_window);
        let in_vain = state.tried.scale_out == Some(self.generation);
        if in_vain || self.is_too_soon(again) {
            return None;
        }
        Some(Goal::ScaleOut { before: self.pipelines_before(id) })
    }

    pub(super) fn scaled_out(&mut self, id: &ModelId) {
        if let Some(state) = self.models.get_mut(id) {
            state.scaled_out = Some(self.now);
        }
    }

    /// Whether a window is still open; when it ends, plans are made again.
    pub(super) fn is_too_soon(&mut self, again: Option<Instant>) -> bool {
        let again = again.filter(|again| *again > self.now);
        self.scale_out_again = [self.scale_out_again, again].into_iter().flatten().min();
        again.is_some()
    }

    /// Replicas, the newest first: pipelines whose model an older one serves.
    pub(super) fn extra(&self) -> Vec<Epoch> {
        let mut extra: Vec<Epoch> = Vec::new();
        for state in self.models.values() {
            let serves = |build: &&super::build::Build| build.is_ready() && self.works(build);
            if let Some(first) = state.builds.values().find(serves) {
                extra.extend(state.builds.keys().filter(|epoch| **epoch > first.epoch));
            }
        }
        extra.sort_unstable_by(|a, b| b.cmp(a));
        extra
    }

    /// Whether a model is served, has fewer pipelines than it may, and none on its way.
    pub(super) fn wants_replica(&self, id: &ModelId) -> bool {
        let building = self.of_model(id).any(|build| !build.is_ready() && self.works(build));
        !building && self.serving(id) > 0 && !self.has_all_replicas(id)
    }

    /// Whether a model has all the pipelines that it may have.
    pub(super) fn has_all_replicas(&self, id: &ModelId) -> bool {
        let most = self.models.get(id).map_or(0, |state| state.model.replicas);
        self.serving(id) >= most
    }
}
