//! Between frames and the model's steps.

use crate::scheduler::Work;
use gogrid_compute::{ForwardError, KvError, Pass, Stage};
use gogrid_model::{Activations, CandidateRequest, FloatType, Input, SessionKey, Span};
use gogrid_wire::{
    control::SessionError,
    stage::{self, CandidateRow, Rows, TensorType},
};

/// Makes a batch ready to be computed.
pub(super) fn begin(stage: &Stage, batch: &[Work]) -> Result<Pass, ForwardError> {
    let spans = batch.iter().map(|work| Span {
        session: SessionKey(work.session.0),
        position: work.position as usize,
        tokens: work.tokens as usize,
        logits: work.want.is_some(),
    });
    let bytes = batch.iter().flat_map(|work| &work.data).copied().collect::<Vec<u8>>();
    let rows = batch.iter().map(|work| work.tokens as usize).sum();
    match batch[0].rows {
        Rows::Tokens => {
            let tokens: Vec<u32> =
                bytes.as_chunks().0.iter().map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes)).collect();
            stage.begin(spans.collect(), Input::Tokens(&tokens))
        }
        Rows::Hidden { dtype, width } => {
            let activations = Activations { dtype: from_wire(dtype), rows, width: width as usize, data: bytes };
            stage.begin(spans.collect(), Input::Hidden(activations))
        }
    }
}

impl Work {
    pub(super) fn span(&self) -> stage::Span {
        stage::Span { session: self.session, position: self.position, tokens: self.tokens, want: self.want.clone() }
    }
}

pub(super) fn candidates(work: &Work, want: &stage::Want, logits: &[f32]) -> CandidateRow {
    let request = CandidateRequest { top: want.top as usize, also: want.also.clone() };
    let found = gogrid_model::candidates(logits, &request);
    CandidateRow {
        session: work.session,
        position: work.position + work.tokens,
        ids: found.ids,
        logits: found.logits,
        log_sum_exp: found.log_sum_exp,
    }
}

pub(super) fn session_error(error: &KvError) -> SessionError {
    match *error {
        KvError::OutOfBudget { needed, free, budget } => SessionError::OutOfMemory { needed, free, budget },
        ref other => SessionError::BadInput(other.to_string()),
    }
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
