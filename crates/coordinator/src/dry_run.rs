//! What the planner would do: `gogrid plan`. Reads the registry, changes nothing.

mod fleet_file;

pub use fleet_file::FleetFileError;

use crate::{
    planner::{self, Delays, Demand, Link, Machine, Measured, Plan, Predicted},
    registry::{ModelRecord, Registry, RegistryError},
    settings::{Settings, SettingsError},
    status::{Status, WorkerState},
};
use gogrid_model::{Layers, Manifest, QuantError};
use gogrid_wire::PeerId;
use serde::Serialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Replicas that are listed: a fleet may have room for thousands, and each takes as long to plan as the first.
const REPLICAS: usize = 4;

/// The machines to plan for.
#[derive(Debug, Clone, Default)]
pub struct DryFleet {
    machines: Vec<Machine>,
    delays: Delays,
    names: HashMap<PeerId, String>,
    /// What each machine's stages of each model take, which that model's plan may have again.
    held: Vec<(String, PeerId, u64)>,
    /// What was measured of each model on each machine.
    measured: Vec<(String, PeerId, Measured)>,
    /// The stages of each model that is served.
    served: HashMap<String, Vec<(PeerId, Layers)>>,
}

/// Why there is no dry run.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The coordinator's settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No coordinator ever ran here, and no model was added.
    #[error("there is no registry of a coordinator in {}", .0.display())]
    NoRegistry(PathBuf),
    /// The model is not in the registry.
    #[error("there is no model \"{name}\" here; there are: {}", known.join(", "))]
    NoModel {
        /// The name.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// There is none at all.
    #[error("there is no model here yet: add one with `gogrid model add`")]
    NoModels,
    /// A record in the registry.
    #[error("the manifest of {model} in the registry is damaged")]
    Manifest {
        /// Which model.
        model: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A record in the registry.
    #[error(transparent)]
    Quant(#[from] QuantError),
}

/// What would become of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryPlan {
    /// The model.
    pub model: String,
    /// Why it has no place.
    pub error: Option<String>,
    /// Its stages in order.
    pub stages: Vec<DryStage>,
    /// Milliseconds of one token of one request that has the pipeline for itself.
    pub ms_per_token: f64,
    /// Milliseconds of one token of a long prompt.
    pub ms_per_prompt_token: f64,
    /// By how many percent more than the least possible the plan may cost.
    pub beyond_best_percent: f64,
    /// What keeps the plan from being another, in words.
    pub binding: String,
    /// Whether the coordinator, which serves the model already, would gain enough to move; null when it does not.
    pub worth_moving: Option<bool>,
    /// Further pipelines that the other machines have room for, by their machines; the first four.
    pub replicas: Vec<Vec<String>>,
    /// Machines that could keep a stage's weights ready: the stages whose loss costs most first.
    pub spares: Vec<DrySpare>,
}

/// A stage of a plan. Memory is in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryStage {
    /// The machine's name.
    pub machine: String,
    /// First layer, and the one after the last.
    pub layers: [usize; 2],
    /// Of its layers, embedding and head.
    pub weights_bytes: u64,
    /// For the KV caches of sessions.
    pub kv_bytes: u64,
    /// Tokens, all sessions together, that these hold.
    pub kv_tokens: u64,
    /// Of a step's intermediate results.
    pub workspace_bytes: u64,
    /// What is planned to stay free.
    pub headroom_bytes: u64,
    /// Milliseconds of one token here, its hop included.
    pub ms_per_token: f64,
}

/// A machine that could take a lost stage's place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrySpare {
    /// The stage, counted from 0.
    pub stage: usize,
    /// The machine's name.
    pub machine: String,
    /// What it would keep, in bytes.
    pub weights_bytes: u64,
}

impl DryFleet {
    /// Reads a file of machines; see [`DryFleet::FILE`].
    ///
    /// # Errors
    /// When it cannot be read, or a value is wrong.
    pub fn read(path: &Path) -> Result<Self, FleetFileError> {
        fleet_file::read(path)
    }

    /// What such a file looks like.
    pub const FILE: &str = fleet_file::EXAMPLE;

    /// The machines that take work now, of a running coordinator.
    pub fn of_status(status: &Status) -> Self {
        let mut fleet = Self::default();
        for worker in status.workers.iter().filter(|worker| worker.state == WorkerState::Ready) {
            let (Some(id), Ok(device)) = (PeerId::from_hex(&worker.id), worker.device.parse()) else { continue };
            let stage = |stage: &crate::status::HeldStage| stage.weights_bytes.saturating_add(stage.kv_budget_bytes);
            fleet.held.extend(worker.stages.iter().map(|held| (held.model.clone(), id, stage(held))));
            fleet.measured.extend(worker.stages.iter().filter_map(|held| {
                let (held, seconds) = (held.model.clone(), held.measured?);
                let (head, prompt_layer) =
                    (seconds.head_ms.map(|ms| ms / 1e3), seconds.prompt_layer_ms.map(|ms| ms / 1e3));
                Some((held, id, Measured { layer: seconds.layer_ms / 1e3, head, prompt_layer }))
            }));
            fleet.names.insert(id, worker.name.clone());
            fleet.machines.push(Machine {
                id,
                device,
                free: worker.memory_bytes,
                measured: None,
                link: Link::default(),
                reliability: 1.0,
                groups: Vec::new(),
            });
        }
        for model in status.models.iter().filter(|model| model.ready) {
            let stages = model.stages.iter().filter_map(|stage| {
                let [start, end] = stage.layers;
                Some((PeerId::from_hex(&stage.worker_id)?, Layers { start, end }))
            });
            fleet.served.insert(model.name.clone(), stages.collect());
        }
        fleet
    }

