//! A client of the control socket of a worker on this machine.

#[cfg(unix)]
#[path = "worker_client/unix.rs"]
mod stream;
#[cfg(windows)]
#[path = "worker_client/windows.rs"]
mod stream;

use anyhow::{Context, Result, bail};
use gogrid_panel_api::{Request, Response, Status};
use std::{io, path::Path, time::Duration};
use stream::Stream;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// The worker answers from memory; the longest order, a pause, waits for the step that is being computed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// A connection to one worker.
#[derive(Debug)]
pub(crate) struct WorkerClient {
    stream: BufReader<Stream>,
}

impl WorkerClient {
    /// The worker that runs in `data`; `None` when none does.
    ///
    /// # Errors
    /// When one may be running, but cannot be spoken to.
    pub(crate) async fn find(data: &Path) -> Result<Option<Self>> {
        match stream::connect(data).await {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream) })),
            // No socket, or one that a worker left that was killed.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(error).with_context(|| format!("the worker in {} is another user's", data.display()))
            }
            Err(error) => Err(error).with_context(|| format!("the worker in {} cannot be reached", data.display())),
        }
    }

    /// The worker that runs in `data`.
    ///
    /// # Errors
    /// When none does, or it cannot be spoken to.
    pub(crate) async fn connect(data: &Path) -> Result<Self> {
        Self::find(data).await?.with_context(|| format!("no worker is running in {}", data.display()))
    }

    /// Asks, and takes the answer.
    ///
    /// # Errors
    /// When the worker refuses, with its words, or is gone.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Response> {
        self.send(request).await?;
        self.next_within(Duration::ZERO).await
    }

    /// Asks for the state.
    ///
    /// # Errors
    /// As [`WorkerClient::ask`].
    pub(crate) async fn status(&mut self) -> Result<Status> {
        match self.ask(&Request::Status).await? {
            Response::Status(status) => Ok(*status),
            _ => bail!(MISUNDERSTOOD),
        }
    }

    /// Has something done.
    ///
    /// # Errors
    /// As [`WorkerClient::ask`].
    pub(crate) async fn order(&mut self, request: &Request) -> Result<()> {
        match self.ask(request).await? {
            Response::Done => Ok(()),
            _ => bail!(MISUNDERSTOOD),
        }
    }

    /// Asks without waiting for the answer.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await.context(GONE)
    }

    /// The next answer, which may take so long by the request itself, and as much longer as any answer.
    ///
    /// # Errors
    /// When it is a refusal, does not come, or the worker is gone.
    pub(crate) async fn next_within(&mut self, expected: Duration) -> Result<Response> {
        timeout(expected + ANSWERS_WITHIN, self.next()).await.context("the worker does not answer")?
    }

    async fn next(&mut self) -> Result<Response> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.context(GONE)?;
        if line.pop() != Some(b'\n') {
            bail!(GONE);
        }
        match serde_json::from_slice(&line).context(MISUNDERSTOOD)? {
            Response::Refused(refused) => bail!("{}", refused.message),
            response => Ok(response),
        }
    }
}

const GONE: &str = "the worker has ended the connection";
const MISUNDERSTOOD: &str = "the worker's answer is not understood: it may be of another version";

#[cfg(test)]
#[cfg(unix)]
mod tests;
