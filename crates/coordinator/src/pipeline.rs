//! A pipeline in service, as the router sees it: tokens go in at the first stage, candidates come back from the last.

use crate::resume::Kept;
use gogrid_link::{FrameReceiver, FrameSender, LinkError};
use gogrid_model::Candidates;
use gogrid_wire::{
    Epoch, SessionId,
    control::SessionError,
    stage::{KvReuse, Rows, Span, StageFrame, Step, Want},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio_util::sync::CancellationToken;

/// Frames that may wait for the first stage's link: two for each session at most, its step and its close.
const TO_FIRST: usize = 1024;
/// Answers that may wait for a session: one step is under way at a time, and it may fail beside.
const PER_SESSION: usize = 4;
/// A new measurement of a token's time counts for an eighth: a pipeline that got slow shows it within some ten tokens,
/// and one late token does not.
const PACE_WEIGHT: u64 = 8;

/// Whether a pipeline takes sessions, and what becomes of those that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// It takes sessions.
    Open,
    /// An owner wants their machine for themselves soon: no new sessions, and those there are move where they can.
    Stopped,
    /// As [`Stopped`](Self::Stopped), and the pipeline ends with its last session.
    Leaving,
    /// A machine of it does not compute, or is silent: sessions move where they can without waiting for their token.
    Stalled,
}

/// What comes back for a session.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Candidates for the token at this position.
    Candidates { position: u32, candidates: Candidates },
    /// A stage gave the session up.
    Failed(SessionError),
}

/// A frame for the first stage.
#[derive(Debug)]
pub(crate) struct ToFirst {
    pub(crate) frame: StageFrame,
    pub(crate) body: Vec<u8>,
}

/// One epoch of one model.
pub(crate) struct Pipeline {
    pub(crate) epoch: Epoch,
    /// Tokens of KV memory that every stage has, all sessions together.
    pub(crate) capacity: usize,
    /// What is left of `capacity`; a session takes its longest length before it starts.
    pub(crate) room: Arc<Semaphore>,
    /// Cancelled when a machine of it is lost; sessions go elsewhere.
    pub(crate) lost: CancellationToken,
    /// A [`Standing`]; the fleet's task alone writes it.
    standing: AtomicU8,
    /// Nanoseconds from a token's way in to the next one's candidates, smoothed; 0 before the first.
    pace: AtomicU64,
    sessions: Mutex<HashMap<SessionId, mpsc::Sender<Answer>>>,
    next_session: AtomicU32,
    /// What its stages have of earlier epochs' sessions, once they are all there.
    kept: OnceLock<Kept>,
    to_first: mpsc::Sender<ToFirst>,
}

impl Pipeline {
    /// A pipeline, and the queue that the first stage's link empties.
    pub(crate) fn new(epoch: Epoch, capacity: usize) -> (Arc<Self>, mpsc::Receiver<ToFirst>) {
        let (to_first, frames) = mpsc::channel(TO_FIRST);
        let capacity = capacity.min(Semaphore::MAX_PERMITS);
        let this = Self {
            epoch,
            capacity,
            room: Arc::new(Semaphore::new(capacity)),
            lost: CancellationToken::new(),
            standing: AtomicU8::new(Standing::Open as u8),
            pace: AtomicU64::new(0),
            sessions: Mutex::default(),
            next_session: AtomicU32::new(1),
            kept: OnceLock::new(),
            to_first,
        };
        (Arc::new(this), frames)
    }

    /// Sessions in flight.
    pub(crate) fn sessions(&self) -> usize {
        self.lock().len()
    }

    /// Whether it takes sessions.
    pub(crate) fn standing(&self) -> Standing {
        let standings = [Standing::Open, Standing::Stopped, Standing::Leaving, Standing::Stalled];
        let at = self.standing.load(Ordering::Relaxed);
        standings.into_iter().find(|standing| *standing as u8 == at).unwrap_or(Standing::Stalled)
    }

    /// Changes whether it takes sessions; true if that was news. Who waits hears of it with the next routes.
    pub(crate) fn set_standing(&self, standing: Standing) -> bool {
        self.standing.swap(standing as u8, Ordering::Relaxed) != standing as u8
    }

