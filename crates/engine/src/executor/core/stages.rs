//! Stages in and out of service.

use super::Core;
use crate::executor::{Failure, Installed, Loaded, ServeOptions, StageKey, slot::Slot};
use gogrid_limits::OverLimit;
use gogrid_wire::{Epoch, control::GoneReason};

impl Core {
    pub(super) fn install(
        &mut self,
        key: StageKey,
        epoch: Epoch,
        options: ServeOptions,
        loaded: Loaded,
    ) -> Result<Installed, OverLimit> {
        let slot = Slot::new(key, loaded, options, self.planned, &self.ledgers)?;
        let installed = slot.installed();
        self.stages.insert(epoch, slot);
        Ok(installed)
    }

    pub(super) fn reuse(&mut self, key: &StageKey, epoch: Epoch, options: ServeOptions) -> Option<Installed> {
        if let Some((serving, slot)) = self.stages.iter().find(|(_, slot)| slot.key == *key) {
            self.handovers.insert(epoch, (*serving, options));
            return Some(slot.installed());
        }
        let found = self.parked.iter().position(|slot| slot.key.has_same_weights(key));
        let found = found.map(|at| self.parked.swap_remove(at));
        // What does not fit the new plan must not hold memory beside it.
        self.parked.clear();
        let mut slot = found?;
        slot.key = key.clone();
        slot.begin(options);
        let installed = slot.installed();
        self.stages.insert(epoch, slot);
        Some(installed)
    }

    pub(super) fn park(&mut self, epoch: Epoch, keep: bool) {
        self.handovers.remove(&epoch);
        let Some(mut slot) = self.stages.remove(&epoch) else { return };
        slot.end(keep);
        match self.take_handover(epoch) {
            Some((successor, options)) => {
                slot.begin(options);
                self.stages.insert(successor, slot);
            }
            None => self.parked.push(slot),
        }
    }

    /// The first epoch that takes a stage over; the others that wait for it wait for that one now.
    fn take_handover(&mut self, epoch: Epoch) -> Option<(Epoch, ServeOptions)> {
        let (successor, (_, options)) = self.handovers.extract_if(.., |_, (from, _)| *from == epoch).next()?;
        for (from, _) in self.handovers.values_mut() {
            if *from == epoch {
                *from = successor;
            }
        }
        Some((successor, options))
    }

    /// Gives a stage up, and every epoch that was to take it over.
    pub(super) fn give_up(&mut self, epoch: Epoch, reason: GoneReason) {
        if self.stages.remove(&epoch).is_none() {
            return;
        }
        let successors = self.handovers.extract_if(.., |_, (from, _)| *from == epoch).map(|(successor, _)| successor);
        for epoch in successors.chain([epoch]) {
            tracing::warn!(%epoch, %reason, "stage given up");
            drop(self.failures.try_send(Failure::Stage { epoch, reason }));
        }
    }
}
