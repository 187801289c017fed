//! What the planner would do, for `gogrid plan`. Reads the registry and changes nothing.

mod fleet_file;

pub use fleet_file::FleetFileError;

use crate::{
    planner::{self, Demand, Device, Link, Machine, Measured, Plan, Predicted},
    registry::{ModelRecord, Registry, RegistryError},
    settings::{Settings, SettingsError},
    status::{MeasuredStage, Status, WorkerState},
};
use gogrid_model::{Layers, Manifest, QuantError};
use gogrid_wire::PeerId;
use serde::Serialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Replicas to list: a fleet may have memory for thousands, and each takes as long to plan as the first one.
const MAX_REPLICAS: usize = 4;

/// The machines to plan for.
#[derive(Debug, Clone, Default)]
pub struct DryFleet {
    machines: Vec<Machine>,
    names: HashMap<PeerId, String>,
    /// By model and machine, the bytes that the model's stages take there. They are free for a new plan of that model.
    held: Vec<(String, PeerId, u64)>,
    /// By model and machine, the measured times.
    measured: Vec<(String, PeerId, Measured)>,
    /// The stages of the first pipeline of each model that is served.
    served: HashMap<String, Vec<(PeerId, Layers)>>,
}

/// Why a dry run failed.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The coordinator's settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The folder has no registry: no coordinator ran here, and no model was added.
    #[error("there is no registry of a coordinator in {}", .0.display())]
    NoRegistry(PathBuf),
    /// The model is not in the registry.
    #[error("there is no model \"{name}\" here; there are: {}", known.join(", "))]
    NoModel {
        /// The name.
        name: String,
        /// The models in the registry.
        known: Vec<String>,
    },
    /// The registry has no model.
    #[error("there is no model here yet: add one with `gogrid model add`")]
    NoModels,
    /// A manifest in the registry.
    #[error("the manifest of {model} in the registry is damaged")]
    Manifest {
        /// Which model.
        model: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A weight type in the registry.
    #[error(transparent)]
    Quant(#[from] QuantError),
}

/// The plan of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryPlan {
    /// The model.
    pub model: String,
    /// Why it cannot be placed; the other fields are then empty.
    pub error: Option<String>,
    /// Its stages in order.
    pub stages: Vec<DryStage>,
    /// Milliseconds of one token of a request that has the pipeline for itself.
    pub ms_per_token: f64,
    /// Milliseconds of one token of a long prompt.
    pub ms_per_prompt_token: f64,
    /// By how many percent the plan may cost more than the best possible one.
    pub beyond_best_percent: f64,
    /// Why it has this number of stages, in words.
    pub binding: String,
    /// Whether the pipeline that serves the model now would gain enough by moving; null if none does.
    pub worth_moving: Option<bool>,
    /// Further pipelines on the other machines, each as its machines' names; four at most.
    pub replicas: Vec<Vec<String>>,
    /// Machines that could keep a stage's weights loaded, those for the stages whose loss costs most first.
    pub spares: Vec<DrySpare>,
}

/// A stage of a plan. Memory is in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryStage {
    /// The machine's name.
    pub machine: String,
    /// First layer, and the one after the last.
    pub layers: [usize; 2],
    /// Weights of its layers, embedding and head.
    pub weights_bytes: u64,
    /// KV caches of sessions.
    pub kv_bytes: u64,
    /// Tokens that the KV caches hold, over all sessions.
    pub kv_tokens: u64,
    /// Intermediate results of a step.
    pub workspace_bytes: u64,
    /// Memory that is planned to stay free.
    pub headroom_bytes: u64,
    /// Milliseconds of one token on this stage, its hop included.
    pub ms_per_token: f64,
}

/// A machine that could replace a lost one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrySpare {
    /// The stage, counted from 0.
    pub stage: usize,
    /// The machine's name.
    pub machine: String,
    /// The weights that it would keep loaded.
    pub weights_bytes: u64,
}

