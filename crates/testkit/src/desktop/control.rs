//! A worker's control socket, as the desktop app uses it.

use crate::wait_until;
use anyhow::{Context, Result};
use gogrid_panel_api::{Request, Status};
use gogrid_panel_client::WorkerClient;
use std::{path::Path, time::Duration};

/// A connection to a running worker.
pub struct Control(WorkerClient);

impl Control {
    /// Connects as soon as a worker listens in this data folder.
    ///
    /// # Errors
    /// When none does by the deadline.
    pub async fn connect(data: &Path, deadline: Duration) -> Result<Self> {
        let what = format!("a worker listens in {}", data.display());
        let client = wait_until(&what, deadline, async || Ok(WorkerClient::find(data).await.ok().flatten())).await?;
        Ok(Self(client))
    }

    /// Sends a command and waits until it is done.
    ///
    /// # Errors
    /// When the worker refuses it, goes, or says nothing.
    pub async fn command(&mut self, request: &Request) -> Result<()> {
        self.0.command(request).await.with_context(|| format!("{request:?} failed"))
    }

    /// The worker's status.
    ///
    /// # Errors
    /// When the worker goes or says nothing.
    pub async fn status(&mut self) -> Result<Status> {
        Ok(self.0.status().await?)
    }

    /// Polls the status until `condition` yields a value; the error shows the last status.
    ///
    /// # Errors
    /// When the deadline passes or the worker goes.
    pub async fn wait_status<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&Status) -> Option<T>,
    ) -> Result<T> {
        let mut last = None;
        let outcome = wait_until(what, deadline, async || {
            let status = self.status().await?;
            let value = condition(&status);
            last = Some(status);
            Ok(value)
        })
        .await;
        outcome.with_context(|| format!("the last status: {last:#?}"))
    }
}
