//! What goes into a stage's step, and what comes out.

use crate::{Activations, CandidateRequest, Candidates};
use std::fmt;

/// The key of a session in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u64);

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Consecutive tokens of one session: one token when it decodes, a chunk of the prompt when it prefills. The rows of a
/// step's spans lie back to back, in the order of the spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The session.
    pub session: SessionKey,
    /// The position of the first token in its sequence: the number of tokens that the session has taken in.
    pub position: usize,
    /// Tokens.
    pub tokens: usize,
    /// The candidates that are wanted for the token after the last. Only a stage with the head looks at it.
    pub want: Option<CandidateRequest>,
}

/// The rows of a step.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// Token ids, for a stage with the embedding.
    Tokens(&'a [u32]),
    /// What the stage before put out, for every other stage.
    Hidden(Activations),
}

/// What a step puts out.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The residual stream after the stage's layers: one row per token.
    Hidden(Activations),
    /// From a stage with the head: the candidates of each span that wanted them, in the order of the spans.
    Candidates(Vec<Candidates>),
}
