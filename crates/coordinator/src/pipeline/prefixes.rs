//! Complete answers that the stages of a pipeline keep, with the KV memory that they hold.

use super::{FirstStageFrame, OpenSession, Pipeline};
use crate::prefix_cache::{CacheScope, Lookup, PrefixCache, PrefixHit};
use gogrid_wire::{
    Epoch, SessionId,
    stage::{KvReuse, StageFrame},
};
use std::sync::{MutexGuard, PoisonError, atomic::Ordering};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// Ends a session on every stage when it is dropped, unless the pipeline is lost.
pub(super) struct SessionEnd {
    epoch: Epoch,
    session: SessionId,
    lost: CancellationToken,
    /// Reserved for the session's `Close`; `None` if the pipeline's link is gone.
    slot: Option<mpsc::OwnedPermit<FirstStageFrame>>,
}

/// What an entry of the prefix cache holds.
pub(super) struct HeldResources {
    kv: OwnedSemaphorePermit,
    end: SessionEnd,
}

/// A prefix of a sequence that every stage has.
pub(crate) struct Prefix {
    found: PrefixHit,
    /// Of an entry whose state the stages hand over: to be dropped once the session that takes it over is open.
    _end: Option<SessionEnd>,
}

/// What a session leaves to the prefix cache.
pub(crate) struct Retention {
    pub(crate) scope: CacheScope,
    /// The tokens that every stage has taken in.
    pub(crate) tokens: Vec<u32>,
    /// The KV memory of the session.
    pub(crate) kv: OwnedSemaphorePermit,
}

impl SessionEnd {
    pub(super) fn new(
        pipeline: &Pipeline,
        session: SessionId,
        slot: Option<mpsc::OwnedPermit<FirstStageFrame>>,
    ) -> Self {
        Self { epoch: pipeline.epoch, session, lost: pipeline.lost.clone(), slot }
    }
}

impl Drop for SessionEnd {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take().filter(|_| !self.lost.is_cancelled()) {
            let frame = StageFrame::Close { epoch: self.epoch, session: self.session };
            drop(slot.send(FirstStageFrame { frame, body: Vec::new() }));
        }
    }
}

impl Prefix {
    /// Tokens that no stage computes.
    pub(crate) fn tokens(&self) -> usize {
        self.found.keep
    }

    pub(crate) fn session(&self) -> SessionId {
        self.found.session
    }
}

impl OpenSession {
    /// Ends the session with its answer complete: its stages keep the tokens for requests that begin with them, unless
    /// others need the memory.
    pub(crate) fn retain(mut self, Retention { scope, tokens, mut kv }: Retention) {
        let Some(end) = self.end.take() else { return };
        let pipeline = &self.pipeline;
        let needed = pipeline.kv_capacity.cost(tokens.len()).min(kv.num_permits());
        let keeps = pipeline.supports_prefix_cache
            && pipeline.open_for_sessions()
            && PrefixCache::<HeldResources>::takes(tokens.len())
            && pipeline.waiting.load(Ordering::Relaxed) == 0;
        let Some(kv) = keeps.then(|| kv.split(needed)).flatten() else { return };
        let frame = StageFrame::Retain { epoch: pipeline.epoch, session: self.id };
        // A queue that is full has no place for a frame that can be done without.
        if pipeline.first_stage.try_send(FirstStageFrame { frame, body: Vec::new() }).is_ok() {
            let evicted = pipeline.prefixes().insert(self.id, scope, tokens, HeldResources { kv, end });
            drop(evicted);
        }
    }
}

impl Pipeline {
    /// Reserves KV memory for a sequence of this many tokens, if nobody waits for it and it is free now, or held for
    /// complete answers alone. The beginning of the sequence comes with it if the stages have that.
    pub(crate) fn try_reserve(
        &self,
        tokens: usize,
        lookup: Option<Lookup<'_>>,
    ) -> Option<(OwnedSemaphorePermit, Option<Prefix>)> {
        let permits = self.permits_for(tokens);
        let mut prefixes = self.prefixes();
        let held: usize = prefixes.held().map(|held| held.kv.num_permits()).sum();
        if self.kv_free.available_permits() + held < permits as usize {
            return None;
        }
        let mut found = self.find_in(&prefixes, lookup);
        let mut kv = self.kv_free.clone().try_acquire_many_owned(permits).ok();
        while kv.is_none() {
            if let Some(evicted) = prefixes.evict_oldest(found.map(|found| found.session)) {
                drop(evicted);
            } else if let Some(PrefixHit { session, whole, .. }) = found
                && let Some(HeldResources { kv: mut held, end }) = prefixes.take(session)
            {
                // Only the matching entry is left. The stages hand it over, and its memory with it.
                let more = permits.saturating_sub(held.num_permits() as u32);
                if whole && let Ok(more) = self.kv_free.clone().try_acquire_many_owned(more) {
                    held.merge(more);
                    return Some((held, found.map(|found| Prefix { found, _end: Some(end) })));
                }
                found = None;
            } else {
                return None;
            }
            kv = self.kv_free.clone().try_acquire_many_owned(permits).ok();
        }
        let prefix = found.map(|found| {
            let end = if found.whole { prefixes.take(found.session).map(|held| held.end) } else { None };
            prefixes.touch(found.session);
            Prefix { found, _end: end }
        });
        Some((kv?, prefix))
    }

    /// The length of the sequence's prefix that the stages have.
    pub(crate) fn has_of(&self, lookup: Lookup<'_>) -> usize {
        self.find_in(&self.prefixes(), Some(lookup)).map_or(0, |found| found.keep)
    }

    fn find_in(&self, prefixes: &PrefixCache<HeldResources>, lookup: Option<Lookup<'_>>) -> Option<PrefixHit> {
        prefixes.find(lookup?, |length, most| self.kv_capacity.shared_position(length, most))
    }

    /// What each stage reuses of a prefix.
    pub(crate) fn reuse_prefix(&self, prefix: &Prefix) -> Vec<KvReuse> {
        let PrefixHit { session: from, keep, .. } = prefix.found;
        let keep = keep as u32;
        vec![KvReuse { from, keep, emit: keep }; self.kv_capacity.stages()]
    }

    /// Closes a complete answer that a stage no longer has, if it is one.
    pub(crate) fn forget_prefix(&self, session: SessionId) {
        let held = self.prefixes().take(session);
        drop(held);
    }

    pub(super) fn expire_prefixes(&self) {
        self.prefixes().expire();
    }

    /// Closes all complete answers.
    pub(crate) fn forget_prefixes(&self) {
        self.prefixes().clear();
    }

    fn prefixes(&self) -> MutexGuard<'_, PrefixCache<HeldResources>> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
