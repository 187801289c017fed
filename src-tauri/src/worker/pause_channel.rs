//! Pause and resume, on a connection of their own that is kept open.

use super::client_error::for_page;
use gogrid_panel_api::{Request, RequestError, Response};
use gogrid_panel_client::{ANSWER_TIMEOUT, ClientError, WorkerClient};
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot, watch};

/// Clicks that wait for the one before them: more than a person makes while the first is carried out.
const QUEUE: usize = 16;

/// A request, and where its answer goes.
type Click = (Request, oneshot::Sender<Result<Response, RequestError>>);

/// Pauses and resumes the worker, no matter what else it is asked meanwhile. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct PauseChannel(mpsc::Sender<Click>);

impl PauseChannel {
    /// For the worker of this data folder; `worker_up` says whether it answers. The future does the work until every
    /// handle is dropped.
    pub(crate) fn new(data: PathBuf, worker_up: watch::Receiver<bool>) -> (Self, impl Future<Output = ()>) {
        let (sender, clicks) = mpsc::channel(QUEUE);
        (Self(sender), PauseTask { data, worker_up, client: None }.run(clicks))
    }

    /// Sends a pause or a resume, and waits for the worker's answer.
    ///
    /// # Errors
    /// When the worker refuses or is not running, or [`QUEUE`] clicks wait already.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, RequestError> {
        let (sender, answer) = oneshot::channel();
        let busy = |_| RequestError::new(None, "the engine is still busy with the clicks before");
        self.0.try_send((request, sender)).map_err(busy)?;
        answer.await.unwrap_or_else(|_| Err(RequestError::new(None, "GoGrid is ending")))
    }
}

struct PauseTask {
    data: PathBuf,
    worker_up: watch::Receiver<bool>,
    client: Option<WorkerClient>,
}

impl PauseTask {
    async fn run(mut self, mut clicks: mpsc::Receiver<Click>) {
        loop {
            tokio::select! {
                biased;
                click = clicks.recv() => {
                    let Some((request, answer)) = click else { return };
                    // A page that was closed does not wait for its answer.
                    let _ = answer.send(self.forward(&request).await.map_err(for_page));
                }
                changed = self.worker_up.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // The new worker does not know the connection of the old one.
                    self.client = None;
                    if *self.worker_up.borrow_and_update() {
                        self.client = WorkerClient::connect(&self.data).await.ok();
                    }
                }
            }
        }
    }

    /// Sends on the open connection, or on a new one if that turns out to be dead. Pause and resume are idempotent, so
    /// a request that the dead connection did deliver does no harm.
    async fn forward(&mut self, request: &Request) -> Result<Response, ClientError> {
        if let Some(client) = self.client.take() {
            match self.exchange(client, request).await {
                Err(ClientError::Closed) => {}
                answer => return answer,
            }
        }
        let client = WorkerClient::connect(&self.data).await?;
        self.exchange(client, request).await
    }

    /// Keeps the connection if it answered: after a timeout, the late answer would be taken for that of the next
    /// request.
    async fn exchange(&mut self, mut client: WorkerClient, request: &Request) -> Result<Response, ClientError> {
        let answer = client.ask(request, ANSWER_TIMEOUT).await;
        if matches!(answer, Ok(_) | Err(ClientError::Refused(_))) {
            self.client = Some(client);
        }
        answer
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
