//! One epoch's pipeline as the router sees it: tokens go in at the first stage, candidates come back from the last.
//!
//! Its queues are bounded. The frames for the first stage hold three slots for each session there may be, and a session
//! reserves the slot of its last frame, `Close`, before it sends its first one: so a session can always be closed
//! without waiting, also while the link is blocked; a complete answer that stages keep ([`prefixes`]) still has that
//! slot. A session's replies hold [`REPLIES`].

mod prefixes;
mod sessions;
#[cfg(test)]
mod tests;

use crate::{
    fleet::Activity,
    kv_capacity::KvCapacity,
    kv_reuse::RetainedKv,
    prefix_cache::{MAX_ENTRIES, PrefixCache},
};
use gogrid_link::{FrameReceiver, FrameSender, LinkError};
use gogrid_model::Candidates;
use gogrid_wire::{
    Epoch, SessionId,
    control::SessionError,
    stage::{ConstrainedStep, KvReuse, Rows, Span, StageFrame, Step, Want},
};
use prefixes::{HeldResources, SessionEnd};
pub(crate) use prefixes::{Prefix, Retention};
use sessions::Sessions;
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Frames of one session that may wait for the first stage's link: its open, its step under way, and its close.
const FRAMES_PER_SESSION: usize = 3;
/// Replies that may wait for a session: one step is under way at a time, and a stage may report a failure besides. More
/// than that breaks the protocol, and is dropped.
const REPLIES: usize = 4;
/// How often complete answers that nobody goes on from are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(30);
/// A new token time counts for an eighth of the moving average: a pipeline that got slow shows it within about ten
/// tokens, and a single late token does not.
const EWMA_DIVISOR: u64 = 8;

/// Whether a pipeline takes sessions, and what happens to those that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PipelineHealth {
    /// It takes sessions.
    Open,
    /// The owner of one of its machines needs the machine: no new sessions, and its sessions move if they can.
    Stopped,
    /// As [`Stopped`](Self::Stopped), and the pipeline ends with its last session.
    Leaving,
    /// One of its machines does not compute, or is silent: sessions move if they can, without waiting for their token.
    Stalled,
}

impl PipelineHealth {
    const ALL: [Self; 4] = [Self::Open, Self::Stopped, Self::Leaving, Self::Stalled];
}

/// What comes back for a session.
#[derive(Debug)]
pub(crate) enum SessionReply {
    /// Candidates for the token at this position.
    Candidates { position: u32, candidates: Candidates },
    /// A stage gave the session up.
    Failed(SessionError),
}

/// A frame for the first stage.
#[derive(Debug)]
pub(crate) struct FirstStageFrame {
    pub(crate) frame: StageFrame,
    pub(crate) body: Vec<u8>,
}

/// One epoch of one model.
pub(crate) struct Pipeline {
    pub(crate) epoch: Epoch,
    /// KV capacity of the pipeline.
    pub(crate) kv_capacity: KvCapacity,
    /// The permits of `kv_capacity` that are free. A session reserves its greatest length before it starts.
    pub(crate) kv_free: Arc<Semaphore>,
    /// Whether every stage knows constrained answers.
    pub(crate) constrains: bool,
    /// Cancelled when one of its machines is lost; its sessions then go elsewhere.
    pub(crate) lost: CancellationToken,
    /// A [`PipelineHealth`] as a number, written by the fleet's task alone.
    health: AtomicU8,
    /// What a token is predicted to take.
    predicted: Duration,
    /// Moving average, in nanoseconds, of the time from sending a token to the next one's candidates; 0 before the
    /// first.
    token_time: AtomicU64,
    sessions: Mutex<Sessions>,
    next_session: AtomicU32,
    /// What its stages retain of earlier epochs' sessions; set when all stages are linked.
    retained: OnceLock<RetainedKv>,
    /// Whether its stages keep complete answers for requests that begin with them, and those that they keep.
    supports_prefix_cache: bool,
    prefixes: Mutex<PrefixCache<HeldResources>>,
    /// Requests that wait for KV memory: nothing is kept before they have it.
    waiting: AtomicUsize,
    first_stage: mpsc::Sender<FirstStageFrame>,
}