    /// How many machines there are.
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    fn name(&self, id: PeerId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| id.short())
    }

    /// The machines with what stages of other models leave.
    fn free_for(&self, model: &str) -> Vec<Machine> {
        let held = |id: PeerId| -> u64 {
            self.held.iter().filter(|(of, at, _)| of != model && *at == id).map(|(.., bytes)| bytes).sum()
        };
        let measured = |id: PeerId| self.measured.iter().find(|(of, at, _)| of == model && *at == id);
        let free = |machine: &Machine| Machine {
            free: machine.free.saturating_sub(held(machine.id)),
            measured: measured(machine.id).map(|(.., measured)| *measured).or(machine.measured),
            ..machine.clone()
        };
        self.machines.iter().map(free).collect()
    }
}

/// Plans every model of the registry in `folder`, or one of them, each as if the others stayed where they are, with KV
/// memory for `lanes` whole contexts at least.
///
/// # Errors
/// When there is no such model, or the registry cannot be used. A model without a place is no error.
pub fn dry_run(
    folder: &Path,
    model: Option<&str>,
    lanes: usize,
    fleet: &DryFleet,
) -> Result<Vec<DryPlan>, DryRunError> {
    if !folder.join("registry.db").exists() {
        return Err(DryRunError::NoRegistry(folder.to_owned()));
    }
    let settings = Settings::load(folder)?;
    let records = Registry::open_for_command(folder)?.models()?;
    if records.is_empty() {
        return Err(DryRunError::NoModels);
    }
    let wanted: Vec<&ModelRecord> =
        records.iter().filter(|record| model.is_none_or(|name| record.name == name)).collect();
    if let (Some(name), []) = (model, &wanted[..]) {
        let known = records.iter().map(|record| record.name.clone()).collect();
        return Err(DryRunError::NoModel { name: name.to_owned(), known });
    }
    wanted.into_iter().map(|record| dry_plan(record, fleet, lanes, settings.max_sessions)).collect()
}

fn dry_plan(record: &ModelRecord, fleet: &DryFleet, lanes: usize, sessions: usize) -> Result<DryPlan, DryRunError> {
    let manifest: Manifest = serde_json::from_str(&record.manifest)
        .map_err(|source| DryRunError::Manifest { model: record.name.clone(), source })?;
    let quant = match record.quant.as_str() {
        "auto" => None,
        name => Some(name.parse()?),
    };
    let demand = Demand { manifest: &manifest, quant, stages: record.stages, lanes, sessions, groups: &[] };
    let machines = fleet.free_for(&record.name);
    Ok(match planner::plan(&demand, &machines, &fleet.delays) {
        Ok(plan) => told(record, fleet, &demand, &machines, &plan),
        Err(error) => DryPlan {
            model: record.name.clone(),
            error: Some(error.to_string()),
            stages: Vec::new(),
            ms_per_token: 0.0,
            ms_per_prompt_token: 0.0,
            beyond_best_percent: 0.0,
            binding: String::new(),
            worth_moving: None,
            replicas: Vec::new(),
            spares: Vec::new(),
        },
    })
}

fn told(record: &ModelRecord, fleet: &DryFleet, demand: &Demand<'_>, machines: &[Machine], plan: &Plan) -> DryPlan {
    let Predicted { per_token, per_prompt_token } = plan.predicted;
    let stages = plan.stages.iter().map(|stage| DryStage {
        machine: fleet.name(stage.machine),
        layers: [stage.layers.start, stage.layers.end],
        weights_bytes: stage.memory.weights,
        kv_bytes: stage.memory.kv,
        kv_tokens: stage.kv_tokens,
        workspace_bytes: stage.memory.workspace,
        headroom_bytes: stage.memory.headroom,
        ms_per_token: stage.seconds_per_token * 1e3,
    });
    let served = fleet.served.get(&record.name);
    let current = served.and_then(|stages| planner::predict(demand, machines, &fleet.delays, stages));
    let named = |plan: &Plan| plan.stages.iter().map(|stage| fleet.name(stage.machine)).collect();
    let replicas = planner::replicas(demand, machines, &fleet.delays, plan, REPLICAS);
    let spares = planner::spares(demand, machines, &plan.stages).into_iter().map(|spare| DrySpare {
        stage: spare.stage,
        machine: fleet.name(spare.place.machine),
        weights_bytes: spare.place.memory.weights,
    });
    DryPlan {
        model: record.name.clone(),
        error: None,
        stages: stages.collect(),
        ms_per_token: per_token * 1e3,
        ms_per_prompt_token: per_prompt_token * 1e3,
        beyond_best_percent: plan.beyond_best * 100.0,
        binding: plan.binding.to_string(),
        worth_moving: current.map(|current| planner::should_move(&current, &plan.predicted)),
        replicas: replicas.iter().map(named).collect(),
        spares: spares.collect(),
    }
}
