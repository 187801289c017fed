//! Converts between frames and the model's steps.

use crate::scheduler::Work;
use gogrid_compute::{ForwardError, Pass, Stage, StateError};
use gogrid_limits::OverLimit;
use gogrid_model::{Activations, CandidateRequest, Candidates, FloatType, Input, SessionKey, Span, TokenSet};
use gogrid_wire::{
    control::SessionError,
    stage::{self, CandidateRow, Rows, TensorType},
};
use std::sync::Arc;

/// Makes a batch ready to be computed.
pub(super) fn begin(stage: &Stage, batch: &[Work]) -> Result<Pass, ForwardError> {
    let spans = batch.iter().map(|work| span(stage, work)).collect::<Result<_, _>>()?;
    let bytes = batch.iter().flat_map(|work| &work.data).copied().collect::<Vec<u8>>();
    let rows = batch.iter().map(|work| work.tokens as usize).sum();
    match batch[0].rows {
        Rows::Tokens => {
            let tokens: Vec<u32> =
                bytes.as_chunks().0.iter().map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes)).collect();
            stage.begin(spans, Input::Tokens(&tokens))
        }
        Rows::Hidden { dtype, width } => {
            let activations = Activations { dtype: from_wire(dtype), rows, width: width as usize, data: bytes };
            stage.begin(spans, Input::Hidden(activations))
        }
    }
}

/// What the model sees of a piece of work. Only a stage with the head reads which tokens are allowed.
fn span(stage: &Stage, work: &Work) -> Result<Span, ForwardError> {
    let session = SessionKey(work.session.0);
    let allowed = match work.allowed.is_empty() || !stage.has_head() {
        true => None,
        false => Some(Arc::new(
            TokenSet::from_bytes(&work.allowed, stage.config().vocab_size)
                .map_err(|error| ForwardError::Allowed { session, error })?,
        )),
    };
    let request = |want: &stage::Want| CandidateRequest {
        top: want.top as usize,
        also: want.also.clone(),
        allowed: allowed.clone(),
    };
    Ok(Span {
        session,
        position: work.position as usize,
        tokens: work.tokens as usize,
        want: work.want.as_ref().map(request),
    })
}

impl Work {
    pub(super) fn span(&self) -> stage::Span {
        stage::Span { session: self.session, position: self.position, tokens: self.tokens, want: self.want.clone() }
    }
}

pub(super) fn candidates(work: &Work, found: Candidates) -> CandidateRow {
    let Candidates { ids, logits, log_sum_exp } = found;
    CandidateRow { session: work.session, position: work.position + work.tokens, ids, logits, log_sum_exp }
}

pub(super) fn session_error(error: &StateError) -> SessionError {
    match *error {
        StateError::OutOfBudget { needed, free, budget } => SessionError::OutOfMemory { needed, free, budget },
        ref other => SessionError::BadInput(other.to_string()),
    }
}

/// Memory that a session cannot have.
pub(super) fn over_limit(OverLimit { needed, free, limit, .. }: OverLimit) -> SessionError {
    SessionError::OutOfMemory { needed, free, budget: limit }
}

/// A session that cannot go on where it was: its tokens are computed again.
pub(super) fn reuse_error(error: &StateError) -> SessionError {
    tracing::debug!(%error, "session not reused");
    SessionError::NotRetained
}

fn from_wire(dtype: TensorType) -> FloatType {
    match dtype {
        TensorType::F32 => FloatType::F32,
        TensorType::F16 => FloatType::F16,
        TensorType::Bf16 => FloatType::Bf16,
    }
}

pub(super) fn to_wire(dtype: FloatType) -> TensorType {
    match dtype {
        FloatType::F32 => TensorType::F32,
        FloatType::F16 => TensorType::F16,
        FloatType::Bf16 => TensorType::Bf16,
    }
}
