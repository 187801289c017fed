//! Sessions that begin, and those of earlier epochs that go on where they were.

use super::{Session, Slot, session_error};
use gogrid_limits::{Account, Reservation};
use gogrid_model::SessionKey;
use gogrid_wire::{
    Epoch, SessionId,
    control::{MAX_RETAINED, RetainedSession, SessionError},
    stage::{KvReuse, Span, StageFrame, Step},
};
use std::time::{Duration, Instant};

/// Sessions of an epoch that is over are kept for this long: requests wait half of it for a new pipeline.
pub(super) const RETAIN_FOR: Duration = Duration::from_secs(60);
/// And for so long once the coordinator was told of them: their requests wait for nothing but the other stages' links.
const RETAIN_ONCE_REPORTED: Duration = Duration::from_secs(10);

impl Slot {
    pub(super) fn retain(&mut self, time: Duration) {
        let any = self.sessions.values().any(|session| session.retained);
        self.retained_until = any.then(|| Instant::now() + time);
    }

    /// Until when it has sessions of earlier epochs that must be let go then.
    pub(in crate::executor) fn retained_until(&self) -> Option<Instant> {
        self.retained_until
    }

    /// Lets the sessions of earlier epochs go; false if there were none.
    pub(in crate::executor) fn forget_retained(&mut self) -> bool {
        self.retained_until = None;
        let kept: Vec<_> = self.sessions.iter().filter(|(_, session)| session.retained).map(|(id, _)| *id).collect();
        kept.iter().for_each(|session| self.close(*session));
        !kept.is_empty()
    }

    /// Gives the outputs up that are there for a replay alone.
    pub(in crate::executor) fn forget_outputs(&mut self) {
        self.outputs.clear();
    }

    /// The sessions of earlier epochs that may go on; the coordinator is about to be told.
    pub(in crate::executor) fn retained(&mut self) -> Vec<RetainedSession> {
        self.retain(RETAIN_ONCE_REPORTED);
        let kept = self.sessions.iter().filter(|(_, session)| session.retained).filter_map(|(id, _)| {
            let tokens = self.stage.cached(SessionKey(id.0))?;
            let outputs = self.outputs.has(*id, tokens);
            Some(RetainedSession { session: *id, tokens: tokens as u32, outputs })
        });
        kept.take(MAX_RETAINED).collect()
    }

    pub(super) fn open(
        &mut self,
        session: SessionId,
        capacity: usize,
        resume: Option<KvReuse>,
    ) -> Result<(), SessionError> {
        let emit = resume.map_or(0, |resume| resume.emit);
        let kv = match resume {
            Some(resume) if resume.keep > 0 => self.reuse_kv(session, capacity, resume)?,
            _ => match self.reserve(session, capacity) {
                // Sessions that are here come before those that may never be asked for again.
                Err(SessionError::OutOfMemory { .. }) if self.forget_retained() => self.reserve(session, capacity)?,
                reserved => reserved?,
            },
        };
        self.sessions.insert(session, Session { kv, emit, retained: false });
        self.measure();
        Ok(())
    }

    fn reserve(&mut self, session: SessionId, capacity: usize) -> Result<Reservation, SessionError> {
        let key = SessionKey(session.0);
        self.stage.open(key, capacity).map_err(|error| session_error(&error))?;
        self.ledger.reserve(Account::Kv, self.stage.kv_bytes(capacity)).map_err(|over| {
            self.stage.close(key);
            SessionError::OutOfMemory { needed: over.needed, free: over.free, budget: over.limit }
        })
    }

    /// Takes over what is kept of an earlier session.
    fn reuse_kv(&mut self, session: SessionId, capacity: usize, resume: KvReuse) -> Result<Reservation, SessionError> {
        let KvReuse { from, keep, emit } = resume;
        let has_outputs = self.stage.has_head() || emit >= keep || self.outputs.has(from, keep as usize);
        let kept = self.sessions.get(&from).is_some_and(|earlier| earlier.retained) && has_outputs;
        if !kept || !self.stage.resume(SessionKey(from.0), SessionKey(session.0), capacity, keep as usize) {
            return Err(SessionError::NotRetained);
        }
        self.outputs.carry_over(from, session, keep as usize);
        self.sessions.remove(&from).map(|earlier| earlier.kv).ok_or(SessionError::NotRetained)
    }

    /// Sends the next stage what it needs of the outputs that were kept.
    pub(super) fn send_retained(&self, epoch: Epoch, session: SessionId, from: u32, to: u32) {
        for (at, rows, data) in self.outputs.pieces(session, from as usize, to as usize) {
            let tokens = (data.len() / rows.bytes()) as u32;
            let span = Span { session, position: at as u32, tokens, want: None };
            self.send(StageFrame::Step(Step { epoch, spans: vec![span], rows }), data.to_vec());
        }
    }
}
