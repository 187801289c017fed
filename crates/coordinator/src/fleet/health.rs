//! Which pipelines take sessions: what the machines that they are made of say and do, and how many a model may have.

use super::{FleetTask, Worker, build::Build};
use crate::pipeline::Standing;
use gogrid_wire::Epoch;
use std::collections::HashMap;

impl FleetTask {
    /// Whether a machine has not been heard of for longer than a beat may be late.
    pub(super) fn is_silent(&self, worker: &Worker) -> bool {
        let busy = worker.beat.stages.iter().any(|stage| stage.sessions > 0);
        let late = if busy { self.timing.suspect_busy_after } else { self.timing.suspect_after };
        worker.last_beat.elapsed() > late
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

    /// The pipelines of a model.
    pub(super) fn of_model(&self, model: &str) -> impl Iterator<Item = &Build> {
        self.builds.values().filter(move |build| build.model == model)
    }

    /// Pipelines that are of no use for now: a machine of them does not compute, by its owner's will, or they are not
    /// ready and wait for a silent one.
    pub(super) fn idle(&self) -> impl Iterator<Item = Epoch> + '_ {
        let idle = |build: &Build| self.is_stuck(build) || self.any(build, |worker| !worker.lends.computes);
        self.builds.iter().filter(move |(_, build)| idle(build)).map(|(epoch, _)| *epoch)
    }

    fn is_stuck(&self, build: &Build) -> bool {
        !build.is_ready() && self.any(build, |worker| self.is_silent(worker))
    }

    /// Whether another pipeline serves the model of this one.
    pub(super) fn is_served_without(&self, epoch: Epoch) -> bool {
        let model = self.builds.get(&epoch).map(|build| &build.model);
        let mut others = self.builds.iter().filter(|(other, _)| **other != epoch);
        others.any(|(_, other)| Some(&other.model) == model && other.is_ready() && self.works(other))
    }

    /// Works out each pipeline's standing anew; true if one has changed.
    pub(super) fn update_health(&mut self) -> bool {
        let mut open: HashMap<&str, usize> = HashMap::new();
        let mut news = false;
        // In the order of their epochs, so that the youngest are too many.
        for build in self.builds.values() {
            let mut standing = self.health_of(build);
            if standing == Standing::Open && build.is_ready() {
                let open = open.entry(&build.model).or_default();
                *open += 1;
                if *open > self.models.replicas(&build.model) {
                    standing = Standing::Leaving;
                }
            }
            news |= build.pipeline.set_standing(standing);
        }
        news
    }

    /// Pipelines that were left by their last session, as they should.
    pub(super) fn left(&self) -> Vec<Epoch> {
        let left = |build: &Build| {
            let leaving = build.pipeline.standing() == Standing::Leaving || self.any(build, |worker| worker.draining);
            leaving && build.pipeline.sessions() == 0
        };
        self.builds.iter().filter(|(_, build)| left(build)).map(|(epoch, _)| *epoch).collect()
    }

    fn health_of(&self, build: &Build) -> Standing {
        if self.any(build, |worker| !worker.lends.computes || self.is_silent(worker)) {
            Standing::Stalled
        } else if self.any(build, |worker| worker.draining) {
            Standing::Leaving
        } else if self.any(build, |worker| worker.lends.stopped.is_some()) {
            Standing::Stopped
        } else {
            Standing::Open
        }
    }

    fn any(&self, build: &Build, is: impl Fn(&Worker) -> bool) -> bool {
        build.peers().any(|peer| self.workers.get(&peer).is_some_and(&is))
    }
}