impl DryFleet {
    /// Reads a file of machines; see [`DryFleet::FILE`].
    ///
    /// # Errors
    /// The file cannot be read, or a value is wrong.
    pub fn read(path: &Path) -> Result<Self, FleetFileError> {
        fleet_file::read_fleet_file(path)
    }

    /// An example of such a file, with every key.
    pub const FILE: &str = fleet_file::EXAMPLE;

    /// The machines of a running coordinator that take work now.
    pub fn of_status(status: &Status) -> Self {
        let mut fleet = Self::default();
        for worker in status.workers.iter().filter(|worker| worker.state == WorkerState::Ready) {
            let (Some(id), Ok(device)) = (PeerId::from_hex(&worker.id), worker.device.parse()) else { continue };
            for stage in &worker.stages {
                let bytes = stage.weights_bytes.saturating_add(stage.kv_budget_bytes);
                fleet.held.push((stage.model.clone(), id, bytes));
                if let Some(measured) = stage.measured {
                    fleet.measured.push((stage.model.clone(), id, in_seconds(measured)));
                }
            }
            fleet.names.insert(id, worker.name.clone());
            fleet.machines.push(Machine {
                id,
                device: Arc::new(Device::expected(device)),
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

    /// The machines with the memory that other models leave free, and the times measured of this one.
    fn machines_for(&self, model: &str) -> Vec<Machine> {
        let held_by_others = |id: PeerId| -> u64 {
            let held = self.held.iter().filter(|(other, machine, _)| other != model && *machine == id);
            held.map(|(.., bytes)| bytes).sum()
        };
        let measured = |id: PeerId| {
            let found = self.measured.iter().find(|(name, machine, _)| name == model && *machine == id);
            found.map(|(.., measured)| *measured)
        };
        let for_model = |machine: &Machine| Machine {
            free: machine.free.saturating_sub(held_by_others(machine.id)),
            measured: measured(machine.id).or(machine.measured),
            ..machine.clone()
        };
        self.machines.iter().map(for_model).collect()
    }
}

fn in_seconds(measured: MeasuredStage) -> Measured {
    Measured {
        layer: measured.layer_ms / 1e3,
        head: measured.head_ms.map(|ms| ms / 1e3),
        prompt_layer: measured.prompt_layer_ms.map(|ms| ms / 1e3),
    }
}

/// Plans every model of the registry in `folder`, or one of them. Each is planned as if the others stayed where they
/// are, with KV memory for at least `concurrency` whole contexts.
///
/// # Errors
/// There is no such model, or the registry cannot be used. A model that cannot be placed is no error.
pub fn dry_run(
    folder: &Path,
    model: Option<&str>,
    concurrency: usize,
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
    wanted.into_iter().map(|record| dry_plan(record, fleet, concurrency, settings.max_sessions)).collect()
}

fn dry_plan(
    record: &ModelRecord,
    fleet: &DryFleet,
    concurrency: usize,
    sessions: usize,
) -> Result<DryPlan, DryRunError> {
    let manifest: Manifest = serde_json::from_str(&record.manifest)
        .map_err(|source| DryRunError::Manifest { model: record.name.clone(), source })?;
    let quant = match record.quant.as_str() {
        "auto" => None,
        name => Some(name.parse()?),
    };
    let demand = Demand { manifest: &manifest, quant, stages: record.stages, concurrency, sessions, groups: &[] };
    let machines = fleet.machines_for(&record.name);
    Ok(match planner::plan(&demand, &machines) {
        Ok(plan) => describe(record, fleet, &demand, &machines, &plan),
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

fn describe(record: &ModelRecord, fleet: &DryFleet, demand: &Demand<'_>, machines: &[Machine], plan: &Plan) -> DryPlan {
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
    let current = served.and_then(|stages| planner::predict(demand, machines, stages));
    let machine_names = |plan: &Plan| plan.stages.iter().map(|stage| fleet.name(stage.machine)).collect();
    let replicas = planner::replicas(demand, machines, plan, MAX_REPLICAS);
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
        replicas: replicas.iter().map(machine_names).collect(),
        spares: spares.collect(),
    }
}
