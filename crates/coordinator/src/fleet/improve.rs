//! Pipelines that serve move to machines that would serve much better, as they come or turn out to be.

use super::{ModelId, core::Core};

impl Core {
    /// Now and then: a better pipeline is to be looked for, for each model whose pipelines all work. True when it is time.
    pub(super) fn start_improving(&mut self) -> bool {
        let due = self.improve_again <= self.now;
        if due {
            self.improve_again = self.now + self.settings.timing.improve_every;
            self.models.values_mut().for_each(|state| state.improve = true);
        }
        due
    }

    /// The next model to look for a better pipeline for. Clears the mark.
    pub(super) fn next_to_improve(&mut self) -> Option<ModelId> {
        loop {
            let (id, state) = self.models.iter_mut().find(|(_, state)| state.improve)?;
            state.improve = false;
            let id = id.clone();
            if self.is_settled(&id) {
                return Some(id);
            }
        }
    }

    /// Whether a model has pipelines, and all of them serve.
    pub(super) fn is_settled(&self, id: &ModelId) -> bool {
        let mut builds = self.of_model(id).peekable();
        builds.peek().is_some() && builds.all(|build| build.is_ready() && self.works(build))
    }
}
