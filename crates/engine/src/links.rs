//! A stage's two links: frames come in from the earlier stage and go out to the later one.
//!
//! The earlier stage dials the later one; both ends of the ring at the coordinator are dialed by the worker. Who may
//! dial in is noted when a stage is loaded ([`Inbound`]), before any machine is told to link up.

use crate::{
    executor::{Executor, Outgoing},
    frame_budget::{FrameBudget, NotAdmitted},
};
use gogrid_link::{DialError, FrameReceiver, Link, LinkError, Occasional, Protocol, Received, Transport};
use gogrid_wire::{
    Epoch, PeerAddr, PeerId, VERSION,
    stage::{Hello, Refusal, Reply, Role, StageFrame},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Bytes that a frame takes in memory beside those on the link, about: its decoded message, and its entries in queues.
const FRAME_BYTES: u64 = 512;
/// A peer that dialed says who it is within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Why a stage link cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the stage link broke while it was made")]
    Link(#[from] LinkError),
    #[error("the stage link was refused: {0}")]
    Refused(#[from] Refusal),
    #[error("the peer did not answer on the stage link in time")]
    Timeout,
}

/// A link that broke, for the coordinator.
#[derive(Debug)]
pub(crate) struct LinkLost {
    pub(crate) epoch: Epoch,
    pub(crate) message: String,
}

struct Expected {
    peer: PeerId,
    lost: mpsc::Sender<LinkLost>,
}

/// Which peers may send to which epochs.
#[derive(Clone, Default)]
pub(crate) struct Inbound(Arc<Mutex<HashMap<Epoch, Expected>>>);

impl Inbound {
    pub(crate) fn expect(&self, epoch: Epoch, peer: PeerId, lost: mpsc::Sender<LinkLost>) {
        self.lock().insert(epoch, Expected { peer, lost });
    }

    pub(crate) fn forget(&self, epoch: Epoch) {
        self.lock().remove(&epoch);
    }

    /// Whether any stage takes frames from this peer.
    pub(crate) fn expects(&self, peer: PeerId) -> bool {
        self.lock().values().any(|expected| expected.peer == peer)
    }

    fn admit(&self, peer: PeerId, hello: &Hello) -> Result<mpsc::Sender<LinkLost>, Refusal> {
        match self.lock().get(&hello.epoch) {
            None => Err(Refusal::UnknownEpoch(hello.epoch)),
            Some(expected) if expected.peer != peer || hello.role != Role::Sender => {
                Err(Refusal::WrongPeer(hello.epoch))
            }
            Some(expected) => Ok(expected.lost.clone()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Epoch, Expected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one link that a peer dialed, for as long as it lasts.
pub(crate) async fn serve_inbound(mut link: Link, inbound: Inbound, executor: Executor) {
    let first = tokio::time::timeout(HELLO_WITHIN, link.receiver.recv_raw()).await;
    let read = first.map(|frame| -> Result<_, LinkError> { Ok(Hello::read(&frame?.message)?) });
    let hello = match read {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => return refused(&link, &error.to_string()),
        Err(_) => return refused(&link, "no hello came in time"),
    };
    match hello.and_then(|hello| Ok((hello.epoch, inbound.admit(link.peer, &hello)?))) {
        Ok((epoch, lost)) => {
            if link.sender.send(&Reply::Accepted, &[]).await.is_ok() {
                receive(epoch, link.receiver, &executor, &lost).await;
            }
        }
        Err(refusal) => {
            refused(&link, &refusal.to_string());
            link.refuse(&Reply::Refused(refusal)).await;
        }
    }
}

fn refused(link: &Link, why: &str) {
    // Strangers can cause these lines.
    static LINES: Occasional = Occasional::new(Duration::from_secs(1));
    if let Some(before) = LINES.pass() {
        tracing::warn!(peer = %link.peer.short(), why, before, "stage link refused");
    }
}

/// Dials a peer for one direction of an epoch's ring. A peer that speaks only an older version is dialed again with it.
pub(crate) async fn dial(
    transport: &dyn Transport,
    peer: &PeerAddr,
    epoch: Epoch,
    role: Role,
) -> Result<Link, ConnectError> {
    match introduce(transport, peer, Hello { version: VERSION, epoch, role }).await {
        Err(ConnectError::Refused(refusal)) => match refusal.retry_with(VERSION) {
            Some(version) => introduce(transport, peer, Hello { version, epoch, role }).await,
            None => Err(refusal.into()),
        },
        other => other,
    }
}

async fn introduce(transport: &dyn Transport, peer: &PeerAddr, hello: Hello) -> Result<Link, ConnectError> {
    let mut link = transport.dial(peer, Protocol::Stage).await?;
    link.sender.send(&hello, &[]).await?;
    let reply = tokio::time::timeout(HELLO_WITHIN, link.receiver.recv::<Reply>()).await;
    match reply.map_err(|_| ConnectError::Timeout)??.message {
        Reply::Accepted => Ok(link),
        Reply::Refused(refusal) => Err(refusal.into()),
    }
}

/// Hands frames to the executor until the link ends. A frame is read once its stage has room for it: until then it stays
/// in the transport, which slows the sender down.
pub(crate) async fn receive(
    epoch: Epoch,
    mut receiver: FrameReceiver,
    executor: &Executor,
    lost: &mpsc::Sender<LinkLost>,
) {
    let mut inlet = None;
    let error = loop {
        if let Err(error) = receive_frame(epoch, &mut receiver, executor, &mut inlet).await {
            break error;
        }
    };
    drop(lost.send(LinkLost { epoch, message: format!("the link from the earlier stage: {error}") }).await);
}

/// Receives one frame. `inlet` is the stage's, once it was found.
async fn receive_frame(
    epoch: Epoch,
    receiver: &mut FrameReceiver,
    executor: &Executor,
    inlet: &mut Option<FrameBudget>,
) -> Result<(), LinkError> {
    let bytes = receiver.next_bytes().await? as u64 + FRAME_BYTES;
    if inlet.is_none() {
        *inlet = executor.inlet(epoch).await;
    }
    let admitted = match inlet {
        Some(inlet) => inlet.admit(bytes).await,
        None => Err(NotAdmitted::Closed),
    };
    match admitted {
        Ok(permit) => {
            let Received { message, body } = receiver.recv::<StageFrame>().await?;
            if message.epoch() == epoch {
                executor.frame(message, body, permit).await;
            } else {
                tracing::warn!(%epoch, got = %message.epoch(), "frame of another epoch refused");
            }
        }
        Err(NotAdmitted::OverLimit(error)) => {
            let message = receiver.recv_without_body::<StageFrame>().await?;
            if message.epoch() == epoch {
                executor.refuse(message, error).await;
            }
        }
        Err(NotAdmitted::Closed) => {
            // The stage was stopped, or is not here yet.
            receiver.recv_without_body::<StageFrame>().await?;
            *inlet = None;
        }
    }
    Ok(())
}

/// Sends the executor's output until the link or the epoch ends. The later stage sends nothing: anything that comes from
/// it ends the link.
pub(crate) async fn transmit(
    epoch: Epoch,
    link: Link,
    mut out: mpsc::Receiver<Outgoing>,
    lost: mpsc::Sender<LinkLost>,
) {
    let Link { mut sender, mut receiver, .. } = link;
    let ended = receiver.recv::<Reply>();
    tokio::pin!(ended);
    let error = loop {
        tokio::select! {
            next = out.recv() => match next {
                // It is held until it is sent, and booked for as long.
                Some(outgoing) => {
                    if let Err(error) = sender.send(&outgoing.frame, &outgoing.body).await {
                        break error.to_string();
                    }
                }
                None => return,
            },
            end = &mut ended => break end.err().map_or("it sent something unexpected".into(), |error| error.to_string()),
        }
    };
    drop(lost.send(LinkLost { epoch, message: format!("the link to the later stage: {error}") }).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Detached;
    use gogrid_wire::{
        OLDEST_VERSION, SessionId,
        stage::{Rows, Span, Step},
    };

    #[test]
    fn only_the_planned_peer_of_a_living_epoch_is_admitted() {
        let inbound = Inbound::default();
        let (lost, _receiver) = mpsc::channel(1);
        inbound.expect(Epoch(7), PeerId([1; 32]), lost);
        let hello = |epoch, role| Hello { version: VERSION, epoch: Epoch(epoch), role };
        let admit = |peer, hello| inbound.admit(PeerId([peer; 32]), &hello).map(drop);

        assert!(inbound.expects(PeerId([1; 32])) && !inbound.expects(PeerId([2; 32])));
        assert_eq!(admit(1, hello(7, Role::Sender)), Ok(()));
        assert_eq!(admit(2, hello(7, Role::Sender)), Err(Refusal::WrongPeer(Epoch(7))));
        assert_eq!(admit(1, hello(7, Role::Receiver)), Err(Refusal::WrongPeer(Epoch(7))));
        assert_eq!(admit(1, hello(6, Role::Sender)), Err(Refusal::UnknownEpoch(Epoch(6))));
        inbound.forget(Epoch(7));
        assert_eq!(admit(1, hello(7, Role::Sender)), Err(Refusal::UnknownEpoch(Epoch(7))));
    }

    const EPOCH: Epoch = Epoch(7);
    const PEER: PeerId = PeerId([1; 32]);

    fn close(epoch: Epoch, session: u64) -> StageFrame {
        StageFrame::Close { epoch, session: SessionId(session) }
    }

    /// A worker that expects one peer in [`EPOCH`], and that peer's link to it, not yet introduced.
    struct Worker {
        dialer: Arc<dyn Transport>,
        worker: PeerAddr,
        frames: Detached,
        losses: mpsc::Receiver<LinkLost>,
        _serving: tokio::task::JoinSet<()>,
    }

    impl Worker {
        fn start() -> Self {
            let net = gogrid_link::MemoryNet::default();
            let (dialer, here) = (net.join(PEER), net.join(PeerId([2; 32])));
            let worker = PeerAddr { id: here.id(), addrs: Vec::new() };
            let (executor, frames) = Detached::new();
            let (inbound, (lost, losses)) = (Inbound::default(), mpsc::channel(4));
            inbound.expect(EPOCH, PEER, lost);
            let mut serving = tokio::task::JoinSet::new();
            serving.spawn(async move {
                while let Some(link) = here.accept().await {
                    tokio::spawn(serve_inbound(link, inbound.clone(), executor.clone()));
                }
            });
            Self { dialer, worker, frames, losses, _serving: serving }
        }

        async fn dial(&self, epoch: Epoch) -> Result<Link, ConnectError> {
            dial(&*self.dialer, &self.worker, epoch, Role::Sender).await
        }
    }

    #[tokio::test]
    async fn a_refused_peer_is_told_why() {
        let worker = Worker::start();
        let refused = worker.dial(Epoch::new(6, 1)).await.err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some("the stage link was refused: no stage of epoch 6 is here"));
        worker.dial(EPOCH).await.map(drop).expect("the planned peer is admitted");
    }

    #[tokio::test]
    async fn an_earlier_stage_of_the_version_before_is_admitted() {
        let worker = Worker::start();
        for version in OLDEST_VERSION..=VERSION {
            let hello = Hello { version, epoch: EPOCH, role: Role::Sender };
            introduce(&*worker.dialer, &worker.worker, hello).await.map(drop).expect("admitted");
        }
        for version in [OLDEST_VERSION - 1, VERSION + 1] {
            let hello = Hello { version, epoch: EPOCH, role: Role::Sender };
            let refused = introduce(&*worker.dialer, &worker.worker, hello).await.err();
            let refusal = Refusal::Version { theirs: version, ours: VERSION };
            assert!(matches!(&refused, Some(ConnectError::Refused(told)) if *told == refusal), "{refused:?}");
        }
    }

    /// A stage of version 5 refuses every other number, and is dialed again with its own.
    #[tokio::test]
    async fn a_later_stage_of_the_version_before_is_dialed_again_in_its_version() {
        let net = gogrid_link::MemoryNet::default();
        let (dialer, here) = (net.join(PEER), net.join(PeerId([2; 32])));
        let worker = PeerAddr { id: here.id(), addrs: Vec::new() };
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            let mut versions = Vec::new();
            while let Some(mut link) = here.accept().await {
                let hello = link.receiver.recv::<Hello>().await.expect("a hello").message;
                versions.push(hello.version);
                if hello.version == 5 {
                    link.sender.send(&Reply::Accepted, &[]).await.expect("sent");
                    return versions;
                }
                let refusal = Refusal::Version { theirs: hello.version, ours: 5 };
                link.refuse(&Reply::Refused(refusal)).await;
            }
            versions
        });
        dial(&*dialer, &worker, EPOCH, Role::Sender).await.map(drop).expect("admitted");
        assert_eq!(serving.join_next().await.expect("it runs").expect("no panic"), [VERSION, 5]);
    }

    #[tokio::test]
    async fn a_frame_of_another_epoch_is_left_out_and_the_link_goes_on() {
        let mut worker = Worker::start();
        let mut link = worker.dial(EPOCH).await.expect("admitted");
        for (epoch, session) in [(EPOCH, 1), (Epoch(6), 2), (Epoch(8), 3), (EPOCH, 4)] {
            link.sender.send(&close(epoch, session), &[]).await.expect("sent");
        }
        assert_eq!(worker.frames.frame().await, Some(close(EPOCH, 1)));
        assert_eq!(worker.frames.frame().await, Some(close(EPOCH, 4)));
    }

    /// Rows of a session, more than there is memory for.
    fn large() -> (StageFrame, Vec<u8>) {
        let span = Span { session: SessionId(2), position: 0, tokens: 1 << 19, want: None };
        let body = vec![0; 1 << 21];
        (StageFrame::Step(Step { epoch: EPOCH, spans: vec![span], rows: Rows::Tokens }), body)
    }

    #[tokio::test]
    async fn a_frame_without_memory_or_stage_is_skipped_and_the_link_goes_on() {
        let mut worker = Worker::start();
        let mut link = worker.dial(EPOCH).await.expect("admitted");
        let (frame, body) = large();
        let expected = frame.clone();
        let sending = tokio::spawn(async move {
            for _ in 0..2 {
                link.sender.send(&frame, &body).await.expect("sent");
            }
            link.sender.send(&close(EPOCH, 4), &[]).await.expect("sent");
            link
        });
        worker.frames.no_stage().await;
        assert_eq!(worker.frames.refused().await, Some(expected));
        assert_eq!(worker.frames.frame().await, Some(close(EPOCH, 4)));
        drop(sending.await);
    }

    #[tokio::test]
    async fn bytes_that_are_no_frame_end_the_link_and_the_coordinator_hears_why() {
        let bounds = gogrid_wire::frame::Bounds::STAGE;
        let oversized = [(bounds.header + 1).to_le_bytes(), [0; 4]].concat();
        let truncated = [[9, 0, 0, 0], [0; 4]].concat();
        let no_message = [2, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF].to_vec();
        for bytes in [oversized, truncated, no_message] {
            let mut worker = Worker::start();
            let mut link = worker.dial(EPOCH).await.expect("admitted");
            link.sender.send_raw(&bytes).await.expect("sent");
            link.sender.finish().await.expect("finished");
            let lost = tokio::select! {
                lost = worker.losses.recv() => lost.expect("told"),
                frame = worker.frames.frame() => panic!("no frame: {frame:?}"),
            };
            assert_eq!(lost.epoch, EPOCH);
            assert!(lost.message.contains("the link from the earlier stage"), "{}", lost.message);
        }
    }
}
