//! Sessions that others go on from: those of earlier epochs, and those whose answers are complete.

use super::{Phase, Session, SessionFailures, Slot};
use crate::executor::convert::{over_limit, reuse_error};
use gogrid_limits::{Account, Reservation};
use gogrid_model::SessionKey;
use gogrid_wire::{
    SessionId,
    control::{MAX_RETAINED, RetainedSession, SessionError},
    stage::KvReuse,
};
use std::time::{Duration, Instant};

/// Sessions of an epoch that is over are retained for this long: requests wait half of it for a new pipeline.
pub(super) const RETAIN_FOR: Duration = Duration::from_secs(60);
/// And for this long once the coordinator was told of them: their requests wait for nothing but the other stages' links.
const RETAIN_ONCE_REPORTED: Duration = Duration::from_secs(10);

impl Slot {
    pub(super) fn retain(&mut self, time: Duration) {
        let any = self.sessions.values().any(|session| session.phase == Phase::Retained);
        self.retained_until = any.then(|| Instant::now() + time);
    }

    /// When its sessions of earlier epochs are to be freed; `None` where there are none.
    pub(in crate::executor) fn retained_until(&self) -> Option<Instant> {
        self.retained_until
    }

    /// Frees the sessions of earlier epochs; false if there were none.
    pub(in crate::executor) fn forget_retained(&mut self) -> bool {
        self.retained_until = None;
        let sessions = self.in_phase(Phase::Retained);
        sessions.iter().for_each(|session| self.close(*session));
        !sessions.is_empty()
    }

    fn in_phase(&self, phase: Phase) -> Vec<SessionId> {
        let of = |(id, session): (&SessionId, &Session)| (session.phase == phase).then_some(*id);
        self.sessions.iter().filter_map(of).collect()
    }

    /// Keeps the state of a session whose answer is complete, without what it reserved for further tokens.
    pub(super) fn retain_prefix(&mut self, session: SessionId) {
        let key = SessionKey(session.0);
        let Some(tokens) = self.stage.cached(key) else { return };
        if let Err(error) = self.stage.trim(key) {
            tracing::warn!(%session, %error, "the state of a complete answer is not kept");
            return self.close(session);
        }
        let bytes = self.stage.kv_bytes(tokens);
        if let Some(held) = self.sessions.get_mut(&session) {
            held.kv.shrink_to(bytes);
            (held.capacity, held.phase) = (tokens as u32, Phase::Cached);
        }
        self.outputs.complete(session);
        self.measure();
    }

    /// Frees what complete answers hold, so that the memory is there for others; the coordinator is told.
    pub(in crate::executor) fn forget_prefixes(&mut self) -> SessionFailures {
        let sessions = self.in_phase(Phase::Cached);
        sessions.iter().for_each(|session| self.close(*session));
        sessions.into_iter().map(|session| (session, SessionError::NotRetained)).collect()
    }

    /// Frees the outputs that are there for a replay alone.
    pub(in crate::executor) fn forget_outputs(&mut self) {
        self.outputs.clear();
    }

    /// The sessions of earlier epochs that may go on; the coordinator is about to be told.
    pub(in crate::executor) fn retained(&mut self) -> Vec<RetainedSession> {
        self.retain(RETAIN_ONCE_REPORTED);
        let mut retained = Vec::new();
        for (id, session) in &self.sessions {
            let Some(tokens) = self.stage.cached(SessionKey(id.0)).filter(|_| session.phase == Phase::Retained) else {
                continue;
            };
            let outputs = self.outputs.has(*id, tokens);
            retained.push(RetainedSession { session: *id, tokens: tokens as u32, outputs });
        }
        retained.truncate(MAX_RETAINED);
        retained
    }

    /// Takes over the KV cache of another session, and its outputs where the next stage needs them. Of a complete answer
    /// that the session does not wholly begin with, the cache is copied.
    pub(super) fn reuse_kv(
        &mut self,
        session: SessionId,
        capacity: u32,
        reuse: KvReuse,
    ) -> Result<Reservation, SessionError> {
        let KvReuse { from, keep, emit } = reuse;
        let has_outputs = self.stage.has_head() || emit >= keep || self.outputs.has(from, keep as usize);
        let phase = self.sessions.get(&from).map(|source| source.phase).filter(|phase| *phase != Phase::Serving);
        let (Some(phase), true) = (phase, has_outputs) else { return Err(SessionError::NotRetained) };
        let (old, new) = (SessionKey(from.0), SessionKey(session.0));
        let (capacity, keep) = (capacity as usize, keep as usize);
        if phase == Phase::Cached && self.stage.cached(old).is_some_and(|tokens| keep < tokens) {
            let reserved = self.ledger.reserve(Account::Kv, self.stage.kv_bytes(capacity)).map_err(over_limit)?;
            self.stage.fork(old, new, capacity, keep).map_err(|error| reuse_error(&error))?;
            self.outputs.copy(from, session, keep);
            return Ok(reserved);
        }
        let Some(mut source) = self.sessions.remove(&from) else { return Err(SessionError::NotRetained) };
        let more = self.stage.kv_bytes(capacity).saturating_sub(source.kv.bytes());
        let taken = source
            .kv
            .grow(more)
            .map_err(over_limit)
            .and_then(|()| self.stage.reuse(old, new, capacity, keep).map_err(|error| reuse_error(&error)));
        if let Err(error) = taken {
            // Nobody can go on from it now: it is over.
            self.sessions.insert(from, source);
            self.close(from);
            return Err(error);
        }
        self.outputs.carry_over(from, session, keep);
        Ok(source.kv)
    }
}
