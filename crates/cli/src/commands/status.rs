mod coordinator;
mod screen;
pub(crate) mod worker;

use crate::{args::StatusArgs, operator};
use anyhow::{Result, ensure};
use gogrid_panel_client::WorkerClient;
use screen::{Screen, View};
use std::{path::Path, time::Duration};

/// How often `--follow` shows a new status: as often as a worker samples its machine.
const EVERY: Duration = Duration::from_secs(1);

/// The status of the worker or the coordinator that runs in the folder.
pub(crate) async fn run(args: &StatusArgs) -> Result<()> {
    let StatusArgs { data, json, follow } = args;
    let screen = Screen::new(*json, *follow);
    if let Some(worker) = WorkerClient::find(data).await? {
        return worker::run(worker, &screen, follow.then_some(EVERY)).await;
    }
    ensure!(operator::is_here(data), "neither a coordinator nor a worker is running in {}", data.display());
    show_coordinator(data, &screen, *follow).await
}

async fn show_coordinator(data: &Path, screen: &Screen, follow: bool) -> Result<()> {
    loop {
        let status = operator::status(data).await?;
        let view = View { json: &status, text: coordinator::describe(&status), line: coordinator::line(&status) };
        if !screen.show(&view)? || !follow {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}
