use crate::{
    identity::Identity,
    occasional::Occasional,
    slots::Slots,
    transport::{self, DialError, Link, Protocol, Transport},
};
use futures::future::BoxFuture;
use gogrid_wire::{PeerAddr, PeerId};
use iroh::{
    Endpoint, EndpointAddr, PublicKey, RelayMode, TransportAddr,
    endpoint::{Connection, Incoming, IncomingAddr, QuicTransportConfig, presets},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

/// A link without a packet for this long is dead. Keep-alives are sent every second, so four may be late.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A peer that connects must open its stream within this time.
const OPEN_WITHIN: Duration = Duration::from_secs(3);
/// The least time between two log lines about refused handshakes.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// On an office network a peer answers within this time, if at all.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait for the operating system to name this machine's addresses.
const ADDRS_WITHIN: Duration = Duration::from_secs(3);
/// Handshakes at once, and links accepted but not yet taken. A whole fleet reconnects at once after a restart, and
/// refused dials are repeated.
const PENDING: usize = 256;
/// Handshakes at once from one address, which may be a router that many machines are behind.
const PENDING_PER_ADDRESS: usize = 64;
/// With more handshakes than this under way, a peer must first show that it receives what is sent to its address.
const VALIDATED_FROM: usize = 32;

/// Links over iroh (QUIC), with direct addresses only: no relays or discovery of third parties.
pub struct IrohTransport {
    endpoint: Endpoint,
    accepted: Mutex<mpsc::Receiver<Link>>,
    _accepting: tokio::task::JoinSet<()>,
}

/// Why no endpoint can be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind the link endpoint to {addr}: {reason}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// The system's reason.
    pub reason: String,
}

impl IrohTransport {
    /// Binds a UDP socket and starts accepting.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(identity: &Identity, addr: SocketAddr) -> Result<Self, BindError> {
        let failed = |reason: String| BindError { addr, reason };
        let idle = IDLE_TIMEOUT.try_into().map_err(|_| failed("idle timeout out of range".into()))?;
        let transport = QuicTransportConfig::builder()
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(KEEP_ALIVE)
            .default_path_keep_alive_interval(KEEP_ALIVE)
            .build();
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(identity.secret())
            .alpns(Protocol::ALL.map(|protocol| protocol.alpn().to_vec()).into())
            .relay_mode(RelayMode::Disabled)
            .transport_config(transport)
            .clear_ip_transports()
            .bind_addr(addr)
            .map_err(|error| failed(error.to_string()))?
            .bind()
            .await
            .map_err(|error| failed(chain(&error)))?;
        let (links, accepted) = mpsc::channel(PENDING);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(endpoint.clone(), links));
        Ok(Self { endpoint, accepted: Mutex::new(accepted), _accepting: accepting })
    }

    /// The UDP address that is bound.
    pub fn bound(&self) -> Option<SocketAddr> {
        self.endpoint.bound_sockets().into_iter().next()
    }
}

impl Transport for IrohTransport {
    fn id(&self) -> PeerId {
        PeerId(*self.endpoint.id().as_bytes())
    }

    fn addrs(&self) -> BoxFuture<'_, Vec<SocketAddr>> {
        Box::pin(async {
            use futures::StreamExt;
            use iroh::Watcher;
            let found = self.endpoint.watch_addr().stream().filter_map(|addr| async move {
                let addrs: Vec<SocketAddr> = addr.ip_addrs().copied().collect();
                (!addrs.is_empty()).then_some(addrs)
            });
            tokio::pin!(found);
            tokio::time::timeout(ADDRS_WITHIN, found.next()).await.ok().flatten().unwrap_or_default()
        })
    }

    fn dial<'a>(&'a self, peer: &'a PeerAddr, protocol: Protocol) -> BoxFuture<'a, Result<Link, DialError>> {
        Box::pin(async move {
            let failed = |reason: String| DialError { peer: peer.id, addrs: peer.addrs.clone(), reason };
            let key = PublicKey::from_bytes(&peer.id.0).map_err(|_| failed("its key is not a valid one".into()))?;
            let addr = EndpointAddr::from_parts(key, peer.addrs.iter().copied().map(TransportAddr::Ip));
            let connection = tokio::time::timeout(DIAL_WITHIN, self.endpoint.connect(addr, protocol.alpn()))
                .await
                .map_err(|_| failed(format!("no answer within {} s", DIAL_WITHIN.as_secs())))?
                .map_err(|error| failed(chain(&error)))?;
            let (writer, reader) = connection.open_bi().await.map_err(|error| failed(error.to_string()))?;
            Ok(Link::new(peer.id, protocol, remote_ip(&connection), writer, reader, Arc::new(connection)))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        Box::pin(async { self.accepted.lock().await.recv().await })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.endpoint.close())
    }
}

impl transport::Connection for Connection {
    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { drop(Connection::closed(self).await) })
    }

    fn round_trip(&self) -> Option<Duration> {
        let paths = self.paths();
        paths.iter().find(iroh::endpoint::Path::is_selected).map(|path| path.rtt())
    }
}

/// Runs each handshake in a task of its own, so a slow peer delays nobody.
async fn accept(endpoint: Endpoint, links: mpsc::Sender<Link>) {
    let mut handshakes = JoinSet::new();
    let slots = Slots::new(PENDING, PENDING_PER_ADDRESS);
    let refused = Occasional::new(LOG_EVERY);
    while let Some(incoming) = endpoint.accept().await {
        while handshakes.try_join_next().is_some() {}
        if slots.taken() >= VALIDATED_FROM && !incoming.remote_addr_validated() {
            drop(incoming.retry());
            continue;
        }
        let address = match incoming.remote_addr() {
            IncomingAddr::Ip(address) => Some(address.ip()),
            _ => None,
        };
        let Some(slot) = slots.take(address) else {
            incoming.refuse();
            if let Some(before) = refused.pass() {
                tracing::warn!(?address, before, "too many handshakes at once; refused");
            }
            continue;
        };
        let links = links.clone();
        handshakes.spawn(async move {
            let _slot = slot;
            match tokio::time::timeout(OPEN_WITHIN, handshake(incoming)).await {
                Ok(Some(link)) => drop(links.send(link).await),
                Ok(None) => {}
                Err(_) => tracing::debug!("a peer connected but opened no stream in time"),
            }
        });
    }
}

async fn handshake(incoming: Incoming) -> Option<Link> {
    let connection = incoming.await.inspect_err(|error| tracing::debug!(%error, "incoming connection failed")).ok()?;
    let protocol = Protocol::from_alpn(connection.alpn())?;
    let (writer, reader) = connection.accept_bi().await.ok()?;
    let peer = PeerId(*connection.remote_id().as_bytes());
    Some(Link::new(peer, protocol, remote_ip(&connection), writer, reader, Arc::new(connection)))
}

fn remote_ip(connection: &Connection) -> Option<IpAddr> {
    let paths = connection.paths();
    paths.iter().find_map(|path| match path.remote_addr() {
        TransportAddr::Ip(addr) => Some(addr.ip()),
        _ => None,
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
