use super::{
    Failure, Installed, Loaded, Outgoing, ServeOptions, StageKey,
    command::{Arrived, Command, Install, Shrink},
    core::Core,
    gauge::ExecutorGauge,
};
use crate::{
    frame_budget::{FrameBudget, FramePermit},
    ledgers::Ledgers,
    pace::{Pace, Paced},
    slices::Plan,
};
use gogrid_limits::OverLimit;
use gogrid_wire::{Epoch, control::RetainedSession, stage::StageFrame};
use std::{
    io,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, Thread},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait: between two slices a few come for each stage. Past this the links stop reading. Frames are
/// bounded by their stage's budget besides.
const INBOX: usize = 256;
/// Orders to free memory that may wait: one frees everything that is over.
const SHRINKS: usize = 1;
/// A slice under way is waited for this long before the donor is told that memory is freed after it. Slices are cut for
/// 8 ms; a single unit of a large model on one slow core takes longer, and very seldom this long.
const FREED_WITHIN: Duration = Duration::from_secs(1);

/// A handle on the executor's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub(crate) struct Executor {
    inbox: mpsc::Sender<Command>,
    shrinks: SyncSender<Shrink>,
    gauge: Arc<ExecutorGauge>,
    // Dropped after the inbox: the thread wakes up and finds the inbox closed.
    thread: Waker,
}

/// Wakes the executor's thread.
#[derive(Clone)]
struct Waker(Thread);

impl Drop for Waker {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Executor {
    /// Starts the thread. What it has to give up is told through `failures`.
    pub(crate) fn start(
        name: &str,
        planned: Plan,
        paced: Paced,
        ledgers: Ledgers,
        failures: mpsc::Sender<Failure>,
    ) -> io::Result<Self> {
        let (inbox, commands) = mpsc::channel(INBOX);
        let (shrinks, asked) = sync_channel(SHRINKS);
        let gauge = Arc::new(ExecutorGauge::new(paced.non_preemptible_count().clone()));
        let shared = gauge.clone();
        let body = move || {
            shared.set_levers(gogrid_probe::background_thread());
            Core::new(planned, failures, Pace::new(paced), ledgers, shared).run(commands, &asked);
        };
        let thread = thread::Builder::new().name(format!("executor {name}")).spawn(body)?;
        Ok(Self { inbox, shrinks, gauge, thread: Waker(thread.thread().clone()) })
    }

    /// What it is doing.
    pub(crate) fn gauge(&self) -> &Arc<ExecutorGauge> {
        &self.gauge
    }

    /// Takes a parked stage back into service under a new epoch; or one that serves, as soon as it is parked. Without a
    /// match, parked stages are freed.
    pub(crate) async fn reuse(&self, key: StageKey, epoch: Epoch, options: ServeOptions) -> Option<Installed> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Reuse { key, epoch, options, reply }).await;
        answer.await.ok().flatten()
    }

    /// Puts a loaded stage into service; `None` where the thread has ended.
    ///
    /// # Errors
    /// When there is no memory for its queues.
    pub(crate) async fn install(
        &self,
        key: StageKey,
        epoch: Epoch,
        options: ServeOptions,
        loaded: Loaded,
    ) -> Option<Result<Installed, OverLimit>> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Install(Box::new(Install { key, epoch, options, loaded, reply }))).await;
        answer.await.ok()
    }

    /// Says where the stage's output goes: a channel of [`OUT_QUEUE`](super::OUT_QUEUE) frames.
    pub(crate) async fn connect(&self, epoch: Epoch, out: mpsc::Sender<Outgoing>) {
        self.send(Command::Connect { epoch, out }).await;
    }

    /// What bounds the frames that come for a stage; `None` where there is no such stage.
    pub(crate) async fn inlet(&self, epoch: Epoch) -> Option<FrameBudget> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Inlet { epoch, reply }).await;
        answer.await.ok().flatten()
    }

    /// Hands in a frame of an earlier stage. Cancel-safe.
    pub(crate) async fn frame(&self, frame: StageFrame, body: Vec<u8>, permit: FramePermit) {
        self.send(Command::Frame(Arrived { frame, body, permit })).await;
    }

    /// Hands in a frame for which there is no memory: its sessions cannot go on here.
    pub(crate) async fn refuse(&self, frame: StageFrame, error: OverLimit) {
        self.send(Command::Refuse { frame, error }).await;
    }

    /// The sessions of earlier epochs that a stage has; `None` where there is no such stage.
    pub(crate) async fn retained(&self, epoch: Epoch) -> Option<Vec<RetainedSession>> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Retained { epoch, reply }).await;
        answer.await.ok().flatten()
    }

    /// Ends the epoch and keeps its weights until another stage is wanted, and its sessions for a minute if they may go
    /// on in a later epoch.
    pub(crate) async fn park(&self, epoch: Epoch, keep: bool) {
        self.send(Command::Park { epoch, keep }).await;
    }

    /// A ledger's limit was lowered: frees what is over it after the slice under way. Blocks until that is done, and for
    /// [`FREED_WITHIN`] at most; false where the slice takes longer. It is freed then without asking again.
    pub(crate) fn shrink(&self) -> bool {
        let (done, freed) = sync_channel(1);
        // A full queue says that the order before is still waiting.
        let ordered = self.shrinks.try_send(Shrink { done }).is_ok();
        self.wake();
        ordered && freed.recv_timeout(FREED_WITHIN).is_ok()
    }

    /// Gives every stage up; false where the order could not be given now.
    pub(crate) fn release(&self) -> bool {
        let sent = self.inbox.try_send(Command::Release).is_ok();
        self.wake();
        sent
    }

    /// The allowance has changed: the thread reads it now.
    pub(crate) fn wake(&self) {
        self.thread.0.unpark();
    }

    /// Waits until the thread has ended although there are handles: it panicked. Cancel-safe.
    pub(crate) async fn ended(&self) {
        self.inbox.closed().await;
    }

    async fn send(&self, command: Command) {
        // If the thread has ended, the worker sees it by `ended`.
        drop(self.inbox.send(command).await);
        self.wake();
    }
}

