//! Requests of the page and the tray to the worker.

use super::{PauseChannel, client_error::for_page};
use gogrid_panel_api::{Request, RequestError, Response};
use gogrid_panel_client::WorkerClient;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Requests in flight at once: a join, a self-test, and what the page draws meanwhile.
const MAX_CONCURRENT: usize = 8;
/// The worker answers these from memory.
const QUICK: Duration = Duration::from_secs(10);
/// These wait for the coordinator, for answers in flight to finish, for some seconds of measured work, or for a disk that
/// deletes many files.
const SLOW: Duration = Duration::from_secs(120);

/// Sends requests to the worker of one data folder.
#[derive(Debug, Clone)]
pub(crate) struct WorkerCommands {
    data: PathBuf,
    pause_channel: PauseChannel,
    permits: Arc<Semaphore>,
}

impl WorkerCommands {
    /// For the worker of this data folder.
    pub(crate) fn new(data: PathBuf, pause_channel: PauseChannel) -> Self {
        Self { data, pause_channel, permits: Arc::new(Semaphore::new(MAX_CONCURRENT)) }
    }

    /// Sends a request on a connection of its own, so that it never waits behind another, and returns the response.
    ///
    /// # Errors
    /// When the worker refuses, is not running or does not answer in time; when [`MAX_CONCURRENT`] requests are in
    /// flight; and for the requests that the app makes itself.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, RequestError> {
        let deadline = match request {
            Request::Status | Request::Follow { .. } => {
                return Err(RequestError::new(Some("request"), "the app follows the state itself: call `follow`"));
            }
            Request::Pause(_) | Request::Resume => return self.pause_channel.send(request).await,
            _ => deadline(&request),
        };
        let _permit = self.permits.try_acquire().map_err(|_| RequestError::new(None, "too much is asked at once"))?;
        let mut client = WorkerClient::connect(&self.data).await.map_err(for_page)?;
        client.ask(&request, deadline).await.map_err(for_page)
    }
}

/// How long the worker may take to answer.
fn deadline(request: &Request) -> Duration {
    match request {
        Request::Join { .. }
        | Request::JoinAgain
        | Request::Leave
        | Request::SelfTest { .. }
        | Request::ClearWeights { .. } => SLOW,
        _ => QUICK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_others_has_time() {
        for slow in [
            Request::Join { code: String::new() },
            Request::JoinAgain,
            Request::Leave,
            Request::SelfTest { after_answers: true },
            Request::ClearWeights { model: None },
        ] {
            assert_eq!(deadline(&slow), SLOW, "{slow:?}");
        }
        assert_eq!(deadline(&Request::Weights), QUICK);
    }
}
