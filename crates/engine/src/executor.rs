//! The executor: one named thread that owns every stage of the device, its KV caches and its stream.
//!
//! It sleeps until a command comes or the pacer lets it go on, takes all commands that wait, computes one slice, and
//! looks again: commands, pauses and lowered limits wait for one slice at most. Async tasks speak with it through a
//! bounded queue and read its gauges; they never wait for a computation.

mod convert;
mod gather;
mod gauge;
#[cfg(test)]
mod kv_reuse_tests;
mod retained_outputs;
mod slot;

pub(crate) use gauge::ExecutorGauge;
pub use gauge::StageGauge;

use crate::{
    pace::{Kind, Pace, Paced, Start},
    slices::{BESIDE, PLANNED, Plan},
};
use gather::Ready;
use gauge::Slice;
use gogrid_limits::{Ledger, Release, Reservation, plan_shrink};
use gogrid_model::{Layers, Quant, Stage, TensorHash};
use gogrid_wire::{
    Epoch, SessionId,
    control::{RetainedSession, SessionError, StageSpec},
    stage::StageFrame,
};
use slot::{SessionFailures, Slot};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait. Past this the stage links stop reading, and QUIC slows the sender down.
const INBOX: usize = 256;

/// A slice ends within this time, unless its output finds no way out.
const FREED_WITHIN: Duration = Duration::from_secs(1);

/// What makes two stages the same, whatever their epoch: weights in memory can serve again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StageKey {
    /// Hash of the stage's manifest, which holds the hash of every tensor.
    pub(crate) manifest: TensorHash,
    pub(crate) layers: Layers,
    pub(crate) quant: Quant,
    pub(crate) kv_budget: u64,
}

/// How a stage serves an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServeOptions {
    /// The most prompt tokens in one step.
    pub(crate) prefill_chunk: u32,
    /// Whether it keeps its sessions' outputs.
    pub(crate) keep_outputs: bool,
}

impl From<&StageSpec> for ServeOptions {
    fn from(spec: &StageSpec) -> Self {
        Self { prefill_chunk: spec.prefill_chunk, keep_outputs: spec.keep_outputs }
    }
}

/// A frame on its way to the next stage.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: StageFrame,
    pub(crate) body: Vec<u8>,
}

/// What the executor gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A session.
    Session { epoch: Epoch, session: SessionId, error: SessionError },
    /// A whole stage.
    Stage { epoch: Epoch, message: String },
}

/// What is known of a stage once it is in memory.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) weight_bytes: u64,
    pub(crate) quant: Quant,
    pub(crate) gauge: Arc<StageGauge>,
}

/// A stage with the memory that it takes.
pub(crate) struct Loaded {
    pub(crate) stage: Stage,
    /// Held for as long as the stage is.
    pub(crate) memory: Vec<Reservation>,
    /// The most rows that its workspace has room for.
    pub(crate) rows: usize,
    /// Whether its outputs are in the memory that the ledger counts.
    pub(crate) books_outputs: bool,
}

enum Command {
    Reuse {
        key: StageKey,
        epoch: Epoch,
        options: ServeOptions,
        reply: oneshot::Sender<Option<Installed>>,
    },
    Install {
        key: StageKey,
        epoch: Epoch,
        options: ServeOptions,
        loaded: Box<Loaded>,
        reply: oneshot::Sender<Installed>,
    },
    Connect {
        epoch: Epoch,
        out: mpsc::Sender<Outgoing>,
    },
    Frame {
        frame: StageFrame,
        body: Vec<u8>,
    },
    Retained {
        epoch: Epoch,
        reply: oneshot::Sender<Option<Vec<RetainedSession>>>,
    },
    Park {
        epoch: Epoch,
        keep: bool,
    },
    Shrink {
        why: String,
        done: SyncSender<()>,
    },
    Release {
        why: String,
    },
}

