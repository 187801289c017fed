//! Every decision about machines and models: an event and the time go in, actions come out. The core does no I/O, reads
//! no clock and never waits, so that the simulation runs the same code as the coordinator.
//!
//! Two things take long and happen elsewhere: plans, and reading models. The core asks for them with an action and goes
//! on; their results are events. A plan is for the fleet as it was: [`Core::generation`] counts what has changed since.

use super::{
    ModelId, Timing,
    assign::Job,
    event::{Action, Event, ModelRoute},
    reliability::ReliabilityRecords,
    returning::Stages,
    state::{ModelState, Worker},
};
use crate::registry::{Groups, ModelRecord};
use gogrid_wire::{Epoch, PeerId, control::ToWorker, stage::Refusal};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// Epochs that are reserved ahead, so that a lost pipeline is replaced without waiting for the disk: a pipeline and the
/// spares of its stages.
const EPOCHS: usize = 8;

/// What a coordinator's operator sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Sequences generated at once.
    pub(crate) max_sessions: usize,
    /// Whether the stages that are left of a lost pipeline keep its sessions for a while.
    pub(crate) keep_sessions: bool,
    pub(crate) timing: Timing,
}

/// Whether the registry's models are being read: one read at a time, so that a thousand machines that connect at once
/// cause two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    No,
    Now,
    /// And once more, as something has changed since it began.
    Again,
}

/// The state of the fleet.
pub(crate) struct Core {
    pub(super) settings: Settings,
    /// The time of the step that is being made, or of the last one.
    pub(super) now: Instant,
    /// When it was last told that time has passed.
    pub(super) last_tick: Instant,
    /// What this step has decided so far.
    pub(super) actions: Vec<Action>,
    /// Whether this step ends with new routes.
    pub(super) publish: bool,
    pub(super) models: BTreeMap<ModelId, ModelState>,
    /// Models whose files are being read.
    pub(super) opening: BTreeMap<ModelId, ModelRecord>,
    /// Whether the registry's models were read.
    pub(super) models_are_read: bool,
    /// Which machines may serve which models.
    pub(super) groups: Groups,
    /// The model of each pipeline and each spare.
    pub(super) by_epoch: BTreeMap<Epoch, ModelId>,
    pub(super) workers: BTreeMap<PeerId, Worker>,
    pub(super) reliability: ReliabilityRecords,
    /// Pipelines in the previous coordinator's time, of models that are not open yet.
    pub(super) before: BTreeMap<String, Vec<Stages>>,
    /// Until when the machines of these pipelines are waited for, and whether that is still to come.
    pub(super) before_until: Instant,
    pub(super) expects_before: bool,
    /// Counts changes that a plan may depend on.
    pub(super) generation: u64,
    /// The plan that is being made.
    pub(super) planning: Option<Job>,
    pub(super) last_job: u64,
    /// Reserved and not used.
    epochs: BTreeSet<Epoch>,
    /// Asked for and not reserved yet.
    epochs_asked: usize,
    /// When a model may be scaled out again that could not be so soon.
    pub(super) scale_out_again: Option<Instant>,
    /// When to look for better plans again.
    pub(super) improve_again: Instant,
    pub(super) last_connection: u64,
    /// Whether the registry's models are being read.
    reading: Reading,
}

