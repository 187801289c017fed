//! The executor: one named thread that owns every stage of the device, its KV caches and its stream.
//!
//! It sleeps until a command comes, takes all that wait, computes one batch per stage, and looks again. Async tasks
//! speak with it through a bounded queue and read its gauges; they never wait for a computation.

mod slot;

use crate::scheduler::Scheduler;
use gogrid_model::{Layers, Quant, Stage, TensorHash};
use gogrid_wire::{Epoch, SessionId, control::SessionError, stage::StageFrame};
use slot::Slot;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64},
    },
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait. Past this the stage links stop reading, and QUIC slows the sender down.
const INBOX: usize = 256;

/// What makes two stages the same, whatever their epoch: weights in memory can serve again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StageKey {
    /// Hash of the stage's manifest, which holds the hash of every tensor.
    pub(crate) manifest: TensorHash,
    pub(crate) layers: Layers,
    pub(crate) quant: Quant,
    pub(crate) kv_budget: u64,
}

/// Numbers that anybody may read at any time.
#[derive(Debug, Default)]
pub struct StageGauge {
    /// Sessions with a KV cache.
    pub sessions: AtomicU32,
    /// KV memory reserved for them, in bytes.
    pub kv_used: AtomicU64,
}

/// A frame on its way to the next stage.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: StageFrame,
    pub(crate) body: Vec<u8>,
}

/// A session that this stage gave up.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) epoch: Epoch,
    pub(crate) session: SessionId,
    pub(crate) error: SessionError,
}

/// What is known of a stage once it is in memory.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) weight_bytes: u64,
    pub(crate) quant: Quant,
    pub(crate) gauge: Arc<StageGauge>,
}

enum Command {
    Reuse { key: StageKey, epoch: Epoch, prefill_chunk: u32, reply: oneshot::Sender<Option<Installed>> },
    Install { key: StageKey, epoch: Epoch, prefill_chunk: u32, stage: Box<Stage>, reply: oneshot::Sender<Installed> },
    Connect { epoch: Epoch, out: mpsc::Sender<Outgoing> },
    Frame { frame: StageFrame, body: Vec<u8> },
    Park { epoch: Epoch },
}

/// A handle on the executor's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Executor {
    inbox: mpsc::Sender<Command>,
}

impl Executor {
    /// Starts the thread. Failed sessions are told through `failures`.
    pub(crate) fn start(name: &str, failures: mpsc::Sender<Failure>) -> std::io::Result<Self> {
        let (inbox, commands) = mpsc::channel(INBOX);
        let core = Core { stages: HashMap::new(), parked: Vec::new(), failures };
        thread::Builder::new().name(format!("executor {name}")).spawn(move || core.run(commands))?;
        Ok(Self { inbox })
    }

    /// Takes a parked stage back into service under a new epoch; without a match, parked stages are freed.
    pub(crate) async fn reuse(&self, key: StageKey, epoch: Epoch, prefill_chunk: u32) -> Option<Installed> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Reuse { key, epoch, prefill_chunk, reply }).await;
        answer.await.ok().flatten()
    }

    /// Puts a loaded stage into service.
    pub(crate) async fn install(&self, key: StageKey, epoch: Epoch, chunk: u32, stage: Stage) -> Option<Installed> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Install { key, epoch, prefill_chunk: chunk, stage: Box::new(stage), reply }).await;
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

    /// Ends the epoch's sessions and keeps its weights until another stage is wanted.
    pub(crate) async fn park(&self, epoch: Epoch) {
        self.send(Command::Park { epoch }).await;
    }

    /// Waits until the thread has ended although there are handles: it panicked. Cancel-safe.
    pub(crate) async fn ended(&self) {
        self.inbox.closed().await;
    }

    async fn send(&self, command: Command) {
        // Whoever watches `ended` does what is to be done.
        drop(self.inbox.send(command).await);
    }
}

struct Core {
    stages: HashMap<Epoch, Slot>,
    parked: Vec<Slot>,
    failures: mpsc::Sender<Failure>,
}

impl Core {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let idle = self.stages.values().all(|slot| slot.scheduler.is_empty());
            let mut next = if idle {
                match commands.blocking_recv() {
                    Some(command) => Some(command),
                    None => return,
                }
            } else {
                commands.try_recv().ok()
            };
            while let Some(command) = next {
                self.handle(command);
                next = commands.try_recv().ok();
            }
            for (epoch, slot) in &mut self.stages {
                for (session, error) in slot.step(*epoch) {
                    fail(&self.failures, *epoch, session, error);
                }
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Reuse { key, epoch, prefill_chunk, reply } => {
                let found = self.parked.iter().position(|slot| slot.key == key).map(|at| self.parked.swap_remove(at));
                // What does not fit the new plan must not hold memory beside it.
                self.parked.clear();
                let installed = found.map(|mut slot| {
                    slot.scheduler = Scheduler::new(prefill_chunk);
                    let installed = slot.installed();
                    self.stages.insert(epoch, slot);
                    installed
                });
                drop(reply.send(installed));
            }
            Command::Install { key, epoch, prefill_chunk, stage, reply } => {
                let slot = Slot {
                    key,
                    stage: *stage,
                    scheduler: Scheduler::new(prefill_chunk),
                    gauge: Arc::default(),
                    out: None,
                };
                drop(reply.send(slot.installed()));
                self.stages.insert(epoch, slot);
            }
            Command::Connect { epoch, out } => {
                if let Some(slot) = self.stages.get_mut(&epoch) {
                    slot.out = Some(out);
                }
            }
            Command::Park { epoch } => {
                if let Some(mut slot) = self.stages.remove(&epoch) {
                    slot.clear();
                    self.parked.push(slot);
                }
            }
            Command::Frame { frame, body } => {
                let epoch = frame.epoch();
                if let Some(slot) = self.stages.get_mut(&epoch) {
                    for (session, error) in slot.receive(frame, &body) {
                        fail(&self.failures, epoch, session, error);
                    }
                }
            }
        }
    }
}

fn fail(failures: &mpsc::Sender<Failure>, epoch: Epoch, session: SessionId, error: SessionError) {
    tracing::warn!(%epoch, %session, %error, "session given up");
    // The queue holds more than a stage has sessions; were it full, the coordinator's deadline ends the session.
    drop(failures.try_send(Failure { epoch, session, error }));
}

/// An executor without a thread: tests of links take its frames themselves.
#[cfg(test)]
pub(crate) struct Detached(mpsc::Receiver<Command>);

#[cfg(test)]
impl Detached {
    pub(crate) fn new() -> (Executor, Self) {
        let (inbox, commands) = mpsc::channel(INBOX);
        (Executor { inbox }, Self(commands))
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

    #[tokio::test]
    async fn a_thread_that_ended_is_noticed() {
        let (executor, thread) = Detached::new();
        let watched = executor.clone();
        let noticed = tokio::spawn(async move { watched.ended().await });
        drop(thread);
        noticed.await.expect("it is told");
        executor.park(Epoch(1)).await;
    }
}
