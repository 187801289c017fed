//! Connections over real sockets.

use super::*;
use axum::{body::Body, response::IntoResponse, routing::get};
use futures::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_util::sync::DropGuard;

/// A deadline for what takes a moment, on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    /// Told when a response is dropped.
    dropped: mpsc::Receiver<()>,
    _close: DropGuard,
}

async fn server(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let (told, dropped) = mpsc::channel(1);
    struct Tells(mpsc::Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    let endless = move || {
        let tells = Tells(told.clone());
        async move {
            let chunks = stream::unfold(tells, |tells| async { Some((Ok::<_, io::Error>(vec![0_u8; 65_536]), tells)) });
            Body::from_stream(chunks).into_response()
        }
    };
    let app = Router::new().route("/", get(|| async { "here" })).route("/endless", get(endless));
    let close = CancellationToken::new();
    tokio::spawn(serve("a test", listener, app, limits, Front::default(), close.clone()));
    Server { address, dropped, _close: close.drop_guard() }
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// What comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end, too.
    drop(tokio::time::timeout(SOON, stream.read_to_end(&mut all)).await.expect("closed in time"));
    all
}

#[tokio::test]
async fn headers_that_do_not_come_and_idle_connections_are_closed() {
    let limits = Limits { header_within: Duration::from_millis(300), ..Limits::default() };
    let server = server(limits).await;
    let mut silent = TcpStream::connect(server.address).await.expect("connected");
    let mut half = TcpStream::connect(server.address).await.expect("connected");
    half.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.expect("sent");
    let mut idle = ask(server.address, "/").await;
    assert!(rest(&mut idle).await.ends_with(b"here"));
    assert_eq!(rest(&mut silent).await, b"");
    rest(&mut half).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_what_worked_for_it_ends() {
    let mut server = server(Limits { stall: Duration::from_millis(300), ..Limits::default() }).await;
    let _silent = ask(server.address, "/endless").await;
    tokio::time::timeout(SOON, server.dropped.recv()).await.expect("in time").expect("the server runs");
}

#[tokio::test]
async fn there_are_so_many_connections_and_further_ones_are_closed_at_once() {
    let server = server(Limits { connections: 3, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(ask(server.address, "/endless").await);
        held.last_mut().expect("one").read_exact(&mut [0; 9]).await.expect("served");
    }
    let mut refused = TcpStream::connect(server.address).await.expect("connected");
    assert_eq!(rest(&mut refused).await, b"");
    held.clear();
    // The server sees the ends of the others in its own time.
    let served = async {
        loop {
            if rest(&mut ask_once(server.address).await).await.ends_with(b"here") {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, served).await.expect("others are served again");
}

async fn ask_once(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // The server may have closed it already.
    drop(stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await);
    stream
}
