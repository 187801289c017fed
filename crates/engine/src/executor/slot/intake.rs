//! Frames of the earlier stage, taken in one after another.

use super::{
    MAX_SESSIONS, Phase, Session, SessionFailures, Slot,
    emit::{ForwardPermit, Resend},
    out_step_bytes,
};
use crate::{
    executor::{
        command::Arrived,
        convert::{over_limit, session_error},
        gather::Ready,
    },
    frame_budget::{FramePermit, NotAdmitted},
    scheduler::Work,
};
use gogrid_limits::{Account, OverLimit, Reservation};
use gogrid_model::SessionKey;
use gogrid_wire::{
    SessionId,
    control::SessionError,
    frame::FrameError,
    stage::{ConstrainedStep, KvReuse, Span, StageFrame, Step},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

impl Slot {
    /// Takes in one frame, as soon as all before it are. Frames keep their order: what is forwarded at once follows what
    /// was sent before.
    pub(in crate::executor) fn receive(&mut self, arrived: Arrived) -> SessionFailures {
        self.arrived.push_back(arrived);
        self.pump()
    }

    /// Goes on with what waits, as far as the outgoing link has room.
    pub(in crate::executor) fn pump(&mut self) -> SessionFailures {
        let mut failed = Vec::new();
        loop {
            // What a session resends goes before the frames that came after its opening.
            let went = if let Some(resend) = self.resends.pop_front() {
                self.resend(resend, &mut failed)
            } else if let Some(arrived) = self.arrived.pop_front() {
                self.take(arrived, &mut failed)
            } else {
                break;
            };
            if !went {
                break;
            }
        }
        let blocked = !self.claim_output_permit() || !self.resends.is_empty() || !self.arrived.is_empty();
        self.gauge.blocked.store(blocked, Ordering::Relaxed);
        failed
    }

    /// Gets a permit for the output of the next batch; false where the batch has to wait for one.
    fn claim_output_permit(&mut self) -> bool {
        if self.running.is_some() {
            return true;
        }
        if self.scheduler.waiting() == 0 && self.alone.is_empty() {
            self.output_permit = None;
            return true;
        }
        if self.output_permit.is_none() {
            let most = out_step_bytes(&self.key, &self.stage, self.rows);
            // In an empty queue there is always room for this much.
            self.output_permit = self.outlet.try_admit(most).ok().flatten();
        }
        self.output_permit.is_some()
    }

    /// Whether there is something to compute now, or in a moment. A blocked stage has nothing to compute.
    pub(in crate::executor) fn work(&self, now: Instant) -> Ready {
        match (&self.running, &self.output_permit) {
            (Some(_), _) => Ready::Now,
            (None, None) => Ready::Nothing,
            (None, Some(_)) if !self.alone.is_empty() => Ready::Now,
            (None, Some(_)) => self.gather.ready(self.scheduler.waiting(), now),
        }
    }

    /// Takes in the frame whose turn it is; false where it has to wait for the outgoing link.
    fn take(&mut self, arrived: Arrived, failed: &mut SessionFailures) -> bool {
        let permit_out = match self.forward_permit(&arrived.frame) {
            Ok(ForwardPermit::Full) => {
                self.arrived.push_front(arrived);
                return false;
            }
            Ok(permit) => permit,
            Err(error) => {
                failed.extend(self.not_forwarded(&arrived.frame, error));
                return true;
            }
        };
        let Arrived { frame, body, permit } = arrived;
        match frame {
            StageFrame::Open { epoch, session, capacity, mut reuse } => {
                let own = if reuse.is_empty() { None } else { Some(reuse.remove(0)) };
                let mut opened = self.open(session, capacity, own);
                if matches!(opened, Err(SessionError::OutOfMemory { .. })) {
                    let forgotten = self.forget_prefixes();
                    if !forgotten.is_empty() {
                        failed.extend(forgotten);
                        opened = self.open(session, capacity, own);
                    }
                }
                if let Err(error) = opened {
                    failed.push((session, error));
                    return true;
                }
                self.forward(StageFrame::Open { epoch, session, capacity, reuse }, permit_out);
                if let Some(KvReuse { keep, emit, .. }) = own
                    && emit < keep
                    && !self.stage.has_head()
                {
                    self.resends.push_back(Resend { epoch, session, next: emit, end: keep });
                }
            }
            StageFrame::Close { session, .. } => {
                self.close_after_batch(session);
                self.forward(frame, permit_out);
            }
            StageFrame::Retain { session, .. } => {
                self.retain_prefix(session);
                self.forward(frame, permit_out);
            }
            StageFrame::Step(step) => match step.check_body(&body) {
                Ok(()) => self.queue(&step, &body, &[], permit, failed),
                Err(error) => bad_body(&step, &error, failed),
            },
            StageFrame::ConstrainedStep(constrained) => match constrained.split(&body) {
                Ok((rows, allowed)) => self.queue(&constrained.step, rows, &allowed, permit, failed),
                Err(error) => bad_body(&constrained.step, &error, failed),
            },
            StageFrame::Candidates { .. } => tracing::warn!("a stage received candidates; ignored"),
        }
        true
    }

    /// A permit for what is forwarded of a frame at once.
    fn forward_permit(&self, frame: &StageFrame) -> Result<ForwardPermit, OverLimit> {
        let reuse = match frame {
            _ if self.stage.has_head() => return Ok(ForwardPermit::NotNeeded),
            StageFrame::Step(_) | StageFrame::ConstrainedStep(_) | StageFrame::Candidates { .. } => {
                return Ok(ForwardPermit::NotNeeded);
            }
            StageFrame::Open { reuse, .. } => reuse.len(),
            StageFrame::Close { .. } | StageFrame::Retain { .. } => 0,
        };
        let bytes = size_of::<StageFrame>() + reuse * size_of::<KvReuse>();
        match self.outlet.try_admit(bytes as u64) {
            Ok(Some(permit)) => Ok(ForwardPermit::Held(permit)),
            // The budget is closed with the stage alone.
            Ok(None) | Err(NotAdmitted::Closed) => Ok(ForwardPermit::Full),
            Err(NotAdmitted::OverLimit(over)) => Err(over),
        }
    }

    /// A frame that the later stages will not see: its session is over here.
    fn not_forwarded(&mut self, frame: &StageFrame, error: OverLimit) -> SessionFailures {
        let failed = self.refuse(frame, error);
        if let StageFrame::Close { session, .. } | StageFrame::Retain { session, .. } = frame {
            self.close_after_batch(*session);
        }
        failed
    }

    /// A frame that there is no memory for: its sessions cannot go on here. The coordinator goes on with them later or
    /// elsewhere.
    pub(in crate::executor) fn refuse(&mut self, frame: &StageFrame, error: OverLimit) -> SessionFailures {
        let sessions = match frame {
            StageFrame::Step(step) | StageFrame::ConstrainedStep(ConstrainedStep { step, .. }) => {
                step.spans.iter().map(|span| span.session).collect()
            }
            StageFrame::Open { session, .. } => vec![*session],
            StageFrame::Close { .. } | StageFrame::Retain { .. } | StageFrame::Candidates { .. } => Vec::new(),
        };
        let failed = |session| (session, over_limit(error));
        for session in &sessions {
            self.close_after_batch(*session);
        }
        sessions.into_iter().map(failed).collect()
    }

    /// Opens a session, anew or with what is retained of an earlier one.
    fn open(&mut self, session: SessionId, capacity: u32, reuse: Option<KvReuse>) -> Result<(), SessionError> {
        let emit = reuse.map_or(0, |reuse| reuse.emit);
        let kv = match reuse {
            Some(reuse) if reuse.keep > 0 => self.reuse_kv(session, capacity, reuse)?,
            _ => match self.reserve(session, capacity) {
                // Sessions that are here come before those that may never be asked for again.
                Err(SessionError::OutOfMemory { .. }) if self.forget_retained() => self.reserve(session, capacity)?,
                reserved => reserved?,
            },
        };
        self.sessions.insert(session, Session { kv, capacity, emit, phase: Phase::Serving });
        self.measure();
        Ok(())
    }

    fn reserve(&mut self, session: SessionId, capacity: u32) -> Result<Reservation, SessionError> {
        let bytes = self.stage.kv_bytes(capacity as usize);
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(SessionError::OutOfMemory { needed: bytes, free: 0, budget: self.key.kv_budget });
        }
        // First: a GPU's caches are allocated as the session opens.
        let reserved = self.ledger.reserve(Account::Kv, bytes).map_err(over_limit)?;
        self.stage.open(SessionKey(session.0), capacity as usize).map_err(|error| session_error(&error))?;
        Ok(reserved)
    }

    /// Closes a session, or has it closed with the batch under way that it is part of.
    fn close_after_batch(&mut self, session: SessionId) {
        match &self.running {
            Some(running) if running.has(session) => {
                if !self.closing.contains(&session) {
                    self.closing.push(session);
                }
            }
            _ => self.close(session),
        }
    }

    /// Queues a step's rows, each span for its session, with its set of allowed tokens where it has one.
    fn queue(
        &mut self,
        step: &Step,
        body: &[u8],
        allowed: &[&[u8]],
        permit: FramePermit,
        failed: &mut SessionFailures,
    ) {
        let permit = Arc::new(permit);
        let mut at = 0;
        for (index, span) in step.spans.iter().enumerate() {
            let end = at + span.tokens as usize * step.rows.bytes();
            match self.check(span) {
                Ok(true) => self.scheduler.push(Work {
                    session: span.session,
                    position: span.position,
                    tokens: span.tokens,
                    rows: step.rows,
                    data: body[at..end].to_vec(),
                    want: span.want.clone(),
                    allowed: allowed.get(index).map_or_else(Vec::new, |set| set.to_vec()),
                    permit: Some(permit.clone()),
                }),
                Ok(false) => {}
                Err(error) => {
                    self.close_after_batch(span.session);
                    failed.push((span.session, error));
                }
            }
            at = end;
        }
    }

    /// Whether a span's session is here. One that is unknown failed or was closed before; its rows are of no use. One
    /// that has more rows waiting than it has positions is in error, or wants to take all of the stage's queue.
    fn check(&self, span: &Span) -> Result<bool, SessionError> {
        let Some(session) = self.sessions.get(&span.session).filter(|session| session.phase == Phase::Serving) else {
            return Ok(false);
        };
        let waiting = self.scheduler.rows(span.session) + u64::from(span.tokens);
        if waiting > u64::from(session.capacity) {
            let error = format!("{waiting} rows wait for it, and it has {} positions", session.capacity);
            return Err(SessionError::BadInput(error));
        }
        Ok(true)
    }
}

fn bad_body(step: &Step, error: &FrameError, failed: &mut SessionFailures) {
    let bad = |span: &Span| (span.session, SessionError::BadInput(error.to_string()));
    failed.extend(step.spans.iter().map(bad));
}
