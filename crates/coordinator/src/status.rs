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
    /// Requests that wait for a concurrency permit.
    pub queue: QueueStatus,
}

/// The queue of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Requests in it.
    pub waiting: usize,
    /// The most that it takes.
    pub capacity: usize,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its key in hexadecimal.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: WorkerState,
    /// The device that computes, as `--device` spells it.
    pub device: String,
    /// Lent memory, in bytes.
    pub memory_bytes: u64,
    /// Sessions with a KV cache there, over all stages.
    pub sessions: u32,
    /// Its stages.
    pub stages: Vec<HeldStage>,
}

/// A member's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Connected.
    Ready,
    /// Connected, but stopped by its owner or by one of the owner's rules.
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
    /// Whether it is a warm spare: loaded to replace a lost machine, without sessions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
    /// Times measured there at the machine's allowance; absent before the first measurement.
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
    /// What it waits for, if it is not ready.
    pub reason: Option<String>,
    /// The epoch of its first pipeline.
    pub epoch: Option<u64>,
    /// The stages of its first pipeline, in order.
    pub stages: Vec<PlacedStage>,
    /// The most pipelines that it may have.
    pub replicas: usize,
    /// All of its pipelines: those that take sessions first, the oldest of them at the start.
    pub pipelines: Vec<PipelineStatus>,
}

/// One pipeline of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// Its epoch.
    pub epoch: u64,
    /// Its state.
    pub state: PipelineState,
    /// Sessions on it.
    pub sessions: usize,
    /// Its stages in order.
    pub stages: Vec<PlacedStage>,
}

/// A pipeline's state, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineState {
    /// It takes sessions.
    Ready,
    /// Its stages load or link up.
    Building,
    /// One of its machines was stopped by its owner.
    Stopped,
    /// One of its machines leaves, or the model has too many pipelines: it ends with its last session.
    Leaving,
    /// One of its machines is silent, or does not compute.
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