impl Core {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            now,
            last_tick: now,
            actions: Vec::new(),
            publish: false,
            models: BTreeMap::new(),
            opening: BTreeMap::new(),
            models_are_read: false,
            groups: Groups::default(),
            by_epoch: BTreeMap::new(),
            workers: BTreeMap::new(),
            reliability: ReliabilityRecords::default(),
            before: BTreeMap::new(),
            before_until: now,
            expects_before: false,
            generation: 0,
            planning: None,
            last_job: 0,
            epochs: BTreeSet::new(),
            epochs_asked: 0,
            scale_out_again: None,
            improve_again: now + settings.timing.improve_every,
            last_connection: 0,
            reading: Reading::No,
        }
    }

    /// Has the registry's models and groups read, after the read that is under way.
    pub(super) fn read_models(&mut self) {
        if self.reading == Reading::No {
            self.reading = Reading::Now;
            self.actions.push(Action::ReadModels);
        } else {
            self.reading = Reading::Again;
        }
    }

    /// How often the core is to be told that time has passed.
    pub(crate) fn tick_interval(&self) -> Duration {
        self.settings.timing.tick
    }

    /// A model of the registry that was opened already.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn know(&mut self, record: ModelRecord, model: std::sync::Arc<crate::model::Model>) {
        self.models.insert(ModelId::from(record.name.as_str()), ModelState::new(record, model, Vec::new()));
    }

    /// Takes in what happened at `now`; returns what is to be done about it.
    pub(crate) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        self.excuse_own_pause(now);
        match event {
            Event::Restored(restored) => self.restore(restored),
            Event::Connected { peer, hello, device } => self.connect(peer, hello, device),
            Event::Message { peer, connection, message, round_trip } => {
                if let Some(worker) = self.workers.get_mut(&peer).filter(|worker| worker.connection == connection) {
                    worker.round_trip = round_trip.or(worker.round_trip);
                    self.message(peer, message);
                }
            }
            Event::Gone { peer, connection } => {
                if self.workers.get(&peer).is_some_and(|worker| worker.connection == connection) {
                    self.lose(peer, "it disconnected");
                }
            }
            Event::Attach { peer, epoch, role } => {
                let attached = match self.build_mut(epoch) {
                    Some(build) => build.attach(peer, role).map(|()| (epoch, role)),
                    None => Err(Refusal::UnknownEpoch(epoch)),
                };
                self.actions.push(Action::Attach(attached));
            }
            Event::LinkEnded { epoch, reason } => self.end(epoch, &reason),
            Event::Reload => self.read_models(),
            Event::ModelsRead(read) => {
                let again = std::mem::replace(&mut self.reading, Reading::No) == Reading::Again;
                if let Some((records, groups)) = read {
                    self.models_read(records, groups);
                }
                if again {
                    self.read_models();
                }
            }
            Event::ModelOpened { record, model } => self.model_opened(*record, model),
            Event::Planned { job, outcome } => self.planned(job, outcome),
            Event::EpochsReserved { asked, epochs } => {
                self.epochs_asked -= asked.min(self.epochs_asked);
                let waited = self.epochs.is_empty();
                self.epochs.extend(epochs);
                if waited {
                    self.assign();
                }
            }
            Event::Tick { activity } => self.tick(&activity),
            Event::Stopping => {
                let peers: Vec<PeerId> = self.workers.keys().copied().collect();
                peers.into_iter().for_each(|peer| self.record_reliability(peer));
            }
        }
        if std::mem::take(&mut self.publish) {
            self.update_health();
            let routes = self.routes();
            let opening = self.opening.keys().map(ToString::to_string).collect();
            self.actions.push(Action::Publish { routes, opening, is_complete: self.models_are_read });
        }
        std::mem::take(&mut self.actions)
    }

    /// A coordinator that stood still itself, on a machine that slept or had no time for it, heard nobody meanwhile: that
    /// is no silence of the workers.
    fn excuse_own_pause(&mut self, now: Instant) {
        let Timing { tick, suspect_busy_after, .. } = self.settings.timing;
        let since = now.saturating_duration_since(std::mem::replace(&mut self.now, now));
        let stood_still = since.saturating_sub(tick);
        if stood_still > suspect_busy_after / 2 && !self.workers.is_empty() {
            tracing::warn!(seconds = stood_still.as_secs_f32(), "the coordinator stood still");
            self.workers.values_mut().for_each(|worker| worker.last_beat += stood_still);
        }
    }

    /// Something changed that plans may depend on: one that is being made must still fit, and what had no place may
    /// have one now.
    pub(super) fn changed(&mut self) {
        self.generation += 1;
    }

    pub(super) fn has_epochs(&self) -> bool {
        !self.epochs.is_empty()
    }

    /// An epoch that was never used, if one is in reserve.
    pub(super) fn take_epoch(&mut self) -> Option<Epoch> {
        let epoch = self.epochs.pop_first();
        self.reserve_epochs();
        epoch
    }

    pub(super) fn reserve_epochs(&mut self) {
        let missing = EPOCHS.saturating_sub(self.epochs.len() + self.epochs_asked);
        if missing > 0 {
            self.epochs_asked += missing;
            self.actions.push(Action::ReserveEpochs(missing));
        }
    }

    fn routes(&self) -> Vec<ModelRoute> {
        let route = |(id, state): (&ModelId, &ModelState)| {
            let open = state.builds.values().filter(|build| build.is_open());
            ModelRoute {
                model: state.model.clone(),
                open: open.map(|build| build.epoch).collect(),
                reason: self.not_ready(id),
            }
        };
        self.models.iter().map(route).collect()
    }

    pub(super) fn send(&mut self, peer: PeerId, message: ToWorker, body: Vec<u8>) {
        if self.workers.contains_key(&peer) {
            self.actions.push(Action::Send { peer, message, body });
        }
    }

    pub(super) fn worker_name(&self, peer: PeerId) -> String {
        self.workers.get(&peer).map_or_else(|| peer.short(), |worker| worker.hello.name.clone())
    }
}