/// An executor without a thread: tests of links take its frames themselves.
#[cfg(test)]
pub(crate) struct Detached {
    commands: mpsc::Receiver<Command>,
    shrinks: std::sync::mpsc::Receiver<Shrink>,
    inlet: FrameBudget,
}

#[cfg(test)]
impl Detached {
    pub(crate) fn new() -> (Executor, Self) {
        let bounds = crate::frame_budget::FrameBounds { floor: 1 << 20, bytes: 1 << 20, frames: 8 };
        let inlet = FrameBudget::new(&gogrid_limits::Ledger::new(1 << 20), bounds, None).expect("it fits");
        let (inbox, commands) = mpsc::channel(INBOX);
        let (shrinks, asked) = sync_channel(SHRINKS);
        let gauge = Arc::new(ExecutorGauge::new(crate::pace::NonPreemptibleCount::default()));
        let executor = Executor { inbox, shrinks, gauge, thread: Waker(thread::current()) };
        (executor, Self { commands, shrinks: asked, inlet })
    }

    /// Waits for the next order to free memory, and obeys.
    pub(crate) async fn freed(self) -> Self {
        let obey = move || {
            let Shrink { done } = self.shrinks.recv().expect("somebody could give an order");
            let _ = done.send(());
            self
        };
        tokio::task::spawn_blocking(obey).await.expect("obeyed")
    }

    /// Waits for the order to give up everything; `None` once every handle is gone.
    pub(crate) async fn released(&mut self) -> Option<()> {
        loop {
            if let Command::Release = self.commands.recv().await? {
                return Some(());
            }
        }
    }

    /// The next frame for which there was no memory; `None` once every handle is gone.
    pub(crate) async fn refused(&mut self) -> Option<StageFrame> {
        loop {
            match self.commands.recv().await? {
                Command::Refuse { frame, .. } => return Some(frame),
                Command::Inlet { reply, .. } => drop(reply.send(Some(self.inlet.clone()))),
                _ => {}
            }
        }
    }

    /// Answers once that the stage is not here.
    pub(crate) async fn no_stage(&mut self) {
        while let Some(command) = self.commands.recv().await {
            if let Command::Inlet { reply, .. } = command {
                return drop(reply.send(None));
            }
        }
    }

    /// The next frame that was handed in; `None` once every handle is gone.
    pub(crate) async fn frame(&mut self) -> Option<StageFrame> {
        loop {
            match self.commands.recv().await? {
                Command::Frame(Arrived { frame, .. }) => return Some(frame),
                Command::Inlet { reply, .. } => drop(reply.send(Some(self.inlet.clone()))),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slices::PLANNED;
    use futures::FutureExt;
    use gogrid_limits::Share;

    #[tokio::test]
    async fn a_thread_that_ended_is_noticed() {
        let (executor, thread) = Detached::new();
        let watched = executor.clone();
        let noticed = tokio::spawn(async move { watched.ended().await });
        drop(thread);
        noticed.await.expect("it is told");
        executor.park(Epoch(1), false).await;
    }

    #[tokio::test]
    async fn a_matrix_that_is_being_made_is_waited_for_like_a_slice() {
        let (paced, (failures, _failures)) = (Paced::new(false), mpsc::channel(1));
        let ledgers = Ledgers::new(false);
        let executor = Executor::start("test", PLANNED, paced.clone(), ledgers, failures).expect("a thread");
        paced.lend(Share::FULL);
        let matrix = paced.non_preemptible(|| false).expect("allowed");
        paced.lend(Share::ZERO);
        assert!(executor.gauge().quiet().now_or_never().is_none(), "it is being made");
        drop(matrix);
        executor.gauge().quiet().await;
    }
}
