use super::memory::Sizes;
use gogrid_model::Layers;

/// What a stage is in its pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Embedding, all layers and head.
    Whole,
    /// With the embedding.
    First,
    Middle,
    /// With the head.
    Last,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Whole, Self::First, Self::Middle, Self::Last];

    /// The role of these layers in a model of so many.
    pub(super) fn of(layers: Layers, of: usize) -> Self {
        match (layers.has_embedding(), layers.has_head(of)) {
            (true, true) => Self::Whole,
            (true, false) => Self::First,
            (false, false) => Self::Middle,
            (false, true) => Self::Last,
        }
    }

    pub(super) fn has_head(self) -> bool {
        matches!(self, Self::Whole | Self::Last)
    }

    /// How often a token's activations pass the machine's link.
    pub(super) fn transfers(self) -> f64 {
        match self {
            Self::Whole => 0.0,
            Self::First | Self::Last => 1.0,
            Self::Middle => 2.0,
        }
    }
}

/// A machine as the search sees it: what it costs in each role, and how many layers it holds there. A cost is seconds of
/// one token, weighted by the machine's reliability.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    /// The machine's place in the problem.
    pub(super) machine: usize,
    /// Cost of a layer.
    pub(super) layer: f64,
    /// Cost of taking part, by role.
    pub(super) fixed: [f64; 4],
    /// The most layers, by role.
    pub(super) most: [usize; 4],
}

impl Seat {
    pub(super) fn cost(&self, role: Role, layers: usize) -> f64 {
        self.fixed[role as usize] + self.layer * layers as f64
    }

    pub(super) fn most(&self, role: Role) -> usize {
        self.most[role as usize]
    }
}

/// Memory that stages of each role and number of layers need.
#[derive(Debug)]
pub(super) struct Needs {
    /// By role and layers, from one layer on; ascending, because a stage with one more layer never takes less.
    bytes: [Vec<u64>; 4],
}

impl Needs {
    /// Where layers differ in size, it depends on which ones a stage in the middle has: `pick` is the maximum for what
    /// holds whichever they are, the minimum for what may hold with luck.
    pub(super) fn of(sizes: &Sizes, of: usize, pick: fn(u64, u64) -> u64) -> Self {
        let need = |start, end| sizes.need(Layers { start, end });
        let whole = [vec![u64::MAX; of - 1], vec![need(0, of)]].concat();
        let first = (1..of).map(|layers| need(0, layers)).collect();
        let last = (1..of).map(|layers| need(of - layers, of)).collect();
        let middle = (1..of.saturating_sub(1)).map(|layers| {
            let starts = 1..of - layers;
            starts.map(|start| need(start, start + layers)).reduce(pick).unwrap_or(u64::MAX)
        });
        Self { bytes: [whole, first, middle.collect(), last] }
    }

    /// The most layers in a role within so many bytes.
    pub(super) fn most(&self, role: Role, free: u64) -> usize {
        let needs = &self.bytes[role as usize];
        match role {
            Role::Whole => {
                if needs.last().is_some_and(|need| *need <= free) {
                    needs.len()
                } else {
                    0
                }
            }
            _ => needs.partition_point(|need| *need <= free),
        }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
