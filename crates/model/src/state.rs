//! What a layer keeps of a sequence between two steps: keys and values in a cache, or the state of a recurrence.

use crate::{FloatType, Mixer, ModelConfig};

/// A windowed cache holds at least this many tokens beside its window: a decoding sequence copies its window to the
/// front of the buffer once in as many steps.
const WINDOW_SLACK: usize = 64;

/// The state of a recurrence is kept at multiples of this many tokens: the chunks in which a CPU takes a prompt in, so
/// that a sequence that goes on from there computes at most one chunk again.
pub const SNAPSHOT_BLOCK: usize = 64;
/// States of a recurrence that a sequence takes: the current one, the one that a step computes beside it, the one before
/// the last token, and the one at the last multiple of [`SNAPSHOT_BLOCK`] before that.
const RECURRENT_COPIES: u64 = 4;
/// Bytes of an element of a recurrence's state: always f32, as errors add up over the tokens.
const RECURRENT_BYTES: u64 = 4;

/// What a layer keeps of each sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerState {
    /// Keys and values of every token. The sequence can be cut back to any position.
    Cache {
        /// Elements of a token's keys and values.
        elements: usize,
    },
    /// Keys and values of the last tokens alone. The sequence can be cut back as far as the window before the wanted
    /// position is still held.
    WindowedCache {
        /// Elements of a token's keys and values.
        elements: usize,
        /// Tokens that a token sees, itself included.
        window: usize,
    },
    /// The cache of an earlier layer: nothing of its own. A stage that does not have that layer keeps a cache for it.
    SharedCache {
        /// That layer.
        with: usize,
    },
    /// The state of a recurrence. It cannot be cut back: the sequence goes on from its end, or from a position where the
    /// state was kept ([`SequenceSizes::newest_position`]).
    Recurrent {
        /// Elements of the convolution's last inputs.
        tail: usize,
        /// Elements of the matrix that sums the tokens up.
        matrix: usize,
    },
}

impl LayerState {
    /// What a layer of the model keeps.
    ///
    /// # Panics
    /// When the model has no such layer.
    pub fn of(config: &ModelConfig, layer: usize) -> Self {
        match &config.layers[layer].mixer {
            Mixer::Attention(attention) => {
                let elements = 2 * attention.kv_width();
                match (attention.shares, attention.window) {
                    (Some(with), _) => LayerState::SharedCache { with },
                    (None, None) => LayerState::Cache { elements },
                    (None, Some(window)) => LayerState::WindowedCache { elements, window },
                }
            }
            Mixer::LatentAttention(latent) => LayerState::Cache { elements: latent.cached() },
            Mixer::DeltaNet(delta_net) => {
                let tail = (delta_net.kernel - 1) * delta_net.channels();
                LayerState::Recurrent { tail, matrix: delta_net.matrix() }
            }
            Mixer::ShortConv(conv) => LayerState::Recurrent { tail: (conv.kernel - 1) * config.hidden_size, matrix: 0 },
        }
    }

    /// Tokens that a cache of this kind holds of a sequence of up to `capacity` tokens, whose steps have at most `chunk`;
    /// `None` where no tokens are held.
    pub fn held_tokens(self, capacity: usize, chunk: usize) -> Option<usize> {
        match self {
            LayerState::Cache { .. } => Some(capacity),
            LayerState::WindowedCache { window, .. } => {
                Some(capacity.min(window.saturating_add(chunk.max(WINDOW_SLACK))))
            }
            LayerState::SharedCache { .. } | LayerState::Recurrent { .. } => None,
        }
    }

    /// Elements of keys and values that a sequence of up to `capacity` tokens takes, where steps have at most `chunk` of
    /// them.
    pub fn elements(self, capacity: usize, chunk: usize) -> u64 {
        match self {
            LayerState::Cache { elements } | LayerState::WindowedCache { elements, .. } => {
                let tokens = self.held_tokens(capacity, chunk).unwrap_or_default();
                (elements as u64).saturating_mul(tokens as u64)
            }
            LayerState::SharedCache { .. } | LayerState::Recurrent { .. } => 0,
        }
    }

    /// Bytes that a sequence takes whatever its length: the states of a recurrence.
    pub fn fixed_bytes(self) -> u64 {
        match self {
            LayerState::Recurrent { tail, matrix } => {
                (tail as u64 + matrix as u64) * RECURRENT_BYTES * RECURRENT_COPIES
            }
            _ => 0,
        }
    }
}

/// What sequences take in one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSizes {
    states: Vec<LayerState>,
    dtype: FloatType,
    chunk: usize,
}

impl SequenceSizes {
    /// Of a stage whose layers keep these states in that type, and whose steps have at most `chunk` tokens of a sequence.
    pub fn new(states: impl IntoIterator<Item = LayerState>, dtype: FloatType, chunk: usize) -> Self {
        SequenceSizes { states: states.into_iter().collect(), dtype, chunk }
    }

    /// What each layer keeps.
    pub fn states(&self) -> &[LayerState] {
        &self.states
    }

    /// The most tokens of a sequence in one step; `None` where any number will do.
    pub fn chunk(&self) -> Option<usize> {
        let windowed = self.states.iter().any(|state| matches!(state, LayerState::WindowedCache { .. }));
        windowed.then_some(self.chunk)
    }

