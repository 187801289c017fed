//! What the fleet knows of each worker and each model.

use super::{ModelId, build::Build, quarantine::Quarantine, returning::Stages, spares::Spare};
use crate::model::Model;
use crate::{
    generate::NotReady,
    planner::{Device, Measured, Placement},
    registry::ModelRecord,
};
use gogrid_wire::{
    Epoch,
    control::{Beat, Hello, Lends},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A connected worker.
pub(super) struct Worker {
    pub(super) connection: u64,
    pub(super) hello: Hello,
    pub(super) device: Arc<Device>,
    pub(super) last_beat: Instant,
    pub(super) beat: Beat,
    /// What was measured of each model there, at what it lends now.
    pub(super) measured: BTreeMap<ModelId, Measured>,
    /// Of a packet to the coordinator and back.
    pub(super) round_trip: Option<Duration>,
    /// The most bytes per second that it took from the coordinator.
    pub(super) bandwidth: Option<u64>,
    pub(super) lends: Lends,
    pub(super) draining: bool,
    /// Messages about stages that the plan gives to other machines.
    pub(super) foreign_reports: u64,
}

impl Worker {
    /// Whether stages and sessions may be placed there.
    pub(super) fn takes_work(&self) -> bool {
        !self.draining && self.lends.stopped.is_none()
    }
}

/// A model with all that the fleet does for it.
pub(super) struct ModelState {
    pub(super) record: ModelRecord,
    pub(super) model: Arc<Model>,
    /// Its pipelines, the oldest first.
    pub(super) builds: BTreeMap<Epoch, Build>,
    /// Its stages that are kept warm.
    pub(super) spares: BTreeMap<Epoch, Spare>,
    /// The stages of its last pipeline, which the machines may still hold.
    pub(super) former: Vec<Placement>,
    /// Its pipelines in the previous coordinator's time that were not built again yet.
    pub(super) before: Vec<Stages>,
    /// Set while nothing serves it and it cannot be built.
    pub(super) waiting: Option<Waiting>,
    /// When it last got a replica or a better pipeline.
    pub(super) scaled_out: Option<Instant>,
    /// When spares were last loaded for it.
    pub(super) spares_loaded: Option<Instant>,
    /// Whether a better pipeline is to be looked for.
    pub(super) improve: bool,
    pub(super) tried: Tried,
    pub(super) quarantine: Quarantine,
}

/// Why a model is not being built.
pub(super) struct Waiting {
    /// For consumers.
    pub(super) class: NotReady,
    /// For the operator.
    pub(super) reason: String,
    /// When to try again; `None` waits for a change.
    pub(super) retry: Option<Instant>,
}

/// The generation of the fleet at which a plan was last looked for in vain: the same again would find nothing.
#[derive(Default)]
pub(super) struct Tried {
    pub(super) serve: Option<u64>,
    pub(super) scale_out: Option<u64>,
    pub(super) spares: Option<u64>,
}

impl ModelState {
    pub(super) fn new(record: ModelRecord, model: Arc<Model>, before: Vec<Stages>) -> Self {
        Self {
            record,
            model,
            builds: BTreeMap::new(),
            spares: BTreeMap::new(),
            former: Vec::new(),
            before,
            waiting: None,
            scaled_out: None,
            spares_loaded: None,
            improve: false,
            tried: Tried::default(),
            quarantine: Quarantine::default(),
        }
    }
}
