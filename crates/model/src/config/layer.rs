//! What one layer is. Layers of a model may differ.

use serde::{Deserialize, Serialize};

/// One layer of a model: attention, then a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSpec {
    /// How its tokens see those before them.
    pub attention: LayerAttention,
    /// Its feed-forward network.
    pub feed_forward: FeedForward,
}

/// How a layer's tokens see those before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerAttention {
    /// Every token sees all before it.
    Full,
    /// A token sees this many tokens, itself included.
    Window(usize),
}

impl LayerAttention {
    /// The most tokens that a token sees, itself included; `None`: all before it.
    pub fn window(self) -> Option<usize> {
        match self {
            LayerAttention::Full => None,
            LayerAttention::Window(tokens) => Some(tokens),
        }
    }
}

/// A layer's feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FeedForward {
    /// Every token goes through all of it: gate and up `// (width, hidden)`, down `// (hidden, width)`.
    Dense {
        /// Its inner width.
        width: usize,
    },
}

impl FeedForward {
    /// Elements of a token's inner row.
    pub fn width(self) -> usize {
        match self {
            FeedForward::Dense { width } => width,
        }
    }
}
