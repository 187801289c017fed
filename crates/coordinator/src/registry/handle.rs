//! The registry's thread. A commit waits for the disk (a few ms, seconds on a disk under load), so no task of the
//! coordinator touches the file itself.
//!
//! Operations run one at a time in the order they were handed in, writes without an answer included. A read therefore
//! sees every write that was submitted before it.

use super::{Groups, Member, ModelRecord, Registry, RegistryError};
use crate::{
    keys::{KeyRecord, Usage},
    planner::Reliability,
};
use gogrid_wire::{InviteToken, PeerId, control::Refusal};
#[cfg(test)]
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Operations that may wait. When 1,000 machines reconnect at once, each brings its admission, its old connection's
/// reliability and an epoch or two; the rest of the room is for a disk that stalls meanwhile.
const QUEUE: usize = 4096;

type Result<T> = std::result::Result<T, RegistryError>;
type Operation = Box<dyn FnOnce(&mut Registry) + Send>;

enum Job {
    Run(Operation),
    /// Run what was handed in before, close the file and answer.
    Close(oneshot::Sender<()>),
}

/// A write that nobody waits for. If it fails, the registry's thread logs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// How reliable a machine was up to `at`, in seconds since the Unix epoch.
    Reliability { peer: PeerId, seen: Reliability, at: u64 },
    /// A value of the metadata.
    Metadata { key: &'static str, value: String },
}

/// A handle on the registry's thread. Clones share it; it ends after [`close`](Self::close), or when the last clone is
/// dropped. Both finish the writes that were handed in before.
#[derive(Clone)]
pub(crate) struct RegistryHandle {
    inner: Inner,
    /// Counts how often a member may have been removed.
    removals: watch::Sender<u64>,
}

#[derive(Clone)]
enum Inner {
    Thread(mpsc::Sender<Job>),
    /// Runs every operation on the caller, so that the simulation's clock does not run ahead of a thread.
    #[cfg(test)]
    Inline(Arc<Mutex<Registry>>),
}

