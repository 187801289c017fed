//! What a stage takes of a machine's memory: weights + KV caches + workspace, and headroom.

use super::demand::Demand;
use gogrid_model::{DeviceKind, Footprint, Layers, StageSizes};

/// Prompt tokens per step: on a CPU a step of this size takes some 100 ms of a 1B model, on a GPU less than 10 ms of
/// most. Smaller steps stall others less, larger ones use the device better.
pub(crate) const PREFILL_CHUNK_CPU: u32 = 64;
pub(crate) const PREFILL_CHUNK_GPU: u32 = 512;
/// Sessions that a worker decodes in one step beside a chunk of a prompt.
const MAX_BATCH: usize = 64;
/// One part of what is counted is left free beside it, a fifth: for what an allocator loses between blocks, buffers of
/// links, and what libraries take without asking. Those who planned to the brim crashed.
const HEADROOM_PART: u64 = 5;

/// Bytes of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) weights: u64,
    pub(crate) kv: u64,
    /// Intermediate results of a step.
    pub(crate) workspace: u64,
    /// Planned to stay free.
    pub(crate) headroom: u64,
}

impl Memory {
    fn of(weights: u64, kv: u64, workspace: u64) -> Self {
        let counted = weights.saturating_add(kv).saturating_add(workspace);
        Self { weights, kv, workspace, headroom: counted / HEADROOM_PART }
    }

    /// What is expected to be in use when all of the KV memory is.
    pub(crate) fn peak(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.workspace)
    }

    /// What the machine must lend.
    pub(crate) fn total(&self) -> u64 {
        self.peak().saturating_add(self.headroom)
    }
}

/// What stages of one model take on one kind of device.
#[derive(Debug)]
pub(super) struct Sizes {
    stages: StageSizes,
    /// Numbers of a token's keys and values in the layers before each. A windowed layer counts like any other: sessions
    /// may all be shorter than its window.
    kv_up_to: Vec<u64>,
    workspace: u64,
    /// Tokens of KV memory that are needed, and that are wanted.
    least: u64,
    wish: u64,
}

impl Sizes {
    pub(super) fn new(demand: &Demand<'_>, kind: DeviceKind) -> Self {
        let config = &demand.manifest.config;
        let chunk = if kind == DeviceKind::Cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU };
        let footprint = Footprint::expected(kind);
        let mut kv_up_to = vec![0];
        kv_up_to.extend(config.layer_costs().scan(0, |sum, cost| {
            *sum += cost.kv;
            Some(*sum)
        }));
        let tokens = |concurrency: usize| (config.context_length as u64).saturating_mul(concurrency.max(1) as u64);
        Self {
            stages: StageSizes::new(demand.manifest, demand.quant(kind), &footprint),
            kv_up_to,
            workspace: footprint.workspace_bytes(config, chunk as usize + MAX_BATCH),
            least: tokens(demand.concurrency),
            wish: tokens(demand.sessions.max(demand.concurrency)),
        }
    }

    pub(super) fn weights(&self, layers: Layers) -> u64 {
        self.stages.bytes(layers)
    }

    fn kv_per_token(&self, layers: Layers) -> u64 {
        (self.kv_up_to[layers.end] - self.kv_up_to[layers.start]) * self.stages.compute_type(layers).bytes() as u64
    }

    /// The least that a machine must lend for the stage.
    pub(super) fn need(&self, layers: Layers) -> u64 {
        self.with(layers, self.least).total()
    }

    /// With KV memory for so many tokens.
    fn with(&self, layers: Layers, tokens: u64) -> Memory {
        Memory::of(self.weights(layers), self.kv_per_token(layers).saturating_mul(tokens), self.workspace)
    }

    /// With as many tokens of KV memory as are wanted and `free` bytes hold; says how many.
    pub(super) fn within(&self, layers: Layers, free: u64) -> (Memory, u64) {
        let without = self.with(layers, 0);
        let counted = free - free.div_ceil(HEADROOM_PART + 1);
        let tokens = counted.saturating_sub(without.peak()) / self.kv_per_token(layers).max(1);
        let tokens = tokens.min(self.wish);
        (self.with(layers, tokens), tokens)
    }
}
