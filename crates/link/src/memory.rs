use crate::transport::{Connection, DialError, Link, Protocol, Transport};
use futures::future::BoxFuture;
use gogrid_wire::{PeerAddr, PeerId};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex, split},
    sync::{Mutex as AsyncMutex, mpsc},
};

/// Bytes in flight per direction before a sender waits, about a QUIC stream's window.
const WINDOW: usize = 1 << 20;
/// Links dialed but not yet accepted.
const PENDING: usize = 64;

/// A network inside one process, for tests: its machines can all dial each other.
#[derive(Clone, Default)]
pub struct MemoryNet {
    machines: Arc<Mutex<HashMap<PeerId, mpsc::Sender<Link>>>>,
}

/// What was sent can be read even after the sender is gone.
struct Wire;

impl Connection for Wire {
    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }
}

struct MemoryTransport {
    net: MemoryNet,
    id: PeerId,
    accepted: AsyncMutex<mpsc::Receiver<Link>>,
}

impl Link {
    /// A link over two halves inside this process, for tests with a network of their own.
    pub fn in_memory(
        peer: PeerId,
        protocol: Protocol,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        reader: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        Self::new(peer, protocol, None, writer, reader, Arc::new(Wire))
    }
}

impl MemoryNet {
    /// Adds a machine to the network.
    pub fn join(&self, id: PeerId) -> Arc<dyn Transport> {
        let (links, accepted) = mpsc::channel(PENDING);
        self.machines().insert(id, links);
        Arc::new(MemoryTransport { net: self.clone(), id, accepted: AsyncMutex::new(accepted) })
    }

    fn machines(&self) -> std::sync::MutexGuard<'_, HashMap<PeerId, mpsc::Sender<Link>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for MemoryTransport {
    fn id(&self) -> PeerId {
        self.id
    }

    fn addrs(&self) -> BoxFuture<'_, Vec<SocketAddr>> {
        Box::pin(async { Vec::new() })
    }

    fn dial<'a>(&'a self, peer: &'a PeerAddr, protocol: Protocol) -> BoxFuture<'a, Result<Link, DialError>> {
        Box::pin(async move {
            let failed = |reason: &str| DialError { peer: peer.id, addrs: Vec::new(), reason: reason.into() };
            let machine = self.net.machines().get(&peer.id).cloned().ok_or_else(|| failed("no such machine"))?;
            let (here, there) = duplex(WINDOW);
            let link = |peer, io| {
                let (reader, writer) = split(io);
                Link::in_memory(peer, protocol, writer, reader)
            };
            machine.send(link(self.id, there)).await.map_err(|_| failed("the machine is gone"))?;
            Ok(link(peer.id, here))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        Box::pin(async { self.accepted.lock().await.recv().await })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.net.machines().remove(&self.id);
            self.accepted.lock().await.close();
        })
    }
}