impl Pipeline {
    /// A pipeline that has at most `max_sessions` sessions at once and is predicted to take `predicted` for a token, and
    /// the queue that the first stage's link empties. `supports_prefix_cache`: all its workers understand
    /// [`StageFrame::Retain`].
    pub(crate) fn new(
        epoch: Epoch,
        kv_capacity: KvCapacity,
        max_sessions: usize,
        predicted: Duration,
        supports_prefix_cache: bool,
        constrains: bool,
    ) -> (Arc<Self>, mpsc::Receiver<FirstStageFrame>) {
        let entries = if supports_prefix_cache { MAX_ENTRIES } else { 0 };
        let (first_stage, frames) = mpsc::channel(max_sessions.max(1) * FRAMES_PER_SESSION + entries);
        let this = Self {
            epoch,
            kv_free: Arc::new(Semaphore::new(kv_capacity.permits())),
            kv_capacity,
            constrains,
            lost: CancellationToken::new(),
            health: AtomicU8::new(PipelineHealth::Open as u8),
            predicted,
            token_time: AtomicU64::new(0),
            sessions: Mutex::new(Sessions::new()),
            next_session: AtomicU32::new(1),
            retained: OnceLock::new(),
            supports_prefix_cache,
            prefixes: Mutex::new(PrefixCache::new()),
            waiting: AtomicUsize::new(0),
            first_stage,
        };
        (Arc::new(this), frames)
    }

    /// Sessions in flight.
    pub(crate) fn sessions(&self) -> usize {
        self.lock().count()
    }

    /// What it does.
    pub(crate) fn activity(&self) -> Activity {
        let token_time = Duration::from_nanos(self.token_time.load(Ordering::Relaxed));
        let sessions = self.lock();
        Activity { sessions: sessions.count(), rows: sessions.rows, replies: sessions.replies, token_time }
    }

    pub(crate) fn health(&self) -> PipelineHealth {
        let stored = self.health.load(Ordering::Relaxed);
        let health = PipelineHealth::ALL.into_iter().find(|health| *health as u8 == stored);
        health.unwrap_or(PipelineHealth::Stalled)
    }

    /// Sets the health; returns whether it changed. Waiting requests hear of it with the next routes.
    pub(crate) fn set_health(&self, health: PipelineHealth) -> bool {
        self.health.swap(health as u8, Ordering::Relaxed) != health as u8
    }

    /// Whether new sessions may start.
    pub(crate) fn open_for_sessions(&self) -> bool {
        self.health() == PipelineHealth::Open && !self.lost.is_cancelled()
    }

    /// Reserves KV memory for a sequence of this many tokens as soon as it is free. Cancel-safe.
    pub(crate) async fn reserve_kv(&self, tokens: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let _waits = Waits::new(&self.waiting);
        self.kv_free.clone().acquire_many_owned(self.permits_for(tokens)).await
    }

    /// Whether KV memory for a sequence of this many tokens is free now.
    pub(crate) fn has_kv(&self, tokens: usize) -> bool {
        self.kv_free.available_permits() >= self.kv_capacity.cost(tokens)
    }

    fn permits_for(&self, tokens: usize) -> u32 {
        u32::try_from(self.kv_capacity.cost(tokens)).unwrap_or(u32::MAX)
    }

    /// Adds one token's time to the moving average.
    pub(crate) fn record_token_time(&self, time: Duration) {
        let new = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = self.token_time.load(Ordering::Relaxed);
        let average = if old == 0 { new } else { old - old / EWMA_DIVISOR + new / EWMA_DIVISOR };
        // If two sessions store at once, one measurement is lost, which does not matter.
        self.token_time.store(average, Ordering::Relaxed);
    }

