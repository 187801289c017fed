use super::stream::{Stream, connect};
use gogrid_panel_api::{Request, RequestError, Response};
use std::{io, path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// The longest answer, in bytes: a day's history or 400 days are a tenth of it.
const LONGEST_ANSWER: u64 = 1024 * 1024;

/// A connection to the worker's control socket.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<Stream>,
    /// What has come of the next answer.
    line: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The worker is not there.
    #[error("the engine is not running")]
    Absent(#[source] io::Error),
    /// It has ended the connection.
    #[error("the engine has ended the connection")]
    Gone,
    /// It does not answer.
    #[error("the engine did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It answers something that is not understood.
    #[error("the engine's answer is not understood: it may be of another version")]
    Misunderstood(#[from] serde_json::Error),
}

impl From<ConnectionError> for RequestError {
    fn from(error: ConnectionError) -> Self {
        Self::new(None, error.to_string())
    }
}

impl Connection {
    /// Connects to the worker of this folder.
    ///
    /// # Errors
    /// When none runs there.
    pub(super) async fn open(data: &Path) -> Result<Self, ConnectionError> {
        let stream = connect(data).await.map_err(ConnectionError::Absent)?;
        Ok(Self { stream: BufReader::new(stream), line: Vec::new() })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the worker is gone.
    pub(super) async fn send(&mut self, request: &Request) -> Result<(), ConnectionError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await.map_err(|_| ConnectionError::Gone)
    }

    /// The next answer. Cancel-safe: what has come of it is kept.
    ///
    /// # Errors
    /// When the worker is gone, or the answer is none.
    pub(super) async fn next(&mut self) -> Result<Response, ConnectionError> {
        let room = LONGEST_ANSWER.saturating_sub(self.line.len() as u64);
        let read = (&mut self.stream).take(room).read_until(b'\n', &mut self.line).await;
        let line = std::mem::take(&mut self.line);
        match line.strip_suffix(b"\n") {
            Some(answer) if read.is_ok() => Ok(serde_json::from_slice(answer)?),
            _ => Err(ConnectionError::Gone),
        }
    }

    /// Asks, and takes the answer.
    ///
    /// # Errors
    /// As [`Connection::next`], and when it takes longer.
    pub(super) async fn ask(&mut self, request: &Request, within: Duration) -> Result<Response, ConnectionError> {
        let answer = async {
            self.send(request).await?;
            self.next().await
        };
        timeout(within, answer).await.map_err(|_| ConnectionError::Late(within))?
    }
}
