//! How many sequences a pipeline's KV memory holds.

use gogrid_model::SequenceSizes;

/// The KV memory of a pipeline's stages, counted in permits: one permit is a token of a sequence that is shorter than
/// every window. A longer sequence takes fewer permits than it has tokens where layers hold their window alone, and a
/// short one more where layers hold the states of recurrences, so that what fits in permits fits on every stage.
#[derive(Debug)]
pub(crate) struct KvCapacity {
    permits: usize,
    /// What sequences take on each stage, and the bytes of its KV memory.
    stages: Vec<(SequenceSizes, u64)>,
}

impl KvCapacity {
    /// The capacity of stages of which each has memory for `tokens` tokens of short sequences.
    pub(crate) fn new(tokens: u64, stages: Vec<(SequenceSizes, u64)>) -> Self {
        let permits = usize::try_from(tokens).unwrap_or(usize::MAX).min(tokio::sync::Semaphore::MAX_PERMITS);
        Self { permits, stages }
    }

    /// All permits.
    pub(crate) fn permits(&self) -> usize {
        self.permits
    }

    /// What sequences take on a stage.
    pub(crate) fn sizes(&self, stage: usize) -> Option<&SequenceSizes> {
        self.stages.get(stage).map(|(sizes, _)| sizes)
    }

    /// Stages of the pipeline.
    pub(crate) fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The newest position, `most` at most, from which every stage can let another sequence begin with tokens of a
    /// finished sequence of `length` tokens.
    pub(crate) fn shared_position(&self, length: usize, most: usize) -> usize {
        let on_all = |most| self.stages.iter().fold(most, |most, (sizes, _)| sizes.shared_position(length, most));
        let mut position = most.min(length);
        // A stage that can only go on from an earlier position may ask an earlier one of the others.
        while on_all(position) < position {
            position = on_all(position);
        }
        position
    }

    /// Permits that a sequence of up to this many tokens takes: the largest part that it takes of any stage.
    pub(crate) fn cost(&self, tokens: usize) -> usize {
        let on = |(sizes, budget): &(SequenceSizes, u64)| {
            let taken = u128::from(sizes.bytes(tokens)) * self.permits as u128;
            usize::try_from(taken.div_ceil(u128::from(*budget).max(1))).unwrap_or(usize::MAX)
        };
        self.stages.iter().map(on).max().unwrap_or(tokens)
    }

    /// Whether it holds a sequence of that many tokens when it holds no other.
    pub(crate) fn holds(&self, tokens: usize) -> bool {
        self.cost(tokens) <= self.permits
    }

    /// The longest sequence that it holds, in tokens, at most `context`.
    pub(crate) fn longest(&self, context: usize) -> usize {
        let (mut held, mut beyond) = (0, context.saturating_add(1));
        while beyond - held > 1 {
            let middle = held + (beyond - held) / 2;
            if self.holds(middle) { held = middle } else { beyond = middle }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::{FloatType, LayerState};

    /// Bytes of a token's keys and values in one layer.
    const TOKEN: u64 = 2 * 16;

    fn stage(layers: &[LayerState], budget: u64) -> (SequenceSizes, u64) {
        (SequenceSizes::new(layers.iter().copied(), FloatType::Bf16, 64), budget)
    }

    #[test]
    fn without_windows_a_token_is_a_permit() {
        let full = LayerState::Cache { elements: 16 };
        let capacity = KvCapacity::new(100, vec![stage(&[full], 100 * TOKEN), stage(&[full, full], 250 * TOKEN)]);
        assert_eq!((capacity.cost(1), capacity.cost(99), capacity.permits()), (1, 99, 100));
        assert!(capacity.holds(100) && !capacity.holds(101));
        assert_eq!((capacity.longest(1000), capacity.longest(40)), (100, 40));
    }

    #[test]
    fn a_sequence_beyond_its_windows_takes_what_it_takes_in_bytes() {
        let (full, windowed) =
            (LayerState::Cache { elements: 16 }, LayerState::WindowedCache { elements: 16, window: 36 });
        // A thousand tokens take 1000 + 3 · (36 + 64) of the 2000.
        let sizes = [full, windowed, windowed, windowed];
        let capacity = KvCapacity::new(500, vec![stage(&sizes, 2000 * TOKEN)]);
        assert_eq!((capacity.cost(100), capacity.cost(1000)), (100, 325));
        assert!(capacity.holds(1700) && !capacity.holds(1701));
        assert_eq!(capacity.longest(1 << 20), 1700);
    }

    #[test]
    fn a_recurrence_takes_the_same_of_every_sequence() {
        // 4 states of 25 elements in f32 take as much as 12.5 tokens.
        let sizes = [LayerState::Cache { elements: 16 }, LayerState::Recurrent { tail: 5, matrix: 20 }];
        let capacity = KvCapacity::new(100, vec![stage(&sizes, 100 * TOKEN)]);
        assert_eq!([1, 10, 87].map(|tokens| capacity.cost(tokens)), [14, 23, 100]);
        assert_eq!(capacity.longest(1000), 87);
    }

    #[test]
    fn stages_share_the_newest_position_that_all_of_them_have() {
        let full = LayerState::Cache { elements: 16 };
        let recurrent = LayerState::Recurrent { tail: 5, matrix: 20 };
        let capacity = |layers: [LayerState; 2]| KvCapacity::new(100, layers.map(|layer| stage(&[layer], 1)).into());
        assert_eq!(capacity([full, full]).shared_position(300, 200), 200);
        let mixed = capacity([full, recurrent]);
        assert_eq!([400, 299, 270, 200].map(|most| mixed.shared_position(300, most)), [300, 299, 256, 0]);
    }

    #[test]
    fn the_stage_with_the_least_room_counts() {
        let full = LayerState::Cache { elements: 16 };
        let windowed = LayerState::WindowedCache { elements: 16, window: 36 };
        let capacity = KvCapacity::new(1000, vec![stage(&[windowed], 1000 * TOKEN), stage(&[full], 1000 * TOKEN)]);
        assert_eq!(capacity.cost(900), 900);
    }
}
