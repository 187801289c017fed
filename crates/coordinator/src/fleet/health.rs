//! Which pipelines take sessions: what their machines say and do, and how many pipelines a model may have.

use super::{
    ModelId,
    build::Build,
    core::Core,
    event::{Action, Activity},
    state::Worker,
};
use crate::pipeline::PipelineHealth;
use gogrid_wire::Epoch;
use std::collections::BTreeMap;

impl Core {
    /// Whether a worker's heartbeat is overdue.
    pub(super) fn is_silent(&self, worker: &Worker) -> bool {
        let busy = worker.beat.stages.iter().any(|stage| stage.sessions > 0);
        let timing = &self.settings.timing;
        let late = if busy { timing.suspect_busy_after } else { timing.suspect_after };
        self.now.saturating_duration_since(worker.last_beat) > late
    }

    /// Whether a pipeline serves or will: its machines take work, as far as they say. One that is not ready yet waits
    /// for no silent machine.
    pub(super) fn works(&self, build: &Build) -> bool {
        build.peers().all(|peer| self.workers.get(&peer).is_some_and(Worker::takes_work)) && !self.is_stuck(build)
    }

    /// Whether it works, and none of its machines is silent.
    pub(super) fn works_well(&self, build: &Build) -> bool {
        self.works(build) && !self.any(build, |worker| self.is_silent(worker))
    }

    /// Pipelines that serve a model.
    pub(super) fn serving(&self, id: &ModelId) -> usize {
        self.of_model(id).filter(|build| build.is_ready() && self.works(build)).count()
    }

    /// Whether a pipeline is of no use for now: a machine of it does not compute, by its owner's will, or it is not
    /// ready and waits for a silent one.
    pub(super) fn is_idle(&self, build: &Build) -> bool {
        self.is_stuck(build) || self.any(build, |worker| !worker.lends.computes)
    }

    fn is_stuck(&self, build: &Build) -> bool {
        !build.is_ready() && self.any(build, |worker| self.is_silent(worker))
    }

    /// Whether another pipeline serves the model of this one.
    pub(super) fn is_served_without(&self, epoch: Epoch) -> bool {
        let Some(id) = self.by_epoch.get(&epoch) else { return false };
        self.of_model(id).any(|other| other.epoch != epoch && other.is_ready() && self.works(other))
    }

    /// Works out each pipeline's health anew; true if one has changed.
    pub(super) fn update_health(&mut self) -> bool {
        let mut changes = Vec::new();
        for state in self.models.values() {
            let mut open = 0;
            // From the oldest to the newest, so that the newest are surplus.
            for build in state.builds.values() {
                let mut health = self.health_of(build);
                if health == PipelineHealth::Open && build.is_ready() {
                    open += 1;
                    if open > state.model.replicas {
                        health = PipelineHealth::Leaving;
                    }
                }
                if health != build.health {
                    changes.push((build.epoch, health));
                }
            }
        }
        for (epoch, health) in &changes {
            if let Some(build) = self.build_mut(*epoch) {
                build.health = *health;
            }
            self.actions.push(Action::SetHealth { epoch: *epoch, health: *health });
        }
        if changes.is_empty() {
            return false;
        }
        self.changed();
        true
    }

    /// Pipelines that were to be left by their sessions, and have none.
    pub(super) fn left(&self, activity: &BTreeMap<Epoch, Activity>) -> Vec<Epoch> {
        let is_empty = |build: &Build| activity.get(&build.epoch).is_some_and(|activity| activity.sessions == 0);
        let left = |build: &&Build| {
            let leaving = build.health == PipelineHealth::Leaving || self.any(build, |worker| worker.draining);
            leaving && is_empty(build)
        };
        self.builds().filter(left).map(|build| build.epoch).collect()
    }

    fn health_of(&self, build: &Build) -> PipelineHealth {
        if self.any(build, |worker| !worker.lends.computes || self.is_silent(worker)) {
            PipelineHealth::Stalled
        } else if self.any(build, |worker| worker.draining) {
            PipelineHealth::Leaving
        } else if self.any(build, |worker| worker.lends.stopped.is_some()) {
            PipelineHealth::Stopped
        } else {
            PipelineHealth::Open
        }
    }

    fn any(&self, build: &Build, is: impl Fn(&Worker) -> bool) -> bool {
        build.peers().any(|peer| self.workers.get(&peer).is_some_and(&is))
    }
}