    /// Tokens that a layer's cache holds of a sequence of up to `capacity` tokens; `None` where it holds none.
    ///
    /// # Panics
    /// When the stage has no such layer.
    pub fn held_tokens(&self, index: usize, capacity: usize) -> Option<usize> {
        self.states[index].held_tokens(capacity, self.chunk)
    }

    /// Bytes that a sequence of up to `capacity` tokens takes.
    pub fn bytes(&self, capacity: usize) -> u64 {
        let elements = self.states.iter().map(|state| state.elements(capacity, self.chunk));
        let cached = elements.fold(0, u64::saturating_add).saturating_mul(self.dtype.bytes() as u64);
        self.states.iter().map(|state| state.fixed_bytes()).fold(cached, u64::saturating_add)
    }

    /// Whether a layer keeps the state of a recurrence.
    pub fn is_recurrent(&self) -> bool {
        self.states.iter().any(|state| matches!(state, LayerState::Recurrent { .. }))
    }

    /// The newest position, `most` at most, from which a sequence of `length` tokens can go on; 0 is its start. Caches
    /// are cut back to any position (a windowed one only as far as it still holds its window). Recurrences go on from
    /// the end, before the last token, or at the last multiple of [`SNAPSHOT_BLOCK`] before that.
    pub fn newest_position(&self, length: usize, most: usize) -> usize {
        if most >= length {
            return length;
        }
        if !self.is_recurrent() {
            return most;
        }
        let block = snapshot_before(length.saturating_sub(1));
        let kept = [length - 1, block].into_iter().find(|position| *position <= most);
        kept.unwrap_or(0)
    }
}

impl SequenceSizes {
    /// The newest position, `most` at most, from which another sequence can begin with tokens of a finished sequence of
    /// `length` tokens. As [`SequenceSizes::newest_position`], but a windowed cache that has dropped tokens counts as one
    /// that can go on from its end alone: how far back it reaches depends on the steps that filled it.
    pub fn shared_position(&self, length: usize, most: usize) -> usize {
        let dropped = |index| self.held_tokens(index, length).is_some_and(|held| held < length);
        match most < length && (0..self.states.len()).any(dropped) {
            true => 0,
            false => self.newest_position(length, most),
        }
    }
}

/// The last multiple of [`SNAPSHOT_BLOCK`] below `position`; 0 where there is none.
pub fn snapshot_before(position: usize) -> usize {
    position.saturating_sub(1) / SNAPSHOT_BLOCK * SNAPSHOT_BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: LayerState = LayerState::Cache { elements: 512 };
    const WINDOWED: LayerState = LayerState::WindowedCache { elements: 512, window: 1000 };

    #[test]
    fn a_windowed_cache_takes_its_window_and_a_chunk() {
        let sizes = |chunk| SequenceSizes::new([FULL, WINDOWED, WINDOWED], FloatType::F16, chunk);
        let token = 512 * 2;
        assert_eq!(sizes(200).bytes(100), 3 * token * 100);
        assert_eq!(sizes(200).bytes(10_000), token * (10_000 + 2 * 1200));
        assert_eq!(sizes(1).bytes(10_000), token * (10_000 + 2 * 1064));
        assert_eq!(sizes(200).chunk(), Some(200));
        assert_eq!(SequenceSizes::new([FULL], FloatType::F16, 200).chunk(), None);
    }

    #[test]
    fn a_recurrence_takes_the_same_for_every_length_and_a_shared_cache_nothing() {
        let recurrent = LayerState::Recurrent { tail: 100, matrix: 4000 };
        let sizes = SequenceSizes::new([recurrent, LayerState::SharedCache { with: 0 }], FloatType::F16, 8);
        // 4 states of f32, whatever the caches' type.
        assert_eq!((sizes.bytes(1), sizes.bytes(1 << 20)), (4 * 16_400, 4 * 16_400));
    }

    #[test]
    fn a_sequence_is_shared_where_every_layer_still_has_its_tokens() {
        let sizes = |states: &[LayerState]| SequenceSizes::new(states.iter().copied(), FloatType::F32, 64);
        let windowed = sizes(&[FULL, WINDOWED]);
        for (length, most, shared) in [(500, 300, 300), (5000, 300, 0), (5000, 4999, 0), (5000, 6000, 5000)] {
            assert_eq!(windowed.shared_position(length, most), shared, "{most} of {length}");
            assert_eq!(sizes(&[FULL]).shared_position(length, most), most.min(length));
        }
        let recurrent = sizes(&[FULL, LayerState::Recurrent { tail: 1, matrix: 1 }]);
        assert_eq!((recurrent.shared_position(200, 198), recurrent.shared_position(200, 100)), (192, 0));
    }

    #[test]
    fn a_recurrence_goes_on_where_its_state_was_kept() {
        let of = |states: &[LayerState]| SequenceSizes::new(states.iter().copied(), FloatType::F32, 64);
        let (cached, recurrent) = (of(&[FULL]), of(&[FULL, LayerState::Recurrent { tail: 1, matrix: 1 }]));
        for (length, most, newest) in [
            (200, 300, 200),
            (200, 199, 199),
            (200, 198, 192),
            (200, 191, 0),
            (194, 192, 192),
            (193, 191, 128),
            (1, 0, 0),
        ] {
            assert_eq!(recurrent.newest_position(length, most), newest, "{most} of {length}");
            assert_eq!(cached.newest_position(length, most), most.min(length));
        }
        assert_eq!([0, 1, 64, 65, 128, 129].map(snapshot_before), [0, 0, 0, 64, 64, 128]);
    }
}
