//! What a machine costs and holds, as far as the search looks at it.

use super::memory::Sizes;
use gogrid_model::Layers;

/// A stage's position in its pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The whole model: embedding, all layers and head.
    Whole,
    /// With the embedding.
    First,
    Middle,
    /// With the head.
    Last,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Whole, Self::First, Self::Middle, Self::Last];

    /// The role of a stage with these layers in a model of `total` layers.
    pub(super) fn of(layers: Layers, total: usize) -> Self {
        match (layers.has_embedding(), layers.has_head(total)) {
            (true, true) => Self::Whole,
            (true, false) => Self::First,
            (false, false) => Self::Middle,
            (false, true) => Self::Last,
        }
    }

    pub(super) fn has_head(self) -> bool {
        matches!(self, Self::Whole | Self::Last)
    }

    /// How often a token's activations pass the machine's link. Token ids and candidates are too small to count.
    pub(super) fn transfers(self) -> f64 {
        match self {
            Self::Whole => 0.0,
            Self::First | Self::Last => 1.0,
            Self::Middle => 2.0,
        }
    }
}

/// One machine's costs and limits. A cost is seconds of one decoded token, divided by the machine's reliability.
#[derive(Debug, Clone, Copy)]
pub(super) struct CandidateCost {
    /// Index of the machine in the problem.
    pub(super) machine: usize,
    /// Cost of one layer.
    pub(super) layer: f64,
    /// Cost of a stage apart from its layers, by role.
    pub(super) fixed: [f64; 4],
    /// The most layers that the machine's memory holds, by role.
    pub(super) max_layers: [usize; 4],
}

impl CandidateCost {
    /// The cost of a stage.
    pub(super) fn stage(&self, role: Role, layers: usize) -> f64 {
        self.fixed[role as usize] + self.layer * layers as f64
    }

    pub(super) fn max_layers(&self, role: Role) -> usize {
        self.max_layers[role as usize]
    }
}

/// Which layers a middle stage is assumed to hold, if layers differ in size: the search then counts layers instead of
/// looking at each range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerSizes {
    /// The largest ones: what fits then fits for every range.
    Largest,
    /// The smallest ones: what does not fit then fits for no range. Used for lower bounds.
    Smallest,
}

/// Memory of a stage by role and number of layers, on one kind of device.
#[derive(Debug, PartialEq)]
pub(super) struct RoleMemory {
    /// By role; entry `n` is the bytes of a stage with `n + 1` layers. Ascending, because one more layer never takes
    /// less. For [`Role::Whole`] all entries but the last are `u64::MAX`.
    bytes: [Vec<u64>; 4],
}

impl RoleMemory {
    /// For a model of `total` layers.
    pub(super) fn new(sizes: &Sizes, total: usize, assume: LayerSizes) -> Self {
        let need = |start, end| sizes.need(Layers { start, end });
        let whole = [vec![u64::MAX; total - 1], vec![need(0, total)]].concat();
        let first = (1..total).map(|layers| need(0, layers)).collect();
        let last = (1..total).map(|layers| need(total - layers, total)).collect();
        let pick = match assume {
            LayerSizes::Largest => u64::max,
            LayerSizes::Smallest => u64::min,
        };
        let middle = (1..total.saturating_sub(1)).map(|layers| {
            let all_ranges = (1..total - layers).map(|start| need(start, start + layers));
            all_ranges.reduce(pick).unwrap_or(u64::MAX)
        });
        Self { bytes: [whole, first, middle.collect(), last] }
    }

    /// The most layers that fit `free` bytes in a role.
    pub(super) fn max_layers(&self, role: Role, free: u64) -> usize {
        let bytes = &self.bytes[role as usize];
        if role == Role::Whole {
            let fits = bytes.last().is_some_and(|all| *all <= free);
            return if fits { bytes.len() } else { 0 };
        }
        bytes.partition_point(|need| *need <= free)
    }
}