/// A handle on the executor's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Executor {
    inbox: mpsc::Sender<Command>,
    gauge: Arc<ExecutorGauge>,
    // Dropped after the inbox, so that the thread wakes up to find it closed.
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
        ledger: Ledger,
        failures: mpsc::Sender<Failure>,
    ) -> std::io::Result<Self> {
        let (inbox, commands) = mpsc::channel(INBOX);
        let gauge = Arc::new(ExecutorGauge::new(paced.non_preemptible_count().clone()));
        let shared = gauge.clone();
        let body = move || {
            shared.set_levers(gogrid_probe::background_thread());
            let pace = Pace::new(paced);
            let (stages, handovers, parked, last) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), None);
            Core { stages, handovers, parked, last, planned, failures, pace, ledger, gauge: shared }.run(commands);
        };
        let thread = thread::Builder::new().name(format!("executor {name}")).spawn(body)?;
        Ok(Self { inbox, gauge, thread: Waker(thread.thread().clone()) })
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

    /// Puts a loaded stage into service.
    pub(crate) async fn install(
        &self,
        key: StageKey,
        epoch: Epoch,
        options: ServeOptions,
        loaded: Loaded,
    ) -> Option<Installed> {
        let (reply, answer) = oneshot::channel();
        let loaded = Box::new(loaded);
        self.send(Command::Install { key, epoch, options, loaded, reply }).await;
        answer.await.ok()
    }

    /// Says where the stage's output goes.
    pub(crate) async fn connect(&self, epoch: Epoch, out: mpsc::Sender<Outgoing>) {
        self.send(Command::Connect { epoch, out }).await;
    }

    /// Hands in a frame of an earlier stage. Cancel-safe.
    pub(crate) async fn frame(&self, frame: StageFrame, body: Vec<u8>) {
        self.send(Command::Frame { frame, body }).await;
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

    /// The ledger's limit was lowered: frees what is over it, and waits until that is done, which takes a slice as a
    /// rule; where a later stage takes no output any more it can take longer, and is not waited for. Blocks.
    pub(crate) fn shrink(&self, why: String) {
        let (done, freed) = sync_channel(1);
        if !self.try_send(Command::Shrink { why, done }) || freed.recv_timeout(FREED_WITHIN).is_err() {
            tracing::warn!("memory over the limit is not freed yet");
        }
    }

    /// Gives every stage up; false where the order could not be given now.
    pub(crate) fn release(&self, why: String) -> bool {
        self.try_send(Command::Release { why })
    }

    /// The allowance has changed: look at it now.
    pub(crate) fn wake(&self) {
        self.thread.0.unpark();
    }

    /// Waits until the thread has ended although there are handles: it panicked. Cancel-safe.
    pub(crate) async fn ended(&self) {
        self.inbox.closed().await;
    }

    async fn send(&self, command: Command) {
        // Whoever watches `ended` does what is to be done.
        drop(self.inbox.send(command).await);
        self.wake();
    }

    /// Without waiting: false where too many commands wait already, or the thread has ended.
    fn try_send(&self, command: Command) -> bool {
        let sent = self.inbox.try_send(command).is_ok();
        self.wake();
        sent
    }
}

/// Whose turn it is.
#[derive(Clone, Copy)]
enum NextSlice {
    Of(Epoch),
    /// Somebody's, soon.
    In(Duration),
    Nobody,
}

struct Core {
    stages: BTreeMap<Epoch, Slot>,
    /// Epochs that take over a stage that still serves an earlier one.
    handovers: BTreeMap<Epoch, (Epoch, ServeOptions)>,
    parked: Vec<Slot>,
    /// The stage that computed the last slice: the next in line comes after it.
    last: Option<Epoch>,
    planned: Plan,
    failures: mpsc::Sender<Failure>,
    pace: Pace,
    ledger: Ledger,
    gauge: Arc<ExecutorGauge>,
}

impl Core {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            loop {
                match commands.try_recv() {
                    Ok(command) => self.handle(command),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            let expiry = self.expire_retained(Instant::now());
            let epoch = match self.next_slice() {
                NextSlice::Of(epoch) => epoch,
                NextSlice::In(wait) => {
                    thread::park_timeout(wait);
                    continue;
                }
                NextSlice::Nobody => {
                    self.pace.rest();
                    self.gauge.set_resting();
                    rest(expiry);
                    continue;
                }
            };
            if self.pace.wake() {
                self.gauge.set_waiting();
            }
            let planned = self.planned();
            let Some(slot) = self.stages.get_mut(&epoch) else { continue };
            slot.plan(planned);
            let threads = self.pace.paced().threads();
            match self.pace.claim(slot.expected(threads), threads) {
                Start::Stopped => rest(expiry),
                Start::In(wait) => thread::park_timeout(wait),
                Start::Now => self.slice(epoch),
            }
        }
    }

    /// Lets sessions of earlier epochs go whose time is over, and says when to look again.
    fn expire_retained(&mut self, now: Instant) -> Option<Duration> {
        let slots = self.stages.values_mut().chain(&mut self.parked);
        let waits = slots.filter_map(|slot| {
            let wait = slot.retained_until()?.saturating_duration_since(now);
            if wait.is_zero() {
                slot.forget_retained();
                return None;
            }
            Some(wait)
        });
        waits.min()
    }

