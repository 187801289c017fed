//! What the page asks of the worker.

use super::{Brake, connection::Connection};
use gogrid_panel_api::{Request, RequestError, Response};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Orders that the page may have under way: a join, a self-test and what is drawn meanwhile.
const AT_ONCE: usize = 8;
/// The worker answers from memory.
const QUICK: Duration = Duration::from_secs(10);
/// The coordinator is asked first, or answers under way are finished, or there are some seconds of work to measure.
const SLOW: Duration = Duration::from_secs(120);

/// Carries the page's orders.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    data: PathBuf,
    brake: Brake,
    room: Arc<Semaphore>,
}

impl Orders {
    /// To the worker of this folder.
    pub(crate) fn new(data: PathBuf, brake: Brake) -> Self {
        Self { data, brake, room: Arc::new(Semaphore::new(AT_ONCE)) }
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
            Request::Pause(_) | Request::Resume => return refusal(self.brake.press(request).await?),
            Request::Join { .. } | Request::Leave | Request::SelfTest => SLOW,
            _ => QUICK,
        };
        let _room = self.room.try_acquire().map_err(|_| RequestError::new(None, "too much is asked at once"))?;
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
