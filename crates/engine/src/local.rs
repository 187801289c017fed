//! The worker's control socket: what the panel and the command line talk to.
//!
//! ```text
//! client ──one request a line──▶ connection ──Status, Follow──▶ Handler::status, Handler::changes
//!        ◀──one response a line──            ──everything else▶ Handler::handle
//! ```
//! The socket lies in the data folder, and only its owner can open it from its first moment on. A client cannot disturb
//! others: each has a task of its own, there are at most [`MAX_CLIENTS`], a request has a longest length and a time within
//! which its line ends, and a client that does not read its answers is dropped.

mod connection;
mod lines;
#[cfg(unix)]
#[path = "local/unix.rs"]
mod listener;
#[cfg(windows)]
#[path = "local/windows.rs"]
mod listener;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use futures::FutureExt;
use gogrid_panel_api::{Request, Response, Status};
use listener::Listener;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// Clients served at once: a panel, a few terminals and scripts, with room to spare.
const MAX_CLIENTS: usize = 32;
/// How long clients may take.
const TIMEOUTS: Timeouts = Timeouts { line: Duration::from_secs(10), answer: Duration::from_secs(5) };
/// The pause after a client could not be accepted: a loop without one would use more of what the system is short of.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    /// To end a line that it has begun: programs write it in one go, and people paste it.
    line: Duration,
    /// To take an answer. Sockets are buffered, so that only a client that does not read needs longer.
    answer: Duration,
}

/// The worker behind the socket.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// The state, now.
    fn status(&self) -> Status;

    /// Changes whenever clients that follow have to be told at once: of another allowance or connection.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Handles every request but `Status` and `Follow`. It is carried out to its end even if the client has gone.
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send;
}

/// Why the socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Sockets have short names.
    #[error(
        "{path} is {length} bytes long, and the path of a socket has at most {limit}: choose a shorter data folder"
    )]
    PathTooLong {
        /// The socket's path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The most that the system takes.
        limit: usize,
    },
    /// The system said no.
    #[error("cannot listen on {path}")]
    Io {
        /// The socket's path, or the pipe's name.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The socket, listening. It is removed on drop: drop it before the lock on the data folder.
pub(crate) struct Local {
    listener: Listener,
}

impl Local {
    /// Listens in this data folder. The caller holds the folder's lock, so that a socket found there belongs to a dead worker
    /// and is replaced. Needs a runtime.
    ///
    /// # Errors
    /// When the path is too long, or the system does not let us.
    pub(crate) fn bind(data: &Path) -> Result<Self, LocalError> {
        Ok(Self { listener: Listener::bind(data)? })
    }

    /// Serves clients until it is dropped, and their connections with it.
    pub(crate) async fn serve(mut self, handler: impl Handler) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                // Clients that have gone make room before the next is accepted.
                biased;
                Some(ended) = clients.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a client of the control socket was dropped"),
                    Err(error) => tracing::error!(%error, "a connection of the control socket failed"),
                },
                accepted = self.listener.accept() => match accepted {
                    Ok(stream) if clients.len() < MAX_CLIENTS => {
                        clients.spawn(connection::serve(stream, handler.clone(), TIMEOUTS));
                    }
                    // A new connection's buffer is empty and takes the answer at once; if not, there is no answer.
                    Ok(stream) => drop(connection::turn_away(stream).now_or_never()),
                    Err(error) => {
                        tracing::warn!(%error, "a client of the control socket cannot be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}
