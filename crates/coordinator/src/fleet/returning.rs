//! A coordinator that starts again knows how reliable its machines were, and goes on with the pipelines that served
//! before, as soon as their machines are back: there the weights still are.

use super::{
    ModelId,
    core::Core,
    event::{Action, Record},
    plan::Before,
};
use crate::planner::Reliability;
use gogrid_model::Layers;
use gogrid_wire::PeerId;
use std::{collections::BTreeMap, time::Duration};

/// Which machine has which layers, in a pipeline's order.
pub(crate) type Stages = Vec<(PeerId, Layers)>;

/// What the previous coordinator recorded.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// The pipelines that served, by model.
    pub(crate) pipelines: BTreeMap<String, Vec<Stages>>,
    /// How reliable each machine was, and how long ago that was recorded.
    pub(crate) reliability: Vec<(PeerId, Reliability, Duration)>,
}

impl Core {
    /// Goes on from what the previous coordinator recorded, and waits a while for its machines.
    pub(super) fn restore(&mut self, restored: Restored) {
        for (peer, seen, ago) in restored.reliability {
            self.reliability.known(peer, seen.passed(ago), self.now);
        }
        self.before = restored.pipelines;
        for (id, state) in &mut self.models {
            state.before = self.before.remove(id.as_str()).unwrap_or_default();
        }
        self.before_until = self.now + self.settings.timing.return_within;
        self.expects_before = true;
        // A request that comes before the registry was read waits for its model, if that is known already.
        self.publish = true;
        self.reserve_epochs();
    }

    /// Machines that did not connect in time are replaced, as machines are that were lost. True when that is news.
    pub(super) fn stop_expecting(&mut self) -> bool {
        let over = self.expects_before && self.before_until <= self.now;
        if over {
            self.expects_before = false;
            self.changed();
        }
        over
    }

    /// Records which pipelines serve, for the next coordinator.
    pub(super) fn record_pipelines(&mut self) {
        let mut pipelines = if self.now < self.before_until { self.before.clone() } else { BTreeMap::new() };
        for (id, state) in &self.models {
            let before = state.before.iter().filter(|_| self.now < self.before_until).cloned();
            let ready = state.builds.values().filter(|build| build.is_ready());
            let serving = ready.map(|build| -> Stages {
                build.stages.iter().map(|stage| (stage.place.machine, stage.place.layers)).collect()
            });
            let all: Vec<Stages> = before.chain(serving).collect();
            if !all.is_empty() {
                pipelines.insert(id.to_string(), all);
            }
        }
        self.actions.push(Action::Record(Record::Pipelines(pipelines)));
    }

    /// Records how reliable a machine has been, for the next coordinator.
    pub(super) fn record_reliability(&mut self, peer: PeerId) {
        let seen = self.reliability.seen(peer, self.now);
        self.actions.push(Action::Record(Record::Reliability { peer, seen }));
    }

    /// A model's pipelines of the time before: those that may be built again now, and whether others may be later.
    pub(super) fn pipelines_before(&self, id: &ModelId) -> Before {
        let late = self.now >= self.before_until;
        let before = self.models.get(id).map(|state| state.before.as_slice()).unwrap_or_default();
        let connected = |stages: &Stages| stages.iter().all(|(machine, _)| self.workers.contains_key(machine));
        Before {
            due: before.iter().filter(|stages| late || connected(stages)).cloned().collect(),
            expected: !late && before.iter().any(|stages| !connected(stages)),
        }
    }

    /// One of the pipelines of the time before is built again.
    pub(super) fn built_again(&mut self, id: &ModelId, stages: &Stages) {
        if let Some(state) = self.models.get_mut(id)
            && let Some(at) = state.before.iter().position(|before| before == stages)
        {
            state.before.remove(at);
        }
    }

    /// None of the pipelines of the time before can be built again.
    pub(super) fn give_up_before(&mut self, id: &ModelId) {
        if let Some(state) = self.models.get_mut(id) {
            state.before.clear();
        }
    }
}