    /// What is planned for the next slice.
    fn planned(&self) -> Plan {
        match self.planned {
            PLANNED if self.pace.paced().is_beside_others() => BESIDE,
            planned => planned,
        }
    }

    /// Whose turn it is: of the stages that have work, the one after the last.
    fn next_slice(&self) -> NextSlice {
        let now = Instant::now();
        let after_last = |(epoch, _): &(&Epoch, _)| self.last.is_none_or(|last| **epoch > last);
        let (after, before): (Vec<_>, Vec<_>) = self.stages.iter().partition(after_last);
        let mut turn = NextSlice::Nobody;
        for (epoch, slot) in after.into_iter().chain(before) {
            match (slot.work(now), turn) {
                (Ready::Now, _) => return NextSlice::Of(*epoch),
                (Ready::In(wait), NextSlice::In(other)) => turn = NextSlice::In(wait.min(other)),
                (Ready::In(wait), _) => turn = NextSlice::In(wait),
                (Ready::Nothing, _) => {}
            }
        }
        turn
    }

    fn slice(&mut self, epoch: Epoch) {
        // Whoever stops the pacers then waits for `computing` to end: it must not be read before it is set.
        self.gauge.set_computing(true);
        let Some(slot) = self.stages.get_mut(&epoch).filter(|_| !self.pace.paced().is_stopped()) else {
            return self.gauge.set_computing(false);
        };
        let threads = self.pace.paced().threads();
        self.pace.begin();
        let done = slot.slice(epoch, threads);
        let took = self.pace.end(threads, Kind::new(epoch, done.rows, done.sessions), done.weight);
        slot.observe(threads, &done, took.device);
        let slice = Slice { took: took.device, units: done.units.len() };
        self.gauge.count(slice, done.tokens);
        self.gauge.set_computing(false);
        self.last = Some(epoch);
        report(&self.failures, epoch, done.failed);
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Reuse { key, epoch, options, reply } => {
                drop(reply.send(self.reuse(&key, epoch, options)));
            }
            Command::Install { key, epoch, options, loaded, reply } => {
                let slot = Slot::new(key, *loaded, options, self.planned, self.ledger.clone());
                drop(reply.send(slot.installed()));
                self.stages.insert(epoch, slot);
            }
            Command::Connect { epoch, out } => {
                if let Some(slot) = self.stages.get_mut(&epoch) {
                    slot.out = Some(out);
                }
            }
            Command::Retained { epoch, reply } => {
                drop(reply.send(self.stages.get_mut(&epoch).map(Slot::retained)));
            }
            Command::Park { epoch, keep } => self.park(epoch, keep),
            Command::Frame { frame, body } => {
                let epoch = frame.epoch();
                if let Some(slot) = self.stages.get_mut(&epoch) {
                    let failed = slot.receive(frame, &body);
                    report(&self.failures, epoch, failed);
                }
            }
            Command::Shrink { why, done } => {
                self.shrink(&why);
                let _ = done.send(());
            }
            Command::Release { why } => {
                self.parked.clear();
                let epochs: Vec<Epoch> = self.stages.keys().copied().collect();
                epochs.into_iter().for_each(|epoch| self.give_up(epoch, &why));
            }
        }
    }

    fn reuse(&mut self, key: &StageKey, epoch: Epoch, options: ServeOptions) -> Option<Installed> {
        if let Some((serving, slot)) = self.stages.iter().find(|(_, slot)| slot.key == *key) {
            self.handovers.insert(epoch, (*serving, options));
            return Some(slot.installed());
        }
        let found = self.parked.iter().position(|slot| slot.key == *key).map(|at| self.parked.swap_remove(at));
        // What does not fit the new plan must not hold memory beside it.
        self.parked.clear();
        let mut slot = found?;
        slot.begin(options);
        let installed = slot.installed();
        self.stages.insert(epoch, slot);
        Some(installed)
    }

    fn park(&mut self, epoch: Epoch, keep: bool) {
        self.handovers.remove(&epoch);
        let Some(mut slot) = self.stages.remove(&epoch) else { return };
        slot.end(keep);
        let successor = self
            .handovers
            .iter()
            .find(|(_, (of, _))| *of == epoch)
            .map(|(successor, (_, options))| (*successor, *options));
        match successor {
            Some((successor, options)) => {
                self.handovers.remove(&successor);
                // Who waits behind it waits for it now.
                self.handovers.values_mut().filter(|(of, _)| *of == epoch).for_each(|(of, _)| *of = successor);
                slot.begin(options);
                self.stages.insert(successor, slot);
            }
            None => self.parked.push(slot),
        }
    }

    /// Gives a stage up, and every epoch that was to take it over.
    fn give_up(&mut self, epoch: Epoch, why: &str) {
        if self.stages.remove(&epoch).is_none() {
            return;
        }
        let handovers = self.handovers.extract_if(.., |_, (of, _)| *of == epoch).map(|(successor, _)| successor);
        for epoch in handovers.chain([epoch]) {
            tracing::warn!(%epoch, why, "stage given up");
            drop(self.failures.try_send(Failure::Stage { epoch, message: why.to_owned() }));
        }
    }

    /// Frees what is over the ledger's limit: outputs that are kept for replays, idle stages, then sessions, then
    /// stages.
    fn shrink(&mut self, why: &str) {
        if self.ledger.over() > 0 {
            self.stages.values_mut().chain(&mut self.parked).for_each(Slot::forget_outputs);
        }
        let over = self.ledger.over();
        if over == 0 {
            return;
        }
        let parked = self.parked.iter().enumerate().map(|(at, slot)| slot.holding(StageLocation::Parked(at)));
        let serving = self.stages.iter().map(|(epoch, slot)| slot.holding(StageLocation::Serving(*epoch)));
        let holdings: Vec<_> = parked.chain(serving).collect();
        let mut parked = Vec::new();
        for release in plan_shrink(over, &holdings) {
            match release {
                Release::Session { stage: StageLocation::Serving(epoch), session } => {
                    if let Some(slot) = self.stages.get_mut(&epoch) {
                        report(&self.failures, epoch, slot.hand_back(session));
                    }
                }
                Release::Stage { stage: StageLocation::Serving(epoch) } => {
                    self.give_up(epoch, why);
                }
                Release::Stage { stage: StageLocation::Parked(at) } => parked.push(at),
                Release::Session { stage: StageLocation::Parked(_), .. } => {}
            }
        }
        parked.sort_unstable();
        for at in parked.into_iter().rev() {
            self.parked.remove(at);
        }
    }
}

