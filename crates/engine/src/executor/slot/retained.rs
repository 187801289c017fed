//! Sessions that begin, and those of earlier epochs that go on where they were.

use super::{Session, Slot, session_error};
use gogrid_limits::{Account, Reservation};
use gogrid_model::SessionKey;
use gogrid_wire::{
    Epoch, SessionId,
    control::{RetainedSession, MAX_RETAINED, SessionError},
    stage::{KvReuse, Span, StageFrame, Step},
};
use std::time::{Duration, Instant};

/// Sessions of an epoch that is over are kept for this long: requests wait half of it for a new pipeline.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60);
/// And for so long once the coordinator was told of them: their requests wait for nothing but the other stages' links.
const KEPT_WHEN_TOLD: Duration = Duration::from_secs(10);

impl Slot {
    pub(super) fn keep(&mut self, time: Duration) {
        let any = self.sessions.values().any(|session| session.kept);
        self.kept_until = any.then(|| Instant::now() + time);
    }

    /// Until when it has sessions of earlier epochs that must be let go then.
    pub(in crate::executor) fn kept_until(&self) -> Option<Instant> {
        self.kept_until
    }

    /// Lets the sessions of earlier epochs go; false if there were none.
    pub(in crate::executor) fn forget_kept(&mut self) -> bool {
        self.kept_until = None;
        let kept: Vec<_> = self.sessions.iter().filter(|(_, session)| session.kept).map(|(id, _)| *id).collect();
        kept.iter().for_each(|session| self.close(*session));
        !kept.is_empty()
    }

    /// Gives the outputs up that are there for a replay alone.
    pub(in crate::executor) fn forget_outputs(&mut self) {
        self.outputs.clear();
    }

    /// The sessions of earlier epochs that may go on; the coordinator is about to be told.
    pub(in crate::executor) fn kept(&mut self) -> Vec<RetainedSession> {
        self.keep(KEPT_WHEN_TOLD);
        let kept = self.sessions.iter().filter(|(_, session)| session.kept).filter_map(|(id, _)| {
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
            Some(resume) if resume.keep > 0 => self.resume(session, capacity, resume)?,
            _ => match self.reserve(session, capacity) {
                // Sessions that are here come before those that may never be asked for again.
                Err(SessionError::OutOfMemory { .. }) if self.forget_kept() => self.reserve(session, capacity)?,
                reserved => reserved?,
            },
        };
        self.sessions.insert(session, Session { kv, emit, kept: false });
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
    fn resume(&mut self, session: SessionId, capacity: usize, resume: KvReuse) -> Result<Reservation, SessionError> {
        let KvReuse { from, keep, emit } = resume;
        let has_outputs = self.stage.has_head() || emit >= keep || self.outputs.has(from, keep as usize);
        let kept = self.sessions.get(&from).is_some_and(|earlier| earlier.kept) && has_outputs;
        if !kept || !self.stage.resume(SessionKey(from.0), SessionKey(session.0), capacity, keep as usize) {
            return Err(SessionError::NotRetained);
        }
        self.outputs.resume(from, session, keep as usize);
        self.sessions.remove(&from).map(|earlier| earlier.kv).ok_or(SessionError::NotRetained)
    }

    /// Sends the next stage what it needs of the outputs that were kept.
    pub(super) fn send_kept(&self, epoch: Epoch, session: SessionId, from: u32, to: u32) {
        for (at, rows, data) in self.outputs.pieces(session, from as usize, to as usize) {
            let tokens = (data.len() / rows.bytes()) as u32;
            let span = Span { session, position: at as u32, tokens, want: None };
            self.send(StageFrame::Step(Step { epoch, spans: vec![span], rows }), data.to_vec());
        }
    }
}
