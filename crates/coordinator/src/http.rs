//! Serves HTTP to clients that may be slow, many, or hostile.
//!
//! A connection must send each request's header within a time, which is also how long it may be idle, and must take what
//! is written to it: one that takes nothing for the stall time is closed, and dropping its response ends the work on
//! every stage. Connections are bounded in all and per address; further ones are closed at once. What is refused is
//! counted, and logged now and then.

mod forwarded;
mod guard;
mod stall;
mod tls;

pub(crate) use guard::{Guard, guard};
pub(crate) use tls::Certificate;
pub use tls::TlsError;

use axum::{Router, extract::ConnectInfo};
use gogrid_link::{Occasional, Slots};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use stall::Stalling;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The least time between two log lines about the same thing.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// How long to wait when the system has no descriptor left.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A request's header must be there within this time, counted from the end of the one before.
    pub(crate) header_within: Duration,
    /// A client must take something within this time.
    pub(crate) stall: Duration,
    /// Connections at once.
    pub(crate) connections: usize,
    /// The same of one address.
    pub(crate) per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // As nginx; longer than browsers and clients keep an idle connection for its next request.
            header_within: Duration::from_secs(60),
            stall: Duration::from_secs(10),
            connections: 1024,
            per_address: 256,
        }
    }
}

/// What stands between a listener and its clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Front {
    /// TLS, if it is spoken.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Proxies that are believed when they say whom a request is from.
    pub(crate) proxies: Arc<[IpAddr]>,
}

/// Accepts connections until `close` is cancelled, and then lets the requests in flight end.
pub(crate) async fn serve(
    what: &'static str,
    listener: TcpListener,
    app: Router,
    limits: Limits,
    front: Front,
    close: CancellationToken,
) {
    let slots = Slots::new(limits.connections, limits.per_address);
    let (refused, failed) = (Occasional::new(LOG_EVERY), Occasional::new(LOG_EVERY));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = close.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => match slots.take(Some(peer.ip())) {
                Some(slot) => {
                    let connection = connection(stream, peer, app.clone(), limits, front.clone(), close.clone());
                    connections.spawn(async move {
                        let _slot = slot;
                        connection.await;
                    });
                }
                None => {
                    if let Some(before) = refused.pass() {
                        tracing::warn!(what, %peer, open = connections.len(), before, "too many connections; refused");
                    }
                }
            },
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                if let Some(before) = failed.pass() {
                    tracing::error!(what, %error, open = connections.len(), before, "no connection can be accepted");
                }
                tokio::time::sleep(NO_DESCRIPTOR).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Whether an error is of the connection that was to be accepted, not of this program.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    limits: Limits,
    Front { tls, proxies }: Front,
    close: CancellationToken,
) {
    // Tokens are small, and each is to be there at once.
    drop(stream.set_nodelay(true));
    let app = app.map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
        let client = forwarded::client(peer.ip(), request.headers(), &proxies);
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.port())));
        request.map(axum::body::Body::new)
    });
    let stream = Stalling::new(stream, limits.stall);
    let Some(tls) = tls else { return serve_requests(stream, app, limits, close).await };
    // A handshake that fails is its client's business.
    let handshake = tokio::time::timeout(limits.header_within, TlsAcceptor::from(tls).accept(stream));
    if let Ok(Ok(stream)) = handshake.await {
        serve_requests(stream, app, limits, close).await;
    }
}

async fn serve_requests<S, A, B>(stream: S, app: A, limits: Limits, close: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: tower::Service<axum::http::Request<hyper::body::Incoming>, Response = axum::http::Response<B>> + Clone,
    A::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: axum::body::HttpBody + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_within);
    let io = TokioIo::new(stream);
    let mut connection = std::pin::pin!(builder.serve_connection(io, TowerToHyperService::new(app)));
    tokio::select! {
        biased;
        _ = &mut connection => return,
        () = close.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

#[cfg(test)]
mod tests;
