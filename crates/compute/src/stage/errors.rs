//! What can go wrong with a stage: while it is loaded, and in a step.

use crate::DeviceError;
use gogrid_model::{ActivationsError, Layers, ManifestError, SessionKey, TensorError, TokenSetError};
use std::error::Error;

/// A stage that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The manifest is wrong, or lacks a tensor.
    #[error("the manifest cannot be used")]
    Manifest(#[from] ManifestError),
    /// The device does not open.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A tensor is not in the manifest.
    #[error("tensor {name} is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor cannot be had from the source.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The source gives another number of bytes than the manifest says.
    #[error("tensor {name} came with {found} bytes instead of {expected}")]
    Size {
        /// The tensor.
        name: String,
        /// Bytes that came.
        found: u64,
        /// Bytes that were expected.
        expected: u64,
    },
    /// A block's scale is larger than the type holds that the weights are computed in.
    #[error("tensor {name} has a scale that is too large: its file is broken")]
    Scale {
        /// The tensor.
        name: String,
    },
    /// The device refuses: most often its memory is full.
    #[error("the weights cannot be brought to the device")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
    /// The weights are there, but nothing can be computed with them.
    #[error("the first computation failed")]
    WarmUp(#[source] Box<ForwardError>),
}

/// A step that is refused or fails. Every refusal comes before anything is computed, and a step that fails leaves all
/// sessions as they were.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// A step without spans.
    #[error("the step has no spans")]
    NoSpans,
    /// A span without tokens.
    #[error("session {0} has a span without tokens")]
    EmptySpan(SessionKey),
    /// Two spans of one session.
    #[error("session {0} has two spans in one step")]
    TwoSpans(SessionKey),
    /// There is no session of that key.
    #[error("session {0} is not open")]
    UnknownSession(SessionKey),
    /// A span does not go on where the session's cache ends.
    #[error("session {session} goes on at position {position}, but {cached} tokens are cached")]
    Position {
        /// The session.
        session: SessionKey,
        /// The span's position.
        position: usize,
        /// Tokens that are cached.
        cached: usize,
    },
    /// A span is longer than the tokens that windowed caches hold beside their window.
    #[error("session {session} has a span of {tokens} tokens, at most {most} fit a step")]
    LongSpan {
        /// The session.
        session: SessionKey,
        /// Tokens of the span.
        tokens: usize,
        /// The most tokens of a session in a step.
        most: usize,
    },
    /// A span goes beyond what the session reserved.
    #[error("session {session} would have {needed} tokens, but reserved {capacity}")]
    OutOfCapacity {
        /// The session.
        session: SessionKey,
        /// Tokens with the span.
        needed: usize,
        /// Tokens that it reserved.
        capacity: usize,
    },
    /// The input has another number of rows than the spans have tokens.
    #[error("the spans have {expected} tokens, the input has {found} rows")]
    Rows {
        /// Tokens of the spans.
        expected: usize,
        /// Rows of the input.
        found: usize,
    },
    /// Activations came to the first stage, or tokens to a later one.
    #[error("layers {layers} take {expected}, but {found} came")]
    Input {
        /// The stage's layers.
        layers: Layers,
        /// What they take.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// A token id outside the vocabulary.
    #[error("token {token} is not in a vocabulary of {vocabulary}")]
    Token {
        /// The id.
        token: u32,
        /// Ids of the vocabulary.
        vocabulary: usize,
    },
    /// What a span says of the tokens that may come next cannot be read.
    #[error("session {session} has an unusable set of allowed tokens")]
    Allowed {
        /// The session.
        session: SessionKey,
        /// Why.
        #[source]
        error: TokenSetError,
    },
    /// Rows of another width.
    #[error("rows of {found} elements came, the model has {expected}")]
    Width {
        /// Elements of a row that enters the stage.
        expected: usize,
        /// Elements of a row.
        found: usize,
    },
    /// Activations whose bytes do not fit their shape.
    #[error(transparent)]
    Activations(#[from] ActivationsError),
    /// The device fails: most often its memory is full.
    #[error("the device failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

impl ForwardError {
    /// Whether the input is to blame, and not the device.
    pub fn is_input(&self) -> bool {
        !matches!(self, ForwardError::Backend(_))
    }
}
