//! Sessions of earlier epochs that go on where they were.

use super::{Session, Slot};
use crate::executor::convert::reuse_error;
use gogrid_limits::Reservation;
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
        let any = self.sessions.values().any(|session| session.retained);
        self.retained_until = any.then(|| Instant::now() + time);
    }

    /// When its sessions of earlier epochs are to be freed; `None` where there are none.
    pub(in crate::executor) fn retained_until(&self) -> Option<Instant> {
        self.retained_until
    }

    /// Frees the sessions of earlier epochs; false if there were none.
    pub(in crate::executor) fn forget_retained(&mut self) -> bool {
        self.retained_until = None;
        let retained = |(id, session): (&SessionId, &Session)| session.retained.then_some(*id);
        let sessions: Vec<SessionId> = self.sessions.iter().filter_map(retained).collect();
        sessions.iter().for_each(|session| self.close(*session));
        !sessions.is_empty()
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
            let Some(tokens) = self.stage.cached(SessionKey(id.0)).filter(|_| session.retained) else { continue };
            let outputs = self.outputs.has(*id, tokens);
            retained.push(RetainedSession { session: *id, tokens: tokens as u32, outputs });
        }
        retained.truncate(MAX_RETAINED);
        retained
    }

    /// Takes over the KV cache of an earlier session, and its outputs where the next stage needs them.
    pub(super) fn reuse_kv(
        &mut self,
        session: SessionId,
        capacity: u32,
        reuse: KvReuse,
    ) -> Result<Reservation, SessionError> {
        let KvReuse { from, keep, emit } = reuse;
        let has_outputs = self.stage.has_head() || emit >= keep || self.outputs.has(from, keep as usize);
        let retained = self.sessions.get(&from).is_some_and(|earlier| earlier.retained);
        let (old, new) = (SessionKey(from.0), SessionKey(session.0));
        if !(retained && has_outputs) {
            return Err(SessionError::NotRetained);
        }
        self.stage.reuse(old, new, capacity as usize, keep as usize).map_err(|error| reuse_error(&error))?;
        self.outputs.carry_over(from, session, keep as usize);
        self.sessions.remove(&from).map(|earlier| earlier.kv).ok_or(SessionError::NotRetained)
    }
}
