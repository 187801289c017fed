//! What the planner is given: the machines as they are now, and what they hold.

use super::{
    ModelId,
    core::Core,
    plan::{Goal, Lent, PlanRequest},
    state::Worker,
};
use crate::planner::{Link as MachineLink, Machine, Placement};
use gogrid_wire::{Epoch, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

impl Core {
    pub(super) fn request(&self, job: u64, id: &ModelId, goal: Goal) -> Option<PlanRequest> {
        let state = self.models.get(id)?;
        let bytes = |stage: &super::build::BuildStage| (stage.place.machine, stage.place.memory.total());
        let may_end: BTreeSet<Epoch> = match &goal {
            Goal::Serve { failing, release, .. } => failing.iter().chain(release.iter().flatten()).copied().collect(),
            Goal::Improve => state.builds.keys().copied().collect(),
            Goal::ScaleOut { .. } | Goal::Spares { .. } => BTreeSet::new(),
        };
        let held = self.builds().filter(|build| may_end.contains(&build.epoch));
        Some(PlanRequest {
            job,
            model: state.model.clone(),
            max_sessions: self.settings.max_sessions,
            machines: self.lent(id),
            beyond_need: match goal {
                Goal::Serve { .. } => self.beyond_need(id),
                _ => BTreeMap::new(),
            },
            held: held.map(|build| (build.epoch, build.stages.iter().map(bytes).collect())).collect(),
            pipelines: state.builds.values().map(|build| (build.epoch, build.placements())).collect(),
            former: state.former.clone(),
            spares: self.spares_of(id),
            groups: self.groups.models.get(id.as_str()).cloned().unwrap_or_default(),
            goal,
        })
    }

    /// What pipelines of other models hold beyond what they cannot do without, in bytes.
    fn beyond_need(&self, id: &ModelId) -> BTreeMap<Epoch, Vec<(PeerId, u64)>> {
        let others = self.models.iter().filter(|(other, _)| *other != id).flat_map(|(_, state)| state.builds.values());
        let beyond = |place: &Placement| (place.machine, place.memory.total().saturating_sub(place.least));
        others.map(|build| (build.epoch, build.placements().iter().map(beyond).collect())).collect()
    }

    /// Every machine that takes work and is not silent, with all that it lends, and how fast it computes a model.
    fn lent(&self, id: &ModelId) -> Vec<Lent> {
        let mut taken: HashMap<PeerId, u64> = HashMap::new();
        for stage in self.builds().flat_map(|build| &build.stages) {
            *taken.entry(stage.place.machine).or_default() += stage.place.memory.total();
        }
        // The planner itself looks at groups, and says so where they leave no machine.
        let usable = |peer: PeerId| self.is_usable(peer) && !self.is_quarantined(id, peer);
        let usable = self.workers.iter().filter(|(peer, _)| usable(**peer));
        let lent = usable.map(|(peer, worker)| Lent {
            machine: Machine {
                id: *peer,
                device: worker.device.clone(),
                free: worker.lends.memory,
                measured: worker.measured.get(id).copied(),
                link: link(worker.round_trip, worker.bandwidth),
                reliability: self.reliability.of(*peer, self.now),
                groups: self.groups.members.get(peer).cloned().unwrap_or_default(),
            },
            taken: taken.get(peer).copied().unwrap_or(0),
        });
        lent.collect()
    }

    /// Whether stages of a model may be placed on a machine.
    pub(super) fn may_take(&self, id: &ModelId, peer: PeerId) -> bool {
        self.is_usable(peer) && self.groups.allow(id.as_str(), peer) && !self.is_quarantined(id, peer)
    }

    fn is_quarantined(&self, id: &ModelId, peer: PeerId) -> bool {
        self.models.get(id).is_some_and(|state| state.quarantine.holds(peer))
    }

    /// Whether a machine takes work and is not silent.
    pub(super) fn is_usable(&self, peer: PeerId) -> bool {
        self.workers.get(&peer).is_some_and(|worker| worker.takes_work() && !self.is_silent(worker))
    }

    /// What a machine has left beside its stages, except those of some epochs, in bytes.
    pub(super) fn free_at(&self, peer: PeerId, without: &[Epoch]) -> u64 {
        let worker = self.workers.get(&peer).filter(|_| self.is_usable(peer));
        let builds = self.builds().filter(|build| !without.contains(&build.epoch));
        let stages = builds.flat_map(|build| &build.stages).filter(|stage| stage.place.machine == peer);
        let taken: u64 = stages.map(|stage| stage.place.memory.total()).sum();
        worker.map_or(0, |worker: &Worker| worker.lends.memory.saturating_sub(taken))
    }
}

/// A machine's link, the coordinator in the middle of the network. Within an office delays differ by less than they
/// fluctuate, and what a machine takes depends on who else does: machines there count as equal.
fn link(round_trip: Option<Duration>, bandwidth: Option<u64>) -> MachineLink {
    const FAR: Duration = Duration::from_millis(1);
    let usual = MachineLink::default();
    let delay = round_trip.filter(|round_trip| *round_trip > FAR).map(|round_trip| round_trip.as_secs_f64() / 2.0);
    let slow = |bandwidth: &f64| *bandwidth > 0.0 && *bandwidth < usual.bandwidth / 2.0;
    let bandwidth = bandwidth.map(|bytes| bytes as f64).filter(slow);
    MachineLink { delay: delay.unwrap_or(usual.delay), bandwidth: bandwidth.unwrap_or(usual.bandwidth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offices_links_count_as_equal_and_slow_ones_as_they_are() {
        let usual = MachineLink::default();
        assert_eq!(link(Some(Duration::from_micros(700)), Some(90_000_000)), usual);
        assert_eq!(link(None, Some(2_000_000_000)), usual);
        assert_eq!(link(None, Some(0)), usual, "nothing can be reckoned with none at all");
        let slow = link(Some(Duration::from_millis(8)), Some(3_000_000));
        assert_eq!(slow, MachineLink { delay: 4e-3, bandwidth: 3e6 });
    }
}
