//! Pause and resume, on a connection of their own that is kept open.

use super::connection::{Connection, ConnectionError};
use gogrid_panel_api::{Request, RequestError, Response};
use std::{path::PathBuf, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// Clicks that wait for the one before; more than a person makes before the first is done.
const QUEUE: usize = 16;
/// The worker answers a pause when the step that computes is over: a slice of milliseconds, or at worst a layer of a
/// large model on a slow machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Pauses and resumes the worker, whatever else it is asked meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct PauseChannel(mpsc::Sender<(Request, oneshot::Sender<Result<Response, RequestError>>)>);

impl PauseChannel {
    /// For the worker of this folder; `up` says when it is there. The future does the work, until every handle is gone.
    pub(crate) fn new(data: PathBuf, up: watch::Receiver<bool>) -> (Self, impl Future<Output = ()>) {
        let (sender, clicks) = mpsc::channel(QUEUE);
        (Self(sender), PauseTask { data, up, connection: None }.run(clicks))
    }

    /// Has a pause or its end done, and waits for it.
    ///
    /// # Errors
    /// When the worker refuses or is not there.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, RequestError> {
        let (sender, answer) = oneshot::channel();
        let click = (request, sender);
        self.0
            .try_send(click)
            .map_err(|_| RequestError::new(None, "the engine is still busy with the clicks before"))?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> RequestError {
    RequestError::new(None, "GoGrid is ending")
}

struct PauseTask {
    data: PathBuf,
    up: watch::Receiver<bool>,
    connection: Option<Connection>,
}

impl PauseTask {
    async fn run(mut self, mut clicks: mpsc::Receiver<(Request, oneshot::Sender<Result<Response, RequestError>>)>) {
        loop {
            tokio::select! {
                biased;
                click = clicks.recv() => {
                    let Some((request, answer)) = click else { return };
                    // A page that has been closed does not wait for its answer.
                    let _ = answer.send(self.forward(&request).await.map_err(RequestError::from));
                }
                changed = self.up.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // The old worker's connection is of no use to the new one.
                    self.connection = None;
                    if *self.up.borrow_and_update() {
                        self.connection = Connection::open(&self.data).await.ok();
                    }
                }
            }
        }
    }

    /// On the connection that is open, and on a new one where that turns out to be dead. An order that is given twice
    /// does what it does once.
    async fn forward(&mut self, request: &Request) -> Result<Response, ConnectionError> {
        if let Some(connection) = &mut self.connection {
            match connection.ask(request, ANSWERS_WITHIN).await {
                Err(ConnectionError::Gone) => {}
                Err(error) => {
                    // An answer that comes late would be taken for the next order's.
                    self.connection = None;
                    return Err(error);
                }
                answer => return answer,
            }
        }
        self.connection = None;
        let mut connection = Connection::open(&self.data).await?;
        let answer = connection.ask(request, ANSWERS_WITHIN).await?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
