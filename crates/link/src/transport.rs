use crate::framed::{FrameReceiver, FrameSender, LinkError};
use futures::future::BoxFuture;
use gogrid_wire::{CONTROL_ALPN, PeerAddr, PeerId, STAGE_ALPN, WEIGHTS_ALPN, frame::Bounds};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// The time that a refused peer has to read its refusal.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// The protocol of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Between worker and coordinator.
    Control,
    /// Along a pipeline.
    Stage,
    /// Tensors, from coordinator to worker.
    Weights,
}

impl Protocol {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Control, Self::Stage, Self::Weights];

    /// Its ALPN, the name in the TLS handshake.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Control => CONTROL_ALPN,
            Self::Stage => STAGE_ALPN,
            Self::Weights => WEIGHTS_ALPN,
        }
    }

    pub(crate) fn from_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == alpn)
    }

    fn bounds(self) -> Bounds {
        match self {
            Self::Control => Bounds::CONTROL,
            Self::Stage => Bounds::STAGE,
            Self::Weights => Bounds::WEIGHTS,
        }
    }
}

/// Why a peer cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {peer} at {addrs:?}: {reason}")]
pub struct DialError {
    /// The peer.
    pub peer: PeerId,
    /// The addresses that were tried.
    pub addrs: Vec<SocketAddr>,
    /// The transport's reason.
    pub reason: String,
}

/// A machine's end of all its links. The machine's key is its identity, and the peer of every link is authenticated.
pub trait Transport: Send + Sync + 'static {
    /// This machine's key.
    fn id(&self) -> PeerId;

    /// The addresses at which others reach this machine. Waits a few seconds while they are being found. Cancel-safe.
    fn addrs(&self) -> BoxFuture<'_, Vec<SocketAddr>>;

    /// Connects to a peer. The peer sees the link when the first frame is sent. Cancel-safe.
    fn dial<'a>(&'a self, peer: &'a PeerAddr, protocol: Protocol) -> BoxFuture<'a, Result<Link, DialError>>;

    /// The next link that a peer dialed; `None` once the transport is closed. Cancel-safe.
    fn accept(&self) -> BoxFuture<'_, Option<Link>>;

    /// Closes every link.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The connection below a link, open while one of the link's halves lives.
pub(crate) trait Connection: Send + Sync {
    /// Waits until the peer has closed it. Cancel-safe.
    fn closed(&self) -> BoxFuture<'_, ()>;

    /// The round-trip time, if it is measured.
    fn round_trip(&self) -> Option<Duration>;
}

/// One link: a protocol with one authenticated peer.
pub struct Link {
    /// The key of the machine at the other end.
    pub peer: PeerId,
    /// The protocol.
    pub protocol: Protocol,
    /// The peer's IP address, if the transport has one.
    pub remote_ip: Option<IpAddr>,
    /// To the peer.
    pub sender: FrameSender,
    /// From the peer.
    pub receiver: FrameReceiver,
    connection: Arc<dyn Connection>,
}

impl Link {
    pub(crate) fn new(
        peer: PeerId,
        protocol: Protocol,
        remote_ip: Option<IpAddr>,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        reader: impl AsyncRead + Send + Unpin + 'static,
        connection: Arc<dyn Connection>,
    ) -> Self {
        let bounds = protocol.bounds();
        Self {
            peer,
            protocol,
            remote_ip,
            sender: FrameSender::new(writer, bounds, connection.clone()),
            receiver: FrameReceiver::new(reader, bounds, connection.clone()),
            connection,
        }
    }

    /// Sends a last message, and closes once the peer has closed or after two seconds: closing earlier would discard
    /// what is still in flight.
    pub async fn refuse<M: serde::Serialize + Sync>(mut self, message: &M) {
        let goodbye = async {
            self.sender.send(message, &[]).await?;
            self.sender.finish().await?;
            self.connection.closed().await;
            Ok(())
        };
        let _: Result<Result<(), LinkError>, _> = tokio::time::timeout(FINISH_WITHIN, goodbye).await;
    }
}
