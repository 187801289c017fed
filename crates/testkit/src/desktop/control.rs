//! A worker's control socket, as the desktop app uses it.

use crate::wait_until;
use anyhow::{Context, Result, bail, ensure};
use gogrid_panel_api::{Request, Response, Status};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};

/// The longest that a worker may take for an answer: joining waits for the coordinator.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to a running worker.
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects as soon as the worker listens.
    ///
    /// # Errors
    /// When it does not by the deadline.
    pub async fn connect(socket: &Path, deadline: Duration) -> Result<Self> {
        let what = format!("a worker listens on {}", socket.display());
        let stream = wait_until(&what, deadline, async || Ok(UnixStream::connect(socket).await.ok())).await?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// One request, one response.
    ///
    /// # Errors
    /// When the worker goes or says nothing.
    pub async fn ask(&mut self, request: &Request) -> Result<Response> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let mut answer = String::new();
        let exchange = async {
            self.stream.get_mut().write_all(line.as_bytes()).await?;
            self.stream.read_line(&mut answer).await
        };
        let length =
            timeout(ANSWER, exchange).await.context("the worker does not answer")?.context("the worker went")?;
        ensure!(length > 0, "the worker closed the connection");
        serde_json::from_str(&answer).with_context(|| format!("the worker answered {answer:?}"))
    }

    /// A request that has to be done.
    ///
    /// # Errors
    /// When the worker refuses, or as [`ask`](Self::ask).
    pub async fn order(&mut self, request: &Request) -> Result<()> {
        match self.ask(request).await? {
            Response::Done => Ok(()),
            other => bail!("{request:?} was answered by {other:?}"),
        }
    }

    /// The worker's state.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn status(&mut self) -> Result<Status> {
        match self.ask(&Request::Status).await? {
            Response::Status(status) => Ok(*status),
            other => bail!("the status was answered by {other:?}"),
        }
    }

    /// Waits until a look at the state yields a value, and shows the last state if not.
    ///
    /// # Errors
    /// When the deadline passes or the worker goes.
    pub async fn wait_status<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        look: impl Fn(&Status) -> Option<T>,
    ) -> Result<T> {
        let mut last = None;
        let outcome = wait_until(what, deadline, async || {
            let status = self.status().await?;
            let seen = look(&status);
            last = Some(status);
            Ok(seen)
        })
        .await;
        outcome.with_context(|| format!("the last state: {last:#?}"))
    }
}
