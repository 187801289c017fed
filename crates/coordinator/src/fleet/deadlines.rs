//! How long machines may take. A beat shows that a machine lives, not that it does what it was told: each load, link and
//! step has a time, and a machine that lets it pass is quarantined for the model, which is planned without it.
//!
//! Time counts only while the machines in question are heard and compute: an owner who pauses a machine, a machine that
//! sleeps and a coordinator that stands still cost nobody a deadline.

use super::{ModelId, build::Build, core::Core, event::Activity};
use crate::planner::Placement;
use gogrid_wire::{Epoch, PeerId, control::LoadFailure};
use std::{collections::BTreeMap, time::Duration};

/// A load may take this many times as long as its bytes take at the best rate that was seen: others load too, and what
/// has arrived is rearranged by a CPU that may lend only 5 %.
const LOAD_SLACK: f64 = 8.0;
/// The slowest load that is expected of a machine whose network is not measured yet, in bytes a second: a home link
/// that is shared.
const UNMEASURED: f64 = 1e6;
/// The slowest and the fastest load that is expected, in bytes a second.
const LOAD_RATES: [f64; 2] = [0.5e6, 25e6];
/// Steps may take this many times as long as was predicted or measured, whichever is more.
const STEP_SLACK: u32 = 8;
/// No answer is waited for longer than this: a prompt of the whole context on slow machines.
const LONGEST_STEP: Duration = Duration::from_secs(600);

const CANNOT_LOAD: &str = "it could not load its stage";
const LATE_LOAD: &str = "it did not load its stage in time";
const LATE_LINK: &str = "it did not link up in time";
const NO_ANSWER: &str = "a pipeline with it gave no answers";

/// What is waited for, and how long already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    waited: Duration,
    /// Replies when they were last counted.
    replies: u64,
}

/// What keeps a pipeline or a spare from working.
struct Late {
    epoch: Epoch,
    machines: Vec<PeerId>,
    why: &'static str,
}

impl Core {
    /// Counts the time since the last tick; ends what is too late. True if something was.
    pub(super) fn end_overdue(&mut self, activity: &BTreeMap<Epoch, Activity>) -> bool {
        // A coordinator that stood still heard nothing meanwhile.
        let passed = self.now.saturating_duration_since(self.last_tick).min(2 * self.settings.timing.tick);
        self.last_tick = self.now;
        let mut late = self.late_builds(passed, activity);
        late.extend(self.late_spares(passed));
        for Late { epoch, machines, why } in &late {
            self.blame(*epoch, machines, why, self.settings.timing.quarantine);
            let names: Vec<String> = machines.iter().map(|peer| self.worker_name(*peer)).collect();
            self.close(*epoch, &format!("{}: {why}", names.join(", ")));
        }
        !late.is_empty()
    }

    /// Quarantines machines for the model of an epoch, and counts it as their fault. The first time takes `first`.
    pub(super) fn blame(&mut self, epoch: Epoch, machines: &[PeerId], why: &'static str, first: Duration) {
        self.quarantine(epoch, machines, why, first);
        machines.iter().for_each(|peer| self.reliability.misbehaved(*peer, self.now));
    }

    fn quarantine(&mut self, epoch: Epoch, machines: &[PeerId], why: &'static str, first: Duration) {
        let Some(state) = self.by_epoch.get(&epoch).and_then(|id| self.models.get_mut(id)) else { return };
        machines.iter().for_each(|peer| state.quarantine.fault(*peer, why, first, self.now));
    }

    /// A machine says that it cannot load its stage.
    pub(super) fn load_failed(&mut self, peer: PeerId, epoch: Epoch, reason: LoadFailure) {
        let (machines, first) = ([peer], self.settings.timing.retry_after);
        match reason {
            LoadFailure::Manifest | LoadFailure::Build | LoadFailure::Refused | LoadFailure::Failed => {
                self.blame(epoch, &machines, CANNOT_LOAD, first);
            }
            // Others may do better, but it is not the machine's fault: a server out of reach, a full disk.
            LoadFailure::Unreachable | LoadFailure::Mismatch | LoadFailure::Disk | LoadFailure::DiskLimit => {
                self.quarantine(epoch, &machines, CANNOT_LOAD, first);
            }
            // It lends less than when the plan was made, and says so.
            LoadFailure::Memory => {}
        }
        let name = self.worker_name(peer);
        self.end(epoch, &format!("{name} cannot load its stage: {reason}"));
    }

