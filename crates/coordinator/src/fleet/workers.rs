//! What workers do: they connect, report, lend more or less, leave, and are lost.

use super::{
    ModelId,
    core::Core,
    event::{Action, Activity},
    state::Worker,
};
use crate::planner::{Device, Measured};
use gogrid_wire::{
    Epoch, PeerId,
    control::{Beat, Hello, Lends, StopReason, ToCoordinator, ToWorker},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Core {
    pub(super) fn connect(&mut self, peer: PeerId, hello: Hello, device: Arc<Device>) {
        if self.workers.contains_key(&peer) {
            self.lose(peer, "it connected anew");
        }
        self.last_connection += 1;
        let worker = Worker {
            connection: self.last_connection,
            lends: Lends { memory: hello.memory, stopped: None, computes: true },
            hello,
            device,
            last_beat: self.now,
            beat: Beat { stages: Vec::new() },
            measured: BTreeMap::new(),
            round_trip: None,
            bandwidth: None,
            draining: false,
            foreign_reports: 0,
        };
        self.workers.insert(peer, worker);
        if !self.groups.models.is_empty() {
            // It may be a new member, whose groups are not known yet.
            self.read_models();
        }
        self.actions.push(Action::Accept { peer, connection: self.last_connection });
        self.reliability.came(peer, self.now);
        self.retry_all();
    }

    pub(super) fn message(&mut self, peer: PeerId, message: ToCoordinator) {
        if message.epoch().is_some_and(|epoch| !self.may_report(peer, epoch)) {
            return;
        }
        match message {
            ToCoordinator::Beat(beat) => self.beat(peer, beat),
            ToCoordinator::Loaded { epoch, weight_bytes, quant, bandwidth } => {
                if let Some(worker) = self.workers.get_mut(&peer) {
                    worker.bandwidth = bandwidth.or(worker.bandwidth);
                }
                self.stage_loaded(peer, epoch, (weight_bytes, quant));
            }
            ToCoordinator::Started { epoch, kept } => {
                if self.build_mut(epoch).is_some_and(|build| build.started(peer, kept)) {
                    self.pipeline_ready(epoch);
                }
            }
            ToCoordinator::LoadFailed { epoch, reason } => self.load_failed(peer, epoch, reason),
            ToCoordinator::LinkLost { epoch, message } => {
                let name = self.worker_name(peer);
                self.end(epoch, &format!("{name} lost a stage link: {message}"));
            }
            ToCoordinator::StageGone { epoch, reason } => {
                let name = self.worker_name(peer);
                self.end(epoch, &format!("{name} gave its stage up: {reason}"));
            }
            ToCoordinator::Lends(lends) => self.lends(peer, lends),
            ToCoordinator::SessionFailed { epoch, session, error } => {
                self.actions.push(Action::FailSession { epoch, session, error });
            }
            ToCoordinator::Draining => self.drain(peer),
            ToCoordinator::Resign => self.actions.push(Action::Resigned(peer)),
            ToCoordinator::Hello(_) => tracing::warn!(peer = %peer.short(), "a second hello; ignored"),
        }
    }

    fn beat(&mut self, peer: PeerId, beat: Beat) {
        let Some(worker) = self.workers.get(&peer) else { return };
        let was_silent = self.is_silent(worker);
        let measured = self.measured(peer, &beat);
        if let Some(worker) = self.workers.get_mut(&peer) {
            (worker.last_beat, worker.beat) = (self.now, beat);
            worker.measured.extend(measured);
        }
        if was_silent {
            // Plans were made without it.
            self.retry_all();
        }
    }

    /// What a beat says of the models whose stages the machine has.
    fn measured(&self, peer: PeerId, beat: &Beat) -> Vec<(ModelId, Measured)> {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let measured = beat.stages.iter().filter_map(|stage| {
            let (build, speed) = (self.build(stage.epoch).filter(|build| build.has(peer))?, stage.speed?);
            let id = self.by_epoch.get(&build.epoch)?.clone();
            let (head, prompt_layer) = (speed.head.map(seconds), speed.prompt_layer.map(seconds));
            Some((id, Measured { layer: seconds(speed.layer), head, prompt_layer }))
        });
        measured.collect()
    }

    /// The worker wants to leave: its pipelines take no new sessions, and end when they have none left.
    fn drain(&mut self, peer: PeerId) {
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.draining = true;
            tracing::info!(peer = %peer.short(), "worker draining");
        }
        self.changed();
        self.assign();
        self.actions.push(Action::Tick);
    }

    /// The worker's owner lends more or less than before, or has stopped or resumed it.
    fn lends(&mut self, peer: PeerId, mut lends: Lends) {
        let Some(worker) = self.workers.get_mut(&peer) else { return };
        if !lends.computes {
            // Nothing is placed where nothing is computed, whatever else the machine says.
            lends.stopped.get_or_insert(StopReason::Unavailable);
        }
        if worker.lends == lends {
            return;
        }
        tracing::info!(peer = %peer.short(), name = worker.hello.name, memory = lends.memory, stopped = lends.stopped.map(StopReason::text), "worker lends");
        worker.lends = lends;
        self.retry_all();
    }

    /// Machines have more to give than before: every model that waits may have a place now.
    fn retry_all(&mut self) {
        self.may_place_all();
        self.assign();
    }

    /// Every model that waits may be planned now.
    pub(super) fn may_place_all(&mut self) {
        self.changed();
        for state in self.models.values_mut() {
            if let Some(waiting) = &mut state.waiting {
                waiting.retry = None;
            }
        }
    }

    /// A worker is gone, and with it every epoch that it was part of.
    pub(super) fn lose(&mut self, peer: PeerId, why: &str) {
        self.remove_worker(peer, why);
        self.assign();
        // Last: requests wait for what is above.
        self.record_reliability(peer);
    }

    fn remove_worker(&mut self, peer: PeerId, why: &str) {
        let name = self.worker_name(peer);
        tracing::warn!(peer = %peer.short(), name, why, "worker lost");
        let polite = self.workers.remove(&peer).is_some_and(|worker| worker.draining);
        self.actions.push(Action::Disconnect { peer });
        self.changed();
        self.reliability.went(peer, polite, self.now);
        self.forget_spares_of(peer);
        for epoch in self.epochs_with(peer) {
            self.close(epoch, &format!("{name}: {why}"));
        }
    }

    pub(super) fn tick(&mut self, activity: &BTreeMap<Epoch, Activity>) {
        let gone = self.lose_silent();
        let mut news = !gone.is_empty() || self.update_health();
        for epoch in self.left(activity) {
            news |= self.close(epoch, "its sessions have left it");
        }
        news |= self.end_overdue(activity) | self.end_quarantines();
        news |= self.stop_expecting() | self.start_improving();
        self.reserve_epochs();
        if news || self.is_assignment_due() {
            self.assign();
        }
        self.release_drained();
        gone.into_iter().for_each(|peer| self.record_reliability(peer));
    }

    /// Gives up the workers that have been silent for too long.
    fn lose_silent(&mut self) -> Vec<PeerId> {
        let lost_after = self.settings.timing.lost_after;
        let lost = |worker: &Worker| self.now.saturating_duration_since(worker.last_beat) > lost_after;
        let gone: Vec<PeerId> = self.workers.iter().filter(|(_, worker)| lost(worker)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|peer| self.remove_worker(*peer, "it missed three beats"));
        gone
    }

    /// Tells the workers that want to leave and serve nothing that they may go.
    fn release_drained(&mut self) {
        let leaving: Vec<PeerId> = self.workers.iter().filter(|(_, w)| w.draining).map(|(id, _)| *id).collect();
        if leaving.is_empty() {
            return;
        }
        let serving: BTreeSet<PeerId> = self.builds().flat_map(super::build::Build::peers).collect();
        for peer in leaving.into_iter().filter(|peer| !serving.contains(peer)) {
            self.send(peer, ToWorker::Drained, Vec::new());
        }
    }
}
