//! What the page asks of the worker.

use super::{PauseChannel, connection::Connection};
use gogrid_panel_api::{Request, RequestError, Response};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// WorkerCommands that the page may have under way: a join, a self-test and what is drawn meanwhile.
const MAX_CONCURRENT: usize = 8;
/// The worker answers from memory.
const QUICK: Duration = Duration::from_secs(10);
/// The coordinator is asked first, or answers under way are finished, or there are some seconds of work to measure.
const SLOW: Duration = Duration::from_secs(120);

/// Carries the page's commands.
#[derive(Debug, Clone)]
pub(crate) struct WorkerCommands {
    data: PathBuf,
    pause_channel: PauseChannel,
    permits: Arc<Semaphore>,
}

impl WorkerCommands {
    /// To the worker of this folder.
    pub(crate) fn new(data: PathBuf, pause_channel: PauseChannel) -> Self {
        Self { data, pause_channel, permits: Arc::new(Semaphore::new(MAX_CONCURRENT)) }
    }

    /// Has something done, on a connection of its own, so that no order waits behind another.
    ///
    /// # Errors
    /// When the worker refuses, is not there, or does not answer; and for requests that are the app's own.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, RequestError> {
        let within = match request {
            Request::Status | Request::Follow { .. } => {
                return Err(RequestError::new(Some("request"), "the app follows the state itself: call `follow`"));
            }
            Request::Pause(_) | Request::Resume => return refusal(self.pause_channel.send(request).await?),
            Request::Join { .. } | Request::Leave | Request::SelfTest => SLOW,
            _ => QUICK,
        };
        let _permit = self.permits.try_acquire().map_err(|_| RequestError::new(None, "too much is asked at once"))?;
        let mut connection = Connection::open(&self.data).await?;
        refusal(connection.ask(&request, within).await?)
    }
}

/// A refusal is an error here, so that nobody takes it for an answer.
fn refusal(response: Response) -> Result<Response, RequestError> {
    match response {
        Response::Refused(refused) => Err(refused),
        response => Ok(response),
    }
}
