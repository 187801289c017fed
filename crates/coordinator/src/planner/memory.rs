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
    /// What a sequence takes in the first layers, for each number of layers.
    states: Vec<State>,
    /// Layers that use the keys and values of an earlier one, and what these take in a stage that does not have it.
    shared: Vec<Shared>,
    workspace: u64,
    /// Tokens of a whole context.
    context: u64,
    /// Sequences of a whole context that a stage must hold, and that it holds if the machine has the memory.
    required: u64,
    desired: u64,
}

/// A layer that uses the keys and values of another.
#[derive(Debug, Clone, Copy)]
struct Shared {
    layer: usize,
    with: usize,
    state: State,
}

/// A sequence's state in some layers: elements of caches, whose type the stage decides, and bytes of recurrences.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Elements of one token, as long as the sequence is shorter than every window.
    token: u64,
    /// Elements of a whole context: a windowed layer holds its window.
    context: u64,
    /// Bytes that do not depend on the sequence's length.
    fixed: u64,
}

/// Bytes of a sequence's state in a stage.
#[derive(Debug, Clone, Copy)]
struct StateBytes {
    /// What one more token takes, as long as the sequence is shorter than every window.
    token: u64,
    /// Of a whole context.
    context: u64,
}

impl State {
    fn plus(self, other: State) -> State {
        State {
            token: self.token.saturating_add(other.token),
            context: self.context.saturating_add(other.context),
            fixed: self.fixed.saturating_add(other.fixed),
        }
    }
}

impl Sizes {
    pub(super) fn new(demand: &Demand<'_>, footprint: &Footprint) -> Self {
        let (config, kind) = (&demand.manifest.config, footprint.device);
        let chunk = if kind == DeviceKind::Cpu { PREFILL_CHUNK_CPU } else { PREFILL_CHUNK_GPU } as usize;
        let mut states = vec![State::default()];
        let of_layer = |layer| {
            let state = LayerState::of(config, layer);
            let (token, context) = (state.elements(1, chunk), state.elements(config.context_length, chunk));
            State { token, context, fixed: state.fixed_bytes() }
        };
        states.extend((0..config.layers.len()).scan(State::default(), |sum, layer| {
            *sum = sum.plus(of_layer(layer));
            Some(*sum)
        }));
        let shared = (0..config.layers.len()).filter_map(|layer| match LayerState::of(config, layer) {
            LayerState::SharedCache { with } => Some(Shared { layer, with, state: of_layer(with) }),
            _ => None,
        });
        Self {
            stages: StageSizes::new(demand.manifest, demand.quant(kind), footprint),
            states,
            shared: shared.collect(),
            workspace: footprint.workspace_bytes(config, chunk + MAX_BATCH),
            context: config.context_length as u64,
            required: demand.concurrency.max(1) as u64,
            desired: demand.sessions.max(demand.concurrency).max(1) as u64,
        }
    }

    pub(super) fn weights(&self, layers: Layers) -> u64 {
        self.stages.bytes(layers)
    }

    fn state(&self, layers: Layers) -> StateBytes {
        let ([from, to], bytes) =
            ([self.states[layers.start], self.states[layers.end]], self.stages.compute_type(layers).bytes() as u64);
        let mut sum =
            State { token: to.token - from.token, context: to.context - from.context, fixed: to.fixed - from.fixed };
        let outside = |shared: &&Shared| layers.range().contains(&shared.layer) && shared.with < layers.start;
        let mut counted = Vec::new();
        for Shared { with, state, .. } in self.shared.iter().filter(outside) {
            if !counted.contains(with) {
                counted.push(*with);
                sum = sum.plus(*state);
            }
        }
        let context = sum.context.saturating_mul(bytes).saturating_add(sum.fixed);
        StateBytes { token: sum.token.saturating_mul(bytes), context }
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
        let kv_available = counted.saturating_sub(self.with(layers, 0).peak());
        let kv = kv_available.min(state.context.saturating_mul(self.desired));
        let required = state.context.saturating_mul(self.required);
        let base = if kv < required { 0 } else { required };
        // A stage that holds no tokens: its sequences count as whole contexts.
        let token = if state.token == 0 { state.context.div_ceil(self.context) } else { state.token }.max(1);
        let kv = base + (kv - base) / token * token;
        (self.with(layers, kv), kv / token)
    }
}
