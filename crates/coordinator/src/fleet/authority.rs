//! Who may say what: a message about a stage counts only from the machine that the plan names for it.

use super::core::Core;
use gogrid_wire::{Epoch, PeerId};

impl Core {
    /// Whether a machine may report on an epoch: it has a stage of it. A report on an epoch that is over came late and is
    /// dropped; one on other machines' stages is dropped, counted, and lowers the machine's reliability.
    pub(super) fn may_report(&mut self, peer: PeerId, epoch: Epoch) -> bool {
        let in_pipeline = self.build(epoch).is_some_and(|build| build.has(peer));
        if in_pipeline || self.spare_mut(epoch).is_some_and(|spare| spare.place.machine == peer) {
            return true;
        }
        if self.by_epoch.contains_key(&epoch) {
            self.foreign_report(peer, epoch);
        }
        false
    }

    fn foreign_report(&mut self, peer: PeerId, epoch: Epoch) {
        self.reliability.misbehaved(peer, self.now);
        let Some(worker) = self.workers.get_mut(&peer) else { return };
        worker.foreign_reports += 1;
        // A flood of them must not fill the log.
        if worker.foreign_reports.is_power_of_two() {
            let (name, count) = (&worker.hello.name, worker.foreign_reports);
            tracing::warn!(peer = %peer.short(), name, %epoch, count, "a machine reports on a stage that is not its own; dropped");
        }
    }
}