/// Where a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StageLocation {
    Parked(usize),
    Serving(Epoch),
}

fn report(failures: &mpsc::Sender<Failure>, epoch: Epoch, failed: SessionFailures) {
    for (session, error) in failed {
        tracing::warn!(%epoch, %session, %error, "session given up");
        // The queue holds more than a stage has sessions; were it full, the coordinator's deadline ends the session.
        drop(failures.try_send(Failure::Session { epoch, session, error }));
    }
}

/// Sleeps until it is woken, or for so long.
fn rest(wait: Option<Duration>) {
    match wait {
        Some(wait) => thread::park_timeout(wait),
        None => thread::park(),
    }
}

/// An executor without a thread: tests of links take its frames themselves.
#[cfg(test)]
pub(crate) struct Detached(mpsc::Receiver<Command>);

#[cfg(test)]
impl Detached {
    pub(crate) fn new() -> (Executor, Self) {
        let (inbox, commands) = mpsc::channel(INBOX);
        let gauge = Arc::new(ExecutorGauge::new(crate::pace::NonPreemptibleCount::default()));
        (Executor { inbox, gauge, thread: Waker(thread::current()) }, Self(commands))
    }

    /// Waits for the next order to free memory, and obeys: whether it is to give up everything.
    pub(crate) async fn freed_all(&mut self) -> Option<bool> {
        loop {
            match self.0.recv().await? {
                Command::Shrink { done, .. } => {
                    let _ = done.send(());
                    return Some(false);
                }
                Command::Release { .. } => return Some(true),
                _ => {}
            }
        }
    }

    /// The next frame that was handed in; `None` once every handle is gone.
    pub(crate) async fn frame(&mut self) -> Option<StageFrame> {
        loop {
            if let Command::Frame { frame, .. } = self.0.recv().await? {
                return Some(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let executor = Executor::start("test", PLANNED, paced.clone(), Ledger::new(0), failures).expect("a thread");
        paced.lend(Share::FULL);
        let matrix = paced.non_preemptible(|| false).expect("allowed");
        paced.lend(Share::ZERO);
        assert!(executor.gauge().quiet().now_or_never().is_none(), "it is being made");
        drop(matrix);
        executor.gauge().quiet().await;
    }
}