    /// Whether new sessions may start.
    pub(crate) fn open_for_sessions(&self) -> bool {
        self.standing() == Standing::Open && !self.lost.is_cancelled()
    }

    /// Room for a session's longest length, if it is free now and nobody waits for it.
    pub(crate) fn try_room(&self, tokens: usize) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.room.clone().try_acquire_many_owned(u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    /// Writes down how long one token took.
    pub(crate) fn took(&self, token: Duration) {
        let new = u64::try_from(token.as_nanos()).unwrap_or(u64::MAX).max(1);
        let smooth = |old: u64| if old == 0 { new } else { old - old / PACE_WEIGHT + new / PACE_WEIGHT };
        // Two at once may lose one of the two measurements, which is no loss.
        self.pace.store(smooth(self.pace.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// How long a token of one more session may take, in nanoseconds: the measured time of a token, for every session.
    /// Sessions share steps, so that it is too much for all, but in the same way; one that has not been tried counts as
    /// the fastest.
    pub(crate) fn predicted(&self) -> u64 {
        self.pace.load(Ordering::Relaxed).max(1).saturating_mul(self.sessions() as u64 + 1)
    }

    /// Every stage is there, with so much of earlier epochs' sessions. Said once.
    pub(crate) fn set_kept(&self, kept: Kept) {
        drop(self.kept.set(kept));
    }

    /// How its stages go on with a session of an earlier epoch that has so many tokens; empty where it begins anew.
    pub(crate) fn resume(&self, session: SessionId, length: usize) -> Vec<KvReuse> {
        self.kept.get().map_or_else(Vec::new, |kept| kept.resume(session, length))
    }

    /// Starts a session of at most `capacity` tokens on every stage. Cancel-safe.
    pub(crate) async fn open(self: &Arc<Self>, capacity: u32, resume: Vec<KvReuse>) -> OpenSession {
        let (answers, receiver) = mpsc::channel(PER_SESSION);
        let id = SessionId::new(self.epoch, self.next_session.fetch_add(1, Ordering::Relaxed));
        self.lock().insert(id, answers);
        let session = OpenSession { pipeline: self.clone(), id, answers: receiver };
        session.send(StageFrame::Open { epoch: self.epoch, session: id, capacity, reuse: resume }, Vec::new()).await;
        session
    }

    /// Tells a session what came back; one that is over is not there any more.
    pub(crate) fn answer(&self, session: SessionId, answer: Answer) {
        if let Some(answers) = self.lock().get(&session)
            && answers.try_send(answer).is_err()
        {
            tracing::warn!(epoch = %self.epoch, %session, "more answers than questions; dropped");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, mpsc::Sender<Answer>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties the queue into the first stage's link, until the pipeline is lost or the link breaks.
    pub(crate) async fn feed(
        &self,
        mut sender: FrameSender,
        frames: &mut mpsc::Receiver<ToFirst>,
    ) -> Result<(), LinkError> {
        loop {
            let next = tokio::select! {
                biased;
                () = self.lost.cancelled() => return Ok(()),
                next = frames.recv() => next,
            };
            let Some(ToFirst { frame, body }) = next else { return Ok(()) };
            // A first stage that is silent takes no more than fits the link. Half a frame is no matter then: the epoch
            // is over, and the link ends with it.
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
                        self.answer(row.session, Answer::Candidates { position: row.position, candidates });
                    }
                }
                Ok(frame) => tracing::warn!(epoch = %self.epoch, got = %frame.epoch(), "frame out of place; refused"),
                Err(error) => return error,
            }
        }
    }
}

/// A session on every stage of a pipeline; dropping it frees what they hold, unless the pipeline is lost: then they keep
/// it for a while.
pub(crate) struct OpenSession {
    pipeline: Arc<Pipeline>,
    id: SessionId,
    answers: mpsc::Receiver<Answer>,
}

impl OpenSession {
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Sends token ids, the first of which has `position`, and asks for candidates after the last.
    pub(crate) async fn step(&self, position: u32, tokens: &[u32], want: Want) {
        let span = Span { session: self.id, position, tokens: tokens.len() as u32, want: Some(want) };
        let step = Step { epoch: self.pipeline.epoch, spans: vec![span], rows: Rows::Tokens };
        let body = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        self.send(StageFrame::Step(step), body).await;
    }

    /// What comes back next. Cancel-safe.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    async fn send(&self, frame: StageFrame, body: Vec<u8>) {
        // Nobody takes frames any more when the pipeline is lost, which the session hears of itself.
        drop(self.pipeline.to_first.send(ToFirst { frame, body }).await);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.pipeline.lock().remove(&self.id);
        if self.pipeline.lost.is_cancelled() {
            return;
        }
        let close =
            ToFirst { frame: StageFrame::Close { epoch: self.pipeline.epoch, session: self.id }, body: Vec::new() };
        if let Err(mpsc::error::TrySendError::Full(close)) = self.pipeline.to_first.try_send(close) {
            let to_first = self.pipeline.to_first.clone();
            tokio::spawn(async move { to_first.send(close).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_link::{MemoryNet, Protocol};
    use gogrid_wire::{PeerAddr, PeerId, stage::CandidateRow};

    fn candidates(epoch: Epoch, session: SessionId, position: u32) -> StageFrame {
        let row = CandidateRow { session, position, ids: vec![5], logits: vec![1.0], log_sum_exp: 1.0 };
        StageFrame::Candidates { epoch, rows: vec![row] }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_stage_that_takes_nothing_holds_nobody_when_the_epoch_is_over() {
        let net = MemoryNet::default();
        let (worker, coordinator) = (net.join(PeerId([1; 32])), net.join(PeerId([2; 32])));
        let addr = PeerAddr { id: coordinator.id(), addrs: Vec::new() };
        let _silent = worker.dial(&addr, Protocol::Stage).await.expect("dialed");
        let link = coordinator.accept().await.expect("accepted");

        let (pipeline, mut frames) = Pipeline::new(Epoch(7), 10_000_000);
        let session = pipeline.open(1_000_000, Vec::new()).await;
        let more_than_the_link_holds = vec![1; 1 << 20];
        session.step(0, &more_than_the_link_holds, Want { top: 1, also: Vec::new() }).await;
        let feeding = pipeline.feed(link.sender, &mut frames);
        tokio::pin!(feeding);
        let wait = Duration::from_secs(60);
        assert!(tokio::time::timeout(wait, &mut feeding).await.is_err(), "the link is full");
        pipeline.lost.cancel();
        assert!(tokio::time::timeout(wait, feeding).await.expect("at once").is_ok());
    }

    #[tokio::test]
    async fn candidates_of_another_epoch_or_session_reach_nobody() {
        let net = MemoryNet::default();
        let (worker, coordinator) = (net.join(PeerId([1; 32])), net.join(PeerId([2; 32])));
        let addr = PeerAddr { id: coordinator.id(), addrs: Vec::new() };
        let mut last_stage = worker.dial(&addr, Protocol::Stage).await.expect("dialed");
        let link = coordinator.accept().await.expect("accepted");

        let (pipeline, _frames) = Pipeline::new(Epoch(7), 100);
        let mut session = pipeline.open(10, Vec::new()).await;
        let id = session.id;
        for frame in [
            candidates(Epoch(6), id, 1),
            candidates(Epoch(8), id, 2),
            candidates(Epoch(7), SessionId(99), 3),
            candidates(Epoch(7), id, 4),
        ] {
            last_stage.sender.send(&frame, &[]).await.expect("sent");
        }
        last_stage.sender.finish().await.expect("finished");
        let gogrid_link::Link { receiver, .. } = link;
        assert!(matches!(pipeline.collect(receiver).await, LinkError::Closed(_)));
        let Some(Answer::Candidates { position, .. }) = session.answer().await else { panic!("an answer came") };
        assert_eq!(position, 4);
        assert!(session.answers.try_recv().is_err(), "and nothing else");
    }
}