impl RegistryHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(registry: Registry) -> Result<Self> {
        let (jobs, received) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || run(registry, received))
            .map_err(RegistryError::Thread)?;
        Ok(Self::new(Inner::Thread(jobs)))
    }

    /// A handle without a thread, for tests in virtual time.
    #[cfg(test)]
    pub(crate) fn inline(registry: Registry) -> Self {
        Self::new(Inner::Inline(Arc::new(Mutex::new(registry))))
    }

    fn new(inner: Inner) -> Self {
        Self { inner, removals: watch::Sender::new(0) }
    }

    /// See [`Registry::metadata`].
    pub(crate) async fn metadata(&self, key: &'static str) -> Result<Option<String>> {
        self.call(move |registry| registry.metadata(key)).await
    }

    /// See [`Registry::next_epoch`].
    pub(crate) async fn next_epoch(&self) -> Result<u32> {
        self.call(|registry| registry.next_epoch()).await
    }

    /// See [`Registry::admit`].
    pub(crate) async fn admit(
        &self,
        id: PeerId,
        name: String,
        token: Option<InviteToken>,
        now: u64,
    ) -> Result<std::result::Result<String, Refusal>> {
        self.call(move |registry| registry.admit(id, &name, token.as_ref(), now)).await
    }

    /// See [`Registry::leave`]. Who follows [`removals`](Self::removals) is told.
    pub(crate) async fn leave(&self, id: PeerId, now: u64) -> Result<()> {
        let left = self.call(move |registry| registry.leave(id, now)).await;
        self.tell_removals();
        left
    }

    /// See [`Registry::is_member`].
    pub(crate) async fn is_member(&self, id: PeerId) -> Result<bool> {
        self.call(move |registry| registry.is_member(id)).await
    }

    /// Changes whenever a member may have been removed, here or by another program.
    pub(crate) fn removals(&self) -> watch::Receiver<u64> {
        self.removals.subscribe()
    }

    /// Another program may have removed members from the file.
    pub(crate) fn tell_removals(&self) {
        self.removals.send_modify(|count| *count += 1);
    }

    /// See [`Registry::members`].
    pub(crate) async fn members(&self) -> Result<Vec<Member>> {
        self.call(|registry| registry.members()).await
    }

    /// Every key, and what it used on a day.
    pub(crate) async fn keys(&self, day: String) -> Result<Vec<(KeyRecord, Usage)>> {
        self.call(move |registry| {
            let used = |key: KeyRecord| registry.usage_of(&key.prefix, &day).map(|used| (key, used));
            registry.keys()?.into_iter().map(used).collect()
        })
        .await
    }

    /// See [`Registry::add_usage`].
    pub(crate) async fn add_usage(&self, day: String, used: Vec<(String, Usage)>) -> Result<()> {
        self.call(move |registry| registry.add_usage(&day, &used)).await
    }

    /// See [`Registry::reliability`].
    pub(crate) async fn reliability(&self) -> Result<Vec<(PeerId, Reliability, u64)>> {
        self.call(|registry| registry.reliability()).await
    }

    /// Every model, and all groups.
    pub(crate) async fn models(&self) -> Result<(Vec<ModelRecord>, Groups)> {
        self.call(|registry| Ok((registry.models()?, registry.groups()?))).await
    }

    /// Hands in a write without waiting for it.
    ///
    /// # Errors
    /// When the queue is full or the registry closed: the write does not happen then.
    pub(crate) fn submit(&self, write: Write) -> Result<()> {
        let operation = move |registry: &mut Registry| {
            if let Err(error) = apply(registry, &write) {
                tracing::error!(%error, ?write, "a write to the registry failed");
            }
        };
        match &self.inner {
            Inner::Thread(jobs) => jobs.try_send(Job::Run(Box::new(operation))).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => RegistryError::Full { waiting: QUEUE },
                mpsc::error::TrySendError::Closed(_) => RegistryError::Closed,
            }),
            #[cfg(test)]
            Inner::Inline(registry) => {
                operation(&mut registry.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(())
            }
        }
    }

    /// Finishes what was handed in and closes the file. Operations that come later fail with
    /// [`Closed`](RegistryError::Closed).
    pub(crate) async fn close(&self) {
        match &self.inner {
            Inner::Thread(jobs) => {
                let (done, closed) = oneshot::channel();
                if jobs.send(Job::Close(done)).await.is_ok() {
                    drop(closed.await);
                }
            }
            #[cfg(test)]
            Inner::Inline(_) => {}
        }
    }

    /// Runs an operation on the thread. A dropped call is carried out all the same once it was handed in.
    async fn call<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Registry) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.inner {
            Inner::Thread(jobs) => {
                let (reply, answer) = oneshot::channel();
                let job = Job::Run(Box::new(move |registry| drop(reply.send(operation(registry)))));
                jobs.send(job).await.map_err(|_| RegistryError::Closed)?;
                answer.await.map_err(|_| RegistryError::Closed)?
            }
            #[cfg(test)]
            Inner::Inline(registry) => operation(&mut registry.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

fn apply(registry: &Registry, write: &Write) -> Result<()> {
    match write {
        Write::Reliability { peer, seen, at } => registry.put_reliability(*peer, *seen, *at),
        Write::Metadata { key, value } => registry.set_metadata(key, value),
    }
}

fn run(mut registry: Registry, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting = Vec::new();
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Run(operation) => operation(&mut registry),
            Job::Close(done) => {
                // Refuses new jobs; those in the queue still come.
                jobs.close();
                waiting.push(done);
            }
        }
    }
    drop(registry);
    for done in waiting {
        // Nobody listens if the call of `close` was dropped.
        let _ = done.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, sync::mpsc as blocking};

    fn start(folder: &Path) -> RegistryHandle {
        RegistryHandle::start(Registry::open(folder).expect("opened")).expect("a thread")
    }

    fn reliability(number: u8, at: u64) -> Write {
        let seen = Reliability { minutes: 1.0, losses: 0.0 };
        Write::Reliability { peer: PeerId([number; 32]), seen, at }
    }

    /// Holds the thread until the sender is dropped.
    async fn hold(handle: &RegistryHandle) -> blocking::SyncSender<()> {
        let Inner::Thread(jobs) = &handle.inner else { panic!("a thread") };
        let (release, held) = blocking::sync_channel::<()>(0);
        let wait = move |_: &mut Registry| {
            held.recv().expect_err("nothing is sent");
        };
        jobs.send(Job::Run(Box::new(wait))).await.expect("handed in");
        release
    }

    #[tokio::test]
    async fn a_read_sees_what_was_submitted_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let handle = start(folder.path());
        handle.submit(reliability(1, 1)).expect("room");
        handle.submit(reliability(1, 2)).expect("room");
        handle.submit(Write::Metadata { key: "pipelines", value: "{}".into() }).expect("room");
        let read = handle.reliability().await.expect("read");
        assert_eq!(read.iter().map(|(_, _, at)| *at).collect::<Vec<_>>(), [2], "in order, so that the later one stays");
        assert_eq!(handle.metadata("pipelines").await.expect("read").as_deref(), Some("{}"));
    }

    #[tokio::test]
    async fn closing_finishes_the_writes_and_refuses_later_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let handle = start(folder.path());
        let release = hold(&handle).await;
        (0..50).for_each(|number| handle.submit(reliability(number, 7)).expect("room"));
        let close = tokio::spawn({
            let handle = handle.clone();
            async move { handle.close().await }
        });
        drop(release);
        close.await.expect("closed");
        assert!(matches!(handle.submit(reliability(0, 8)), Err(RegistryError::Closed)));
        assert!(matches!(handle.models().await, Err(RegistryError::Closed)));
        handle.close().await;
        assert_eq!(Registry::open(folder.path()).expect("opened").reliability().expect("read").len(), 50);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_writes_that_nobody_waits_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let handle = start(folder.path());
        let release = hold(&handle).await;
        // One more than the queue's length may go in, as the thread has taken the first job out.
        let refused = (0..=QUEUE).find_map(|_| handle.submit(reliability(1, 1)).err());
        assert!(matches!(refused, Some(RegistryError::Full { waiting: QUEUE })), "{refused:?}");
        drop(release);
        handle.close().await;
    }

    #[tokio::test]
    async fn the_command_line_writes_to_the_file_meanwhile() {
        let folder = tempfile::tempdir().expect("a folder");
        let handle = start(folder.path());
        assert_eq!(handle.next_epoch().await.expect("counted"), 1);
        let token = InviteToken([1; 16]);
        Registry::open(folder.path()).expect("opened").add_invite(&token, 1, 100).expect("written");
        let admitted = handle.admit(PeerId([1; 32]), "anna".into(), Some(token), 0).await.expect("read");
        assert_eq!(admitted, Ok("anna".to_owned()));
        handle.leave(PeerId([1; 32]), 1).await.expect("left");
        assert_eq!(handle.members().await.expect("read"), []);
    }
}
