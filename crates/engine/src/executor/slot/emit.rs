//! What goes to the next stage.

use super::{Running, SessionFailures, Slot};
use crate::{
    executor::{
        Outgoing,
        convert::{candidates, over_limit, to_wire},
    },
    frame_budget::{FramePermit, NotAdmitted},
    scheduler::Work,
};
use gogrid_model::Output;
use gogrid_wire::{
    Epoch, SessionId,
    control::SessionError,
    stage::{CandidateRow, ConstrainedStep, Rows, Span, StageFrame, Step},
};

/// Retained outputs of a session that the next stage needs.
pub(super) struct Resend {
    pub(super) epoch: Epoch,
    pub(super) session: SessionId,
    /// The next position to send.
    pub(super) next: u32,
    /// The position after the last.
    pub(super) end: u32,
}

/// Whether a frame may be forwarded now.
pub(super) enum ForwardPermit {
    /// Nothing is sent.
    NotNeeded,
    Held(FramePermit),
    /// The outgoing queue is full.
    Full,
}

impl Slot {
    /// Sends a frame that all later stages have to see.
    pub(super) fn forward(&self, frame: StageFrame, permit: ForwardPermit) {
        if let ForwardPermit::Held(permit) = permit {
            self.send(frame, Vec::new(), permit);
        }
    }

    /// Sends the next piece of a session's retained outputs; false where it has to wait for the link.
    pub(super) fn resend(&mut self, resend: Resend, failed: &mut SessionFailures) -> bool {
        let Resend { epoch, session, next, end } = resend;
        let Some((rows, data)) = self.outputs.piece(session, next as usize, end as usize) else {
            // They were given up for memory since.
            failed.push((session, SessionError::NotRetained));
            self.close(session);
            return true;
        };
        let permit = match self.outlet.try_admit(data.len() as u64) {
            Ok(Some(permit)) => permit,
            Ok(None) | Err(NotAdmitted::Closed) => {
                self.resends.push_front(resend);
                return false;
            }
            Err(NotAdmitted::OverLimit(over)) => {
                failed.push((session, over_limit(over)));
                self.close(session);
                return true;
            }
        };
        let tokens = (data.len() / rows.bytes()) as u32;
        let span = Span { session, position: next, tokens, want: None };
        let body = data.to_vec();
        self.send(StageFrame::Step(Step { epoch, spans: vec![span], rows }), body, permit);
        if next + tokens < end {
            self.resends.push_front(Resend { next: next + tokens, ..resend });
        }
        true
    }

    /// Sends a batch's output on, under the permit that was claimed for it.
    pub(super) fn emit(&mut self, epoch: Epoch, running: Running, output: Output) -> SessionFailures {
        let Running { batch, permit, .. } = running;
        match output {
            Output::Hidden(out) => {
                let rows = Rows::Hidden { dtype: to_wire(out.dtype), width: out.width as u32 };
                let mut at = 0;
                for work in &batch {
                    let end = at + work.tokens as usize * rows.bytes();
                    self.outputs.append(work.session, work.position as usize, rows, &out.data[at..end]);
                    at = end;
                }
                let (spans, body) = self.needed(&batch, rows, out.data);
                if spans.is_empty() {
                    return Vec::new();
                }
                let described = spans.len() * size_of::<Span>();
                let (frame, body) = step_frame(Step { epoch, spans, rows }, body, &batch);
                let bytes = body.len() + described;
                self.send_sized(frame, body, permit, bytes, &batch)
            }
            Output::Candidates(found) => {
                let wanted = batch.iter().filter(|work| work.want.is_some());
                let rows: Vec<_> = wanted.zip(found).map(|(work, found)| candidates(work, found)).collect();
                if rows.is_empty() {
                    return Vec::new();
                }
                let bytes = rows.iter().map(candidate_bytes).sum();
                self.send_sized(StageFrame::Candidates { epoch, rows }, Vec::new(), permit, bytes, &batch)
            }
        }
    }

    /// The spans of a batch without the rows that the next stage has already, and their rows.
    fn needed(&self, batch: &[Work], rows: Rows, data: Vec<u8>) -> (Vec<Span>, Vec<u8>) {
        let emit = |work: &Work| self.sessions.get(&work.session).map_or(0, |session| session.emit);
        if batch.iter().all(|work| work.position >= emit(work)) {
            return (batch.iter().map(Work::span).collect(), data);
        }
        let (mut spans, mut body, mut at) = (Vec::new(), Vec::new(), 0);
        for work in batch {
            let end = at + work.tokens as usize * rows.bytes();
            let known = emit(work).saturating_sub(work.position).min(work.tokens);
            if known < work.tokens {
                let span = work.span();
                spans.push(Span { position: span.position + known, tokens: span.tokens - known, ..span });
                body.extend_from_slice(&data[at + known as usize * rows.bytes()..end]);
            }
            at = end;
        }
        (spans, body)
    }

    /// Sends a frame of a size that is known only now. Where there is no memory to let it wait, its sessions are given
    /// up.
    fn send_sized(
        &mut self,
        frame: StageFrame,
        body: Vec<u8>,
        mut permit: FramePermit,
        bytes: usize,
        batch: &[Work],
    ) -> SessionFailures {
        if let Err(over) = permit.resize(bytes as u64) {
            drop((frame, body));
            batch.iter().for_each(|work| self.close(work.session));
            return batch.iter().map(|work| (work.session, over_limit(over))).collect();
        }
        self.send(frame, body, permit);
        Vec::new()
    }

    /// Sends a frame. Its permit says that the queue has room.
    fn send(&self, frame: StageFrame, body: Vec<u8>, permit: FramePermit) {
        // A link that broke has told the coordinator; the epoch is about to end.
        if let Some(out) = &self.out {
            drop(out.try_send(Outgoing { frame, body, _permit: permit }));
        }
    }
}

/// The frame of a step of this batch, with the sets of allowed tokens that came with it.
fn step_frame(step: Step, rows: Vec<u8>, batch: &[Work]) -> (StageFrame, Vec<u8>) {
    if batch.iter().all(|work| work.allowed.is_empty()) {
        return (StageFrame::Step(step), rows);
    }
    let allowed = |span: &Span| {
        let work = batch.iter().find(|work| work.session == span.session && span.want.is_some());
        work.map_or(&[][..], |work| work.allowed.as_slice())
    };
    let sets: Vec<&[u8]> = step.spans.iter().map(allowed).collect();
    let (constrained, body) = ConstrainedStep::new(step, rows, sets);
    (StageFrame::ConstrainedStep(constrained), body)
}

fn candidate_bytes(row: &CandidateRow) -> usize {
    size_of::<CandidateRow>() + row.ids.len() * size_of::<u32>() + row.logits.len() * size_of::<f32>()
}