    /// How long a token of one more session may take, in nanoseconds: the measured token time, times the sessions.
    /// Sessions share steps, so this is too high, but for all pipelines alike. Before it is measured, the plan's
    /// prediction counts. A pipeline that has owed an answer for longer than that counts as that slow.
    pub(crate) fn predicted_token_time(&self) -> u64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let measured = Some(self.token_time.load(Ordering::Relaxed)).filter(|measured| *measured > 0);
        let sessions = self.lock();
        let token_time = measured.unwrap_or_else(|| nanos(self.predicted)).max(nanos(sessions.owed_for())).max(1);
        token_time.saturating_mul(sessions.count() as u64 + 1)
    }

    /// Sets what the stages retain of earlier epochs' sessions, once, when all of them are linked.
    pub(crate) fn set_retained(&self, retained: RetainedKv) {
        drop(self.retained.set(retained));
    }

    /// What each stage reuses of a session of an earlier epoch that has `length` tokens; empty if it starts from
    /// nothing.
    pub(crate) fn plan_reuse(&self, session: SessionId, length: usize) -> Vec<KvReuse> {
        let sizes = |stage| self.kv_capacity.sizes(stage);
        self.retained.get().map_or_else(Vec::new, |retained| retained.plan_reuse(session, length, sizes))
    }

    /// Starts a session of at most `capacity` tokens on every stage. Cancel-safe.
    pub(crate) async fn open(self: &Arc<Self>, capacity: u32, reuse: Vec<KvReuse>) -> OpenSession {
        let close_slot = self.first_stage.clone().reserve_owned().await.ok();
        let (sender, replies) = mpsc::channel(REPLIES);
        let id = SessionId::new(self.epoch, self.next_session.fetch_add(1, Ordering::Relaxed));
        self.lock().open(id, sender);
        let end = Some(SessionEnd::new(self, id, close_slot));
        let session = OpenSession { pipeline: self.clone(), id, replies, end };
        session.send(StageFrame::Open { epoch: self.epoch, session: id, capacity, reuse }, Vec::new()).await;
        session
    }

    /// Hands a session what came back for it; does nothing if the session is over.
    pub(crate) fn deliver(&self, session: SessionId, reply: SessionReply) {
        if matches!(reply, SessionReply::Failed(_)) {
            self.forget_prefix(session);
        }
        if let Some(replies) = self.lock().answered(session)
            && replies.try_send(reply).is_err()
        {
            tracing::warn!(epoch = %self.epoch, %session, "more replies than steps; dropped");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties the queue into the first stage's link, until the pipeline is lost or the link breaks.
    pub(crate) async fn feed(
        &self,
        mut sender: FrameSender,
        frames: &mut mpsc::Receiver<FirstStageFrame>,
    ) -> Result<(), LinkError> {
        let mut expiry = tokio::time::interval(EXPIRE_EVERY);
        loop {
            let next = tokio::select! {
                biased;
                () = self.lost.cancelled() => return Ok(()),
                next = frames.recv() => next,
                _ = expiry.tick() => {
                    self.expire_prefixes();
                    continue;
                }
            };
            let Some(FirstStageFrame { frame, body }) = next else { return Ok(()) };
            // A send to a first stage that reads nothing ends only with the epoch. A frame that is then half sent does
            // no harm, since the link ends with the epoch.
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return Ok(()),
                sent = sender.send(&frame, &body) => sent?,
            }
        }
    }

    /// Hands the last stage's candidates to their sessions until the link breaks.
    pub(crate) async fn collect(&self, mut receiver: FrameReceiver) -> LinkError {
        loop {
            match receiver.recv::<StageFrame>().await.map(|frame| frame.message) {
                Ok(StageFrame::Candidates { epoch, rows }) if epoch == self.epoch => {
                    for row in rows {
                        let candidates = Candidates { ids: row.ids, logits: row.logits, log_sum_exp: row.log_sum_exp };
                        self.deliver(row.session, SessionReply::Candidates { position: row.position, candidates });
                    }
                }
                Ok(frame) => tracing::warn!(epoch = %self.epoch, got = %frame.epoch(), "unexpected frame; refused"),
                Err(error) => return error,
            }
        }
    }
}

/// Counts one that waits, for as long as it does.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session on every stage of a pipeline. Dropping it frees what the stages hold of it, unless the pipeline is lost:
/// then they retain it for a while.
pub(crate) struct OpenSession {
    pipeline: Arc<Pipeline>,
    id: SessionId,
    replies: mpsc::Receiver<SessionReply>,
    /// `None` once it is over.
    end: Option<SessionEnd>,
}

impl OpenSession {
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Sends token ids, the first of which has `position`, and asks for candidates after the last. `rows` is the most
    /// that a stage computes for them: more than the tokens where a later stage has less of the session than the first.
    /// `allowed`: the tokens that may come next as a `TokenSet`'s bytes; empty where all may.
    pub(crate) async fn step(&self, position: u32, tokens: &[u32], rows: usize, want: Want, allowed: &[u8]) {
        let span = Span { session: self.id, position, tokens: tokens.len() as u32, want: Some(want) };
        let step = Step { epoch: self.pipeline.epoch, spans: vec![span], rows: Rows::Tokens };
        self.pipeline.lock().sends(self.id, rows);
        let body = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        if allowed.is_empty() {
            return self.send(StageFrame::Step(step), body).await;
        }
        let (step, body) = ConstrainedStep::new(step, body, [allowed]);
        self.send(StageFrame::ConstrainedStep(step), body).await;
    }

    /// What comes back next. Cancel-safe.
    pub(crate) async fn reply(&mut self) -> Option<SessionReply> {
        self.replies.recv().await
    }

    async fn send(&self, frame: StageFrame, body: Vec<u8>) {
        // Fails only if the pipeline is lost, which the session sees itself.
        drop(self.pipeline.first_stage.send(FirstStageFrame { frame, body }).await);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.pipeline.lock().close(self.id);
    }
}