    /// Machines whose quarantine is over may be planned with again. True if there are any.
    pub(super) fn end_quarantines(&mut self) -> bool {
        let mut ended = false;
        for state in self.models.values_mut() {
            if state.quarantine.release(self.now) {
                ended = true;
                if let Some(waiting) = &mut state.waiting {
                    waiting.retry = None;
                }
            }
        }
        if ended {
            self.changed();
        }
        ended
    }

    /// What an operator is told of the machines that a plan may not use.
    pub(super) fn quarantined(&self, id: &ModelId) -> Option<String> {
        let held = self.models.get(id)?.quarantine.held();
        let held: Vec<String> = held.map(|(peer, why)| format!("{} ({why})", self.worker_name(peer))).collect();
        (!held.is_empty()).then(|| format!("for now without {}", held.join(", ")))
    }

    fn late_builds(&mut self, passed: Duration, activity: &BTreeMap<Epoch, Activity>) -> Vec<Late> {
        let mut late = Vec::new();
        let epochs: Vec<Epoch> = self.builds().map(|build| build.epoch).collect();
        for epoch in epochs {
            let Some(build) = self.build(epoch) else { continue };
            // The machines that are waited for, and how long they may take.
            let (machines, within, why) = if build.is_ready() {
                let activity = activity.get(&epoch).copied().unwrap_or_default();
                if activity.rows == 0 || activity.replies != build.watch.replies {
                    self.answered(epoch, activity.replies);
                    continue;
                }
                (build.peers().collect(), self.step_within(build, activity), NO_ANSWER)
            } else if build.is_loaded() {
                (build.not_linked(), self.settings.timing.link_within, LATE_LINK)
            } else {
                let places = build.not_loaded();
                let within = places.iter().map(|place| self.load_within(place)).max().unwrap_or_default();
                (places.iter().map(|place| place.machine).collect::<Vec<_>>(), within, LATE_LOAD)
            };
            let works = machines.iter().all(|peer| self.is_working(*peer));
            let Some(build) = self.build_mut(epoch).filter(|_| works) else { continue };
            build.watch.waited += passed;
            if build.watch.waited > within && !machines.is_empty() {
                late.push(Late { epoch, machines, why });
            }
        }
        late
    }

    /// The pipeline has answered, or nothing is asked of it.
    fn answered(&mut self, epoch: Epoch, replies: u64) {
        let Some(state) = self.by_epoch.get(&epoch).and_then(|id| self.models.get_mut(id)) else { return };
        let Some(build) = state.builds.get_mut(&epoch) else { return };
        if build.watch.replies != replies {
            build.peers().for_each(|peer| state.quarantine.worked(peer));
        }
        build.watch = Watch { waited: Duration::ZERO, replies };
    }

    fn late_spares(&mut self, passed: Duration) -> Vec<Late> {
        let mut late = Vec::new();
        let loading = self.spares().filter(|(_, _, spare)| spare.loaded.is_none());
        let loading: Vec<(Epoch, Placement)> = loading.map(|(epoch, _, spare)| (epoch, spare.place.clone())).collect();
        for (epoch, place) in loading {
            let (works, within) = (self.is_working(place.machine), self.load_within(&place));
            let Some(spare) = self.spare_mut(epoch).filter(|_| works) else { continue };
            spare.watch.waited += passed;
            if spare.watch.waited > within {
                late.push(Late { epoch, machines: vec![place.machine], why: LATE_LOAD });
            }
        }
        late
    }

    /// Whether a machine is heard and computes, so that it can be expected to do what it was told.
    fn is_working(&self, peer: PeerId) -> bool {
        self.workers.get(&peer).is_some_and(|worker| worker.lends.computes && !self.is_silent(worker))
    }

    fn load_within(&self, place: &Placement) -> Duration {
        let measured = self.workers.get(&place.machine).and_then(|worker| worker.bandwidth);
        let [slowest, fastest] = LOAD_RATES;
        let rate = measured.map_or(UNMEASURED, |rate| (rate as f64 / LOAD_SLACK).clamp(slowest, fastest));
        self.settings.timing.load_grace + Duration::from_secs_f64(place.memory.weights as f64 / rate)
    }

    /// How long the rows that were sent may go without any answer.
    fn step_within(&self, build: &Build, activity: Activity) -> Duration {
        let pace = activity.token_time.max(build.token_time());
        let rows = u32::try_from(activity.rows).unwrap_or(u32::MAX);
        self.settings.timing.step_grace + pace.saturating_mul(rows).saturating_mul(STEP_SLACK).min(LONGEST_STEP)
    }
}
