use crate::{
    error::ClientError,
    stream::{Stream, connect},
};
use gogrid_panel_api::{Request, Response, Status};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// The longest response line, in bytes. The longest answer, 2000 events of the timeline, is a quarter of it.
pub const MAX_RESPONSE: u64 = 4 * 1024 * 1024;
/// The deadline of an ordinary request. The worker answers from memory, except for a pause, which waits for the slice
/// that is computing: milliseconds, or at worst a layer of a large model on a slow machine.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one worker. Requests are answered in order, so a client that gave up on an answer must be dropped:
/// the late answer would be taken for that of the next request.
#[derive(Debug)]
pub struct WorkerClient {
    stream: BufReader<Stream>,
    /// The part of the next response line that has arrived.
    line: Vec<u8>,
}

impl WorkerClient {
    /// Connects to the worker that runs in this data folder.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when none does, or why it cannot be reached.
    pub async fn connect(data: &Path) -> Result<Self, ClientError> {
        let stream = connect(data).await.map_err(|error| ClientError::connecting(data, error))?;
        Ok(Self { stream: BufReader::new(stream), line: Vec::new() })
    }

    /// Connects to the worker that runs in this data folder; `None` when none does.
    ///
    /// # Errors
    /// When one may be running but cannot be reached.
    pub async fn find(data: &Path) -> Result<Option<Self>, ClientError> {
        match Self::connect(data).await {
            Ok(client) => Ok(Some(client)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a request and waits up to `deadline` for its response.
    ///
    /// # Errors
    /// When the worker refuses, does not answer in time, or is gone.
    pub async fn ask(&mut self, request: &Request, deadline: Duration) -> Result<Response, ClientError> {
        let exchange = async {
            self.send(request).await?;
            self.next().await
        };
        timeout(deadline, exchange).await.map_err(|_| ClientError::Timeout(deadline))?
    }

    /// Asks for the status, within [`ANSWER_TIMEOUT`].
    ///
    /// # Errors
    /// As [`WorkerClient::ask`].
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status, ANSWER_TIMEOUT).await? {
            Response::Status(status) => Ok(*status),
            _ => Err(ClientError::NotUnderstood),
        }
    }

    /// Sends a command, a request that is answered by `done`, and waits for it up to [`ANSWER_TIMEOUT`].
    ///
    /// # Errors
    /// As [`WorkerClient::ask`].
    pub async fn command(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.ask(request, ANSWER_TIMEOUT).await? {
            Response::Done => Ok(()),
            _ => Err(ClientError::NotUnderstood),
        }
    }

    /// Sends a request without waiting for its response, as [`Request::Follow`] needs it.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the worker is gone.
    pub async fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|_| ClientError::NotUnderstood)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await.map_err(|_| ClientError::Closed)
    }

    /// The next response, within `deadline`.
    ///
    /// # Errors
    /// As [`WorkerClient::next`], and [`ClientError::Timeout`].
    pub async fn next_within(&mut self, deadline: Duration) -> Result<Response, ClientError> {
        timeout(deadline, self.next()).await.map_err(|_| ClientError::Timeout(deadline))?
    }

    /// The next response. Cancel-safe: the part of the line that has arrived is kept.
    ///
    /// # Errors
    /// When it is a refusal or not understood, or the worker is gone.
    pub async fn next(&mut self) -> Result<Response, ClientError> {
        // One byte more than the longest line, so that a line of exactly that length still has its end.
        let left = (MAX_RESPONSE + 1).saturating_sub(self.line.len() as u64);
        let read = (&mut self.stream).take(left).read_until(b'\n', &mut self.line).await;
        let mut line = std::mem::take(&mut self.line);
        let whole = read.is_ok() && line.pop_if(|byte| *byte == b'\n').is_some();
        if !whole {
            let too_long = line.len() as u64 > MAX_RESPONSE;
            return Err(if too_long { ClientError::TooLong(MAX_RESPONSE) } else { ClientError::Closed });
        }
        match serde_json::from_slice(&line) {
            Ok(Response::Refused(refusal)) => Err(ClientError::Refused(refusal)),
            Ok(response) => Ok(response),
            Err(_) => Err(ClientError::NotUnderstood),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
