//! What `gogrid status` shows. The field names are a contract: scripts read them.

use serde::{Deserialize, Serialize};

/// The coordinator and everything it knows of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Base address of the API.
    pub api: String,
    /// Members, connected or not.
    pub workers: Vec<WorkerStatus>,
    /// Models.
    pub models: Vec<ModelStatus>,
    /// Sequences being generated.
    pub sessions: usize,
    /// Requests that wait.
    pub queue: QueueStatus,
}

/// The queue of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Requests in it.
    pub waiting: usize,
    /// How many it takes.
    pub capacity: usize,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its key in hexadecimal.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: WorkerState,
    /// What computes there, as `--device` spells it.
    pub device: String,
    /// Memory lent, in bytes.
    pub memory_bytes: u64,
    /// Sessions with a KV cache there, all stages together.
    pub sessions: u32,
    /// Its stages.
    pub stages: Vec<HeldStage>,
}

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Connected.
    Ready,
    /// Connected, but its owner or a rule of theirs has stopped it.
    Stopped,
    /// Connected, and about to leave.
    Draining,
    /// Not connected.
    Offline,
}

/// One stage on a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldStage {
    /// The model's name.
    pub model: String,
    /// First layer, and the one after the last.
    pub layers: [usize; 2],
    /// Its pipeline's epoch.
    pub epoch: u64,
    /// The weight type, once it is loaded.
    pub quant: Option<String>,
    /// Memory of the weights in bytes, once they are loaded.
    pub weights_bytes: u64,
    /// KV memory reserved by sessions, in bytes.
    pub kv_used_bytes: u64,
    /// KV memory that sessions may reserve, in bytes.
    pub kv_budget_bytes: u64,
    /// Sessions with a KV cache here.
    pub sessions: u32,
    /// Whether it serves nothing yet, and is there to take the place of one that is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
    /// What was measured there at the machine's allowance, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredStage>,
}

/// Measured times of a stage, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasuredStage {
    /// Of one layer, for a token that is decoded.
    pub layer_ms: f64,
    /// Of the head, for a token that is decoded; none on a stage without it.
    pub head_ms: Option<f64>,
    /// Of one layer, for one token of a prompt; none before a prompt was computed.
    pub prompt_layer_ms: Option<f64>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// The weight type as `--quant` spells it, or `auto`.
    pub quant: String,
    /// Layers.
    pub layers: usize,
    /// The longest sequence, in tokens.
    pub context_length: usize,
    /// Whether it answers now.
    pub ready: bool,
    /// What it waits for, when not.
    pub reason: Option<String>,
    /// The epoch of its first pipeline.
    pub epoch: Option<u64>,
    /// The stages of its first pipeline, in order.
    pub stages: Vec<PlacedStage>,
    /// How many pipelines it may have.
    pub replicas: usize,
    /// All of its pipelines: those that take sessions first, and of those the oldest.
    pub pipelines: Vec<PipelineStatus>,
}

/// One pipeline of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// Its epoch.
    pub epoch: u64,
    /// How it is.
    pub state: PipelineState,
    /// Sessions on it.
    pub sessions: usize,
    /// Its stages in order.
    pub stages: Vec<PlacedStage>,
}

/// How a pipeline is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineState {
    /// It takes sessions.
    Ready,
    /// Its stages load or link up.
    Building,
    /// An owner has stopped a machine of it.
    Stopped,
    /// A machine of it leaves, or it is one too many: it ends with its last session.
    Leaving,
    /// A machine of it is silent, or does not compute.
    Stalled,
}

/// One stage of a model's pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedStage {
    /// First layer, and the one after the last.
    pub layers: [usize; 2],
    /// The worker's name.
    pub worker: String,
    /// The worker's key in hexadecimal.
    pub worker_id: String,
}
