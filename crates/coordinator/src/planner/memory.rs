//! Memory of a stage: weights, KV caches and workspace, and a fifth of their sum as headroom. All in bytes.

use super::demand::Demand;
use gogrid_model::{DeviceKind, Footprint, LayerState, Layers, StageSizes};

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

/// Memory of one model's stages on devices that take the same.
#[derive(Debug)]
pub(super) struct Sizes {
    stages: StageSizes,
    /// Elements that a sequence takes in the first layers, for each number of layers.
    states: Vec<Elements>,
    /// Layers that use the keys and values of an earlier one, and what these take in a stage that does not have it.
    shared: Vec<Shared>,
    workspace: u64,
    /// Sequences of a whole context that a stage must hold, and that it holds if the machine has the memory.
    required: u64,
    desired: u64,
}

/// A layer that uses the keys and values of another.
#[derive(Debug, Clone, Copy)]
struct Shared {
    layer: usize,
    with: usize,
    elements: Elements,
}

/// Elements of a sequence's state in some layers.
#[derive(Debug, Clone, Copy, Default)]
struct Elements {
    /// Of one token, as long as the sequence is shorter than every window.
    token: u64,
    /// Of a whole context: a windowed layer holds its window.
    context: u64,
}

impl Elements {
    fn plus(self, other: Elements) -> Elements {
        Elements { token: self.token.saturating_add(other.token), context: self.context.saturating_add(other.context) }
    }
}

impl Sizes {
    pub(super) fn new(demand: &Demand<'_>, footprint: &Footprint) -> Self {
        let (config, kind) = (&demand.manifest.config, footprint.device);
        let chunk = if kind == DeviceKind::Cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU } as usize;
        let mut states = vec![Elements::default()];
        let elements = |layer| {
            let state = LayerState::of(config, layer);
            Elements { token: state.elements(1, chunk), context: state.elements(config.context_length, chunk) }
        };
        states.extend((0..config.layers.len()).scan(Elements::default(), |sum, layer| {
            *sum = sum.plus(elements(layer));
            Some(*sum)
        }));
        let shared = (0..config.layers.len()).filter_map(|layer| match LayerState::of(config, layer) {
            LayerState::SharedCache { with } => Some(Shared { layer, with, elements: elements(with) }),
            _ => None,
        });
        Self {
            stages: StageSizes::new(demand.manifest, demand.quant(kind), footprint),
            states,
            shared: shared.collect(),
            workspace: footprint.workspace_bytes(config, chunk + MAX_BATCH),
            required: demand.concurrency.max(1) as u64,
            desired: demand.sessions.max(demand.concurrency).max(1) as u64,
        }
    }

    pub(super) fn weights(&self, layers: Layers) -> u64 {
        self.stages.bytes(layers)
    }

    /// Bytes of a token's state and of a whole context's.
    fn state(&self, layers: Layers) -> Elements {
        let ([from, to], bytes) =
            ([self.states[layers.start], self.states[layers.end]], self.stages.compute_type(layers).bytes() as u64);
        let mut sum = Elements { token: to.token - from.token, context: to.context - from.context };
        let outside = |shared: &&Shared| layers.range().contains(&shared.layer) && shared.with < layers.start;
        let mut counted = Vec::new();
        for Shared { with, elements, .. } in self.shared.iter().filter(outside) {
            if !counted.contains(with) {
                counted.push(*with);
                sum = sum.plus(*elements);
            }
        }
        Elements { token: sum.token.saturating_mul(bytes), context: sum.context.saturating_mul(bytes) }
    }

    /// The memory that a machine must lend for the stage.
    pub(super) fn need(&self, layers: Layers) -> u64 {
        self.with(layers, self.state(layers).context.saturating_mul(self.required)).total()
    }

    /// The stage's memory with that many bytes of KV memory.
    fn with(&self, layers: Layers, kv: u64) -> Memory {
        Memory::of(self.weights(layers), kv, self.workspace)
    }

    /// The stage's memory with as much KV memory as is desired and fits `free` bytes, and the tokens that it holds
    /// whatever the sequences' lengths. Beyond what is required it is whole tokens.
    pub(super) fn within(&self, layers: Layers, free: u64) -> (Memory, u64) {
        let state = self.state(layers);
        let counted = free - free.div_ceil(HEADROOM_PART + 1);
        let room = counted.saturating_sub(self.with(layers, 0).peak());
        let kv = room.min(state.context.saturating_mul(self.desired));
        let required = state.context.saturating_mul(self.required);
        let base = if kv < required { 0 } else { required };
        let token = state.token.max(1);
        let kv = base + (kv - base) / token * token;
        (self.with(layers, kv), kv / token)
    }
}
