//! What is freed when less memory is lent.

use super::{Core, report};
use crate::executor::slot::{Slot, StageLocation};
use gogrid_limits::{Release, plan_shrink};
use gogrid_wire::control::GoneReason;

impl Core {
    /// Frees what is over the ledgers' limits: outputs that are retained for replays and what complete answers hold, idle
    /// stages, then sessions, then stages.
    pub(super) fn shrink(&mut self) {
        if self.ledgers.are_over() {
            self.stages.values_mut().chain(&mut self.parked).for_each(Slot::forget_outputs);
            for (epoch, slot) in &mut self.stages {
                report(&self.failures, *epoch, slot.forget_prefixes());
            }
        }
        let over = self.ledgers.device.over();
        if over == 0 {
            return;
        }
        let parked = self.parked.iter().enumerate().map(|(at, slot)| slot.holding(StageLocation::Parked(at)));
        let serving = self.stages.iter().map(|(epoch, slot)| slot.holding(StageLocation::Serving(*epoch)));
        let holdings: Vec<_> = parked.chain(serving).collect();
        let mut parked = Vec::new();
        for release in plan_shrink(over, &holdings) {
            match release {
                Release::Session { stage: StageLocation::Serving(epoch), session } => {
                    if let Some(slot) = self.stages.get_mut(&epoch) {
                        report(&self.failures, epoch, slot.hand_back(session));
                    }
                }
                Release::Stage { stage: StageLocation::Serving(epoch) } => self.give_up(epoch, GoneReason::LessMemory),
                Release::Stage { stage: StageLocation::Parked(at) } => parked.push(at),
                Release::Session { stage: StageLocation::Parked(_), .. } => {}
            }
        }
        // From the last on, so that the others stay where they are.
        parked.sort_unstable();
        for at in parked.into_iter().rev() {
            self.parked.remove(at);
        }
    }
}
