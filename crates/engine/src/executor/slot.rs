//! One stage in service: what waits for it, what it computes next, and where its output goes.

use super::{Installed, Outgoing, StageGauge, StageKey};
use crate::scheduler::{Scheduler, Work};
use gogrid_model::{Activations, CandidateRequest, FloatType, Input, KvError, Output, SessionKey, Span, Stage};
use gogrid_wire::{
    Epoch, SessionId,
    control::SessionError,
    stage::{self, CandidateRow, Rows, StageFrame, Step, TensorType},
};
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::mpsc;

/// Sessions that the stage gave up, with the reasons.
pub(super) type Failed = Vec<(SessionId, SessionError)>;

/// A stage with its lines of work.
pub(super) struct Slot {
    pub(super) key: StageKey,
    pub(super) stage: Stage,
    pub(super) scheduler: Scheduler,
    pub(super) gauge: Arc<StageGauge>,
    /// Where its output goes, once it is linked up.
    pub(super) out: Option<mpsc::Sender<Outgoing>>,
}

impl Slot {
    pub(super) fn installed(&self) -> Installed {
        Installed { weight_bytes: self.stage.weight_bytes(), quant: self.key.quant, gauge: self.gauge.clone() }
    }

    pub(super) fn clear(&mut self) {
        self.stage.close_all();
        self.scheduler = Scheduler::new(1);
        self.out = None;
        self.measure();
    }

    fn measure(&self) {
        self.gauge.sessions.store(self.stage.sessions() as u32, Ordering::Relaxed);
        self.gauge.kv_used.store(self.stage.kv_used(), Ordering::Relaxed);
    }

    /// Takes in one frame. Frames keep their order: what is forwarded at once follows what was sent before.
    pub(super) fn receive(&mut self, frame: StageFrame, body: &[u8]) -> Failed {
        match &frame {
            StageFrame::Open { session, capacity, .. } => {
                let (session, capacity) = (*session, *capacity);
                if let Err(error) = self.stage.open(SessionKey(session.0), capacity as usize) {
                    return vec![(session, session_error(&error))];
                }
                self.measure();
                if !self.stage.has_head() {
                    self.send(frame, Vec::new());
                }
                Vec::new()
            }
            StageFrame::Close { session, .. } => {
                self.scheduler.forget(*session);
                self.stage.close(SessionKey(session.0));
                self.measure();
                if !self.stage.has_head() {
                    self.send(frame, Vec::new());
                }
                Vec::new()
            }
            StageFrame::Step(step) => self.queue(step, body),
            StageFrame::Candidates { .. } => {
                tracing::warn!("a stage received candidates; ignored");
                Vec::new()
            }
        }
    }

    fn queue(&mut self, step: &Step, body: &[u8]) -> Failed {
        if let Err(error) = step.check_body(body) {
            return step.spans.iter().map(|s| (s.session, SessionError::BadInput(error.to_string()))).collect();
        }
        let mut at = 0;
        for span in &step.spans {
            let bytes = span.tokens as usize * step.rows.bytes();
            // A session that is unknown here failed or was closed before; its rows are of no use.
            if self.stage.cached(SessionKey(span.session.0)).is_some() {
                self.scheduler.push(Work {
                    session: span.session,
                    position: span.position,
                    tokens: span.tokens,
                    rows: step.rows,
                    data: body[at..at + bytes].to_vec(),
                    want: span.want.clone(),
                });
            }
            at += bytes;
        }
        Vec::new()
    }

    /// Computes one batch and sends its output on.
    pub(super) fn step(&mut self, epoch: Epoch) -> Failed {
        let batch = self.scheduler.next();
        if batch.is_empty() {
            return Vec::new();
        }
        match self.compute(epoch, &batch) {
            Ok(()) => Vec::new(),
            Err(error) if batch.len() == 1 => vec![self.give_up(batch[0].session, error)],
            // One bad session must not take the others with it: each goes alone.
            Err(_) => batch
                .iter()
                .filter_map(|work| self.compute(epoch, std::slice::from_ref(work)).err().map(|e| (work.session, e)))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|(session, error)| self.give_up(session, error))
                .collect(),
        }
    }

    fn give_up(&mut self, session: SessionId, error: SessionError) -> (SessionId, SessionError) {
        self.scheduler.forget(session);
        self.stage.close(SessionKey(session.0));
        self.measure();
        (session, error)
    }

    fn compute(&mut self, epoch: Epoch, batch: &[Work]) -> Result<(), SessionError> {
        let spans: Vec<Span> = batch
            .iter()
            .map(|work| Span {
                session: SessionKey(work.session.0),
                position: work.position as usize,
                tokens: work.tokens as usize,
                logits: work.want.is_some(),
            })
            .collect();
        let bytes = batch.iter().flat_map(|work| &work.data).copied().collect::<Vec<u8>>();
        let rows = batch.iter().map(|work| work.tokens as usize).sum();
        let output = match batch[0].rows {
            Rows::Tokens => {
                let tokens: Vec<u32> =
                    bytes.as_chunks().0.iter().map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes)).collect();
                self.stage.forward(&spans, Input::Tokens(&tokens))
            }
            Rows::Hidden { dtype, width } => {
                let activations = Activations { dtype: from_wire(dtype), rows, width: width as usize, data: bytes };
                self.stage.forward(&spans, Input::Hidden(activations))
            }
        }
        .map_err(|error| {
            if error.is_input() {
                SessionError::BadInput(error.to_string())
            } else {
                SessionError::Compute(error.to_string())
            }
        })?;
        match output {
            Output::Hidden(out) => {
                let spans = batch.iter().map(Work::span).collect();
                let rows = Rows::Hidden { dtype: to_wire(out.dtype), width: out.width as u32 };
                self.send(StageFrame::Step(Step { epoch, spans, rows }), out.data);
            }
            Output::Logits(logits) => {
                let wanted = batch.iter().filter_map(|work| Some((work, work.want.as_ref()?)));
                let rows: Vec<_> = wanted.zip(&logits).map(|((work, want), row)| candidates(work, want, row)).collect();
                if !rows.is_empty() {
                    self.send(StageFrame::Candidates { epoch, rows }, Vec::new());
                }
            }
        }
        Ok(())
    }

    fn send(&self, frame: StageFrame, body: Vec<u8>) {
        // A link that broke has told the coordinator; the epoch is about to end.
        if let Some(out) = &self.out {
            drop(out.blocking_send(Outgoing { frame, body }));
        }
    }
}

impl Work {
    fn span(&self) -> stage::Span {
        stage::Span { session: self.session, position: self.position, tokens: self.tokens, want: self.want.clone() }
    }
}

fn candidates(work: &Work, want: &stage::Want, logits: &[f32]) -> CandidateRow {
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

fn session_error(error: &KvError) -> SessionError {
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

fn to_wire(dtype: FloatType) -> TensorType {
    match dtype {
        FloatType::F32 => TensorType::F32,
        FloatType::F16 => TensorType::F16,
        FloatType::Bf16 => TensorType::Bf16,
    }
}
