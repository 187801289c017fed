use super::memory::Memory;
use gogrid_model::Layers;
use gogrid_wire::PeerId;

/// One stage on one machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placement {
    pub(crate) machine: PeerId,
    pub(crate) layers: Layers,
    /// Memory for KV caches, in bytes.
    pub(crate) kv_budget: u64,
    /// Tokens that `kv_budget` holds, over all sessions.
    pub(crate) kv_tokens: u64,
    /// The stage's share of the machine's lent memory.
    pub(crate) memory: Memory,
    /// What the stage cannot do without, of `memory`: KV memory of the whole contexts that are required, in bytes.
    pub(crate) least: u64,
    /// Seconds of one decoded token here, its hop included.
    pub(crate) seconds_per_token: f64,
}

impl Placement {
    /// Whether both are the same stage of a model on the same machine, so that one can use what the other loaded.
    pub(crate) fn is_same_stage(&self, other: &Self) -> bool {
        (self.machine, self.layers, self.kv_budget) == (other.machine, other.layers, other.kv_budget)
    }
}
