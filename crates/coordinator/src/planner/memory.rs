//! Memory of a stage: weights, KV caches and workspace, and a fifth of their sum as headroom. All in bytes.

use super::demand::Demand;
use gogrid_model::{DeviceKind, Footprint, Layers, StageSizes};

/// Prompt tokens per step. On a CPU such a step takes about 100 ms for a 1B model; on a GPU it takes less than 10 ms for
/// most models. Smaller steps delay other sessions less, larger ones use the device better.
pub(crate) const PREFILL_CHUNK_CPU: u32 = 64;
pub(crate) const PREFILL_CHUNK_GPU: u32 = 512;
/// Sessions that a worker decodes in one step, besides a chunk of a prompt.
const MAX_BATCH: usize = 64;
/// A fifth of the counted memory is planned to stay free: for what an allocator loses between blocks, buffers of links,
/// and allocations of libraries. Machines that were planned full ran out of memory.
const HEADROOM_PART: u64 = 5;

/// A stage's memory, in bytes.
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

    /// The memory in use when all KV memory is in use.
    pub(crate) fn peak(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.workspace)
    }

    /// The memory that the machine must lend.
    pub(crate) fn total(&self) -> u64 {
        self.peak().saturating_add(self.headroom)
    }
}

/// Memory of one model's stages on one kind of device.
#[derive(Debug)]
pub(super) struct Sizes {
    stages: StageSizes,
    /// Entry `n` is how many numbers one token's keys and values have in the first `n` layers. A windowed layer counts like
    /// any other, because all sessions may be shorter than its window.
    kv_up_to: Vec<u64>,
    workspace: u64,
    /// Tokens of KV memory that a stage must have, and that it gets if the machine has the memory.
    required_tokens: u64,
    desired_tokens: u64,
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
            required_tokens: tokens(demand.concurrency),
            desired_tokens: tokens(demand.sessions.max(demand.concurrency)),
        }
    }

    pub(super) fn weights(&self, layers: Layers) -> u64 {
        self.stages.bytes(layers)
    }

    fn kv_per_token(&self, layers: Layers) -> u64 {
        (self.kv_up_to[layers.end] - self.kv_up_to[layers.start]) * self.stages.compute_type(layers).bytes() as u64
    }

    /// The memory that a machine must lend for the stage.
    pub(super) fn need(&self, layers: Layers) -> u64 {
        self.with(layers, self.required_tokens).total()
    }

    /// The stage's memory with KV caches of this many tokens.
    fn with(&self, layers: Layers, tokens: u64) -> Memory {
        Memory::of(self.weights(layers), self.kv_per_token(layers).saturating_mul(tokens), self.workspace)
    }

    /// The stage's memory with as many tokens of KV caches as are desired and fit `free` bytes, and their number.
    pub(super) fn within(&self, layers: Layers, free: u64) -> (Memory, u64) {
        let without = self.with(layers, 0);
        let counted = free - free.div_ceil(HEADROOM_PART + 1);
        let tokens = counted.saturating_sub(without.peak()) / self.kv_per_token(layers).max(1);
        let tokens = tokens.min(self.desired_tokens);
        (self.with(layers, tokens), tokens)
    }
}
