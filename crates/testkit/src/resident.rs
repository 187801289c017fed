//! A worker as the desktop app starts it: a child with its key on standard input, controlled over its socket.

use crate::{cluster::ENVIRONMENT, command::gogrid_path, wait_until};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::{Child, ChildStdin, Command},
};

/// The worker opens its socket within this time.
const UP_WITHIN: Duration = Duration::from_secs(10);

/// In a mount namespace: a program with an `/etc` of its own, in which there is a policy.
const OWN_ETC: &str = "mount -t tmpfs none /mnt && cp -a /etc/. /mnt && mkdir -p -m 755 /mnt/gogrid && \
    printf %s \"$1\" >/mnt/gogrid/policy.toml && mount --bind /mnt /etc && shift && exec \"$@\"";

/// A worker that keeps running without a grid. Dropping it kills it.
pub struct Resident {
    child: Child,
    input: Option<ChildStdin>,
    folder: TempDir,
}

impl Resident {
    /// Starts it with this first line on its standard input.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(first_line: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gogrid-test-").tempdir()?;
        Self::start_in(folder, Command::new(gogrid_path()), first_line).await
    }

    /// Starts it with one more variable in its environment.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_with(name: &str, value: &str, first_line: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gogrid-test-").tempdir()?;
        let mut command = Command::new(gogrid_path());
        command.env(name, value);
        Self::start_in(folder, command, first_line).await
    }

    /// Starts it on a machine with this administrator's policy. Needs root for an `/etc` of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_under(policy: &str, first_line: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gogrid-test-").tempdir()?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", OWN_ETC, "sh", policy]).arg(gogrid_path());
        Self::start_in(folder, command, first_line).await
    }

    /// Ends it as its parent would and starts it again on the same data.
    ///
    /// # Errors
    /// When it does not end, or does not come up.
    pub async fn restart(mut self, first_line: &Value) -> Result<Self> {
        self.close(UP_WITHIN).await?;
        let Self { folder, .. } = self;
        Self::start_in(folder, Command::new(gogrid_path()), first_line).await
    }

    /// Kills it, as a lack of memory would, and starts it again on the same data.
    ///
    /// # Errors
    /// When it cannot be killed, or does not come up.
    pub async fn restart_after_kill(mut self, first_line: &Value) -> Result<Self> {
        self.child.kill().await?;
        let Self { folder, .. } = self;
        Self::start_in(folder, Command::new(gogrid_path()), first_line).await
    }

    async fn start_in(folder: TempDir, mut command: Command, first_line: &Value) -> Result<Self> {
        command.args(["worker", "--parent", "--name", "desk", "--data"]).arg(folder.path()).envs(ENVIRONMENT);
        let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut input = child.stdin.take().context("a pipe")?;
        input.write_all(format!("{first_line}\n").as_bytes()).await?;
        let mut resident = Self { child, input: Some(input), folder };
        wait_until("the worker's socket is there", UP_WITHIN, async || {
            if let Some(status) = resident.child.try_wait()? {
                bail!("the worker ended: {status}");
            }
            Ok(resident.status().await.ok())
        })
        .await?;
        Ok(resident)
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// One request on a connection of its own, and its answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask(&self, request: &Value) -> Result<Value> {
        let path: PathBuf = self.data().join("control.sock");
        let mut stream = BufReader::new(UnixStream::connect(path).await?);
        stream.write_all(format!("{request}\n").as_bytes()).await?;
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await? > 0, "the worker closed the connection after {request}");
        Ok(serde_json::from_str(&line)?)
    }

    /// The body of the answer to a request that is not refused.
    ///
    /// # Errors
    /// When it is.
    pub async fn get(&self, request: &Value) -> Result<Value> {
        let mut answer = self.ask(request).await?;
        ensure!(answer["response"] != "refused", "{request} was refused: {answer}");
        Ok(answer["body"].take())
    }

    /// Its state.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<Value> {
        self.get(&json!({ "request": "status" })).await
    }

    /// Closes its standard input, as a parent that ends does, and waits until it has ended.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn close(&mut self, within: Duration) -> Result<ExitStatus> {
        drop(self.input.take());
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        Ok(ended.with_context(|| format!("the worker did not end within {within:?}"))??)
    }
}
