//! The constraint of one sequence: which tokens may come next.

use crate::{
    constraint::{Constraint, ConstraintProblem, ConstraintState, NextTokens, compile, follow},
    generate::GenerateError,
    model::Model,
};
use gogrid_model::TokenSet;
use std::sync::Arc;

/// A sequence's constraint.
pub(super) struct Constrained {
    constraint: Arc<Constraint>,
    /// `None` after a failure.
    state: Option<Box<ConstraintState>>,
    /// Tokens of the sequence, prompt and answer, that it has taken in.
    seen: usize,
    /// What may follow these.
    next: Option<NextTokens>,
    /// The same, encoded for the wire; empty allows every token.
    bytes: Vec<u8>,
}

impl Constrained {
    /// Compiles the constraint of an answer that begins after `prompt` tokens.
    pub(super) async fn compile(
        model: &Arc<Model>,
        constraint: &Arc<Constraint>,
        prompt: usize,
        ignore_eos: bool,
    ) -> Result<Self, GenerateError> {
        let state = Some(Box::new(compile(model, constraint, ignore_eos).await?));
        Ok(Self { constraint: Arc::clone(constraint), state, seen: prompt, next: None, bytes: Vec::new() })
    }

    /// Takes in the tokens that were chosen since, and works out what may follow.
    pub(super) async fn follow(&mut self, tokens: &[u32]) -> Result<(), GenerateError> {
        if self.next.is_some() && self.seen == tokens.len() {
            return Ok(());
        }
        let refused = |problem| GenerateError::from(self.constraint.error(problem));
        let failed = || refused(ConstraintProblem::Invalid { message: "it failed before".into() });
        let state = self.state.take().ok_or_else(failed)?;
        let (state, next) = follow(state, tokens[self.seen..].to_vec()).await.map_err(refused)?;
        self.bytes = if let NextTokens::Among(set) = &next { set.to_bytes() } else { Vec::new() };
        (self.state, self.next, self.seen) = (Some(state), Some(next), tokens.len());
        Ok(())
    }

    /// Whether the answer must end here.
    pub(super) fn is_complete(&self) -> bool {
        self.next == Some(NextTokens::Complete)
    }

    /// The tokens that may come next; `None` allows all.
    pub(super) fn allowed(&self) -> Option<&Arc<TokenSet>> {
        match self.next.as_ref()? {
            NextTokens::Among(set) => Some(set),
            NextTokens::Any | NextTokens::Complete => None,
        }
    }

    /// The same, encoded for the wire; empty allows every token.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
