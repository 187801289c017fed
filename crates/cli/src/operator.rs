//! A client of the operator API of a coordinator on this machine, which its data folder gives access to.

use anyhow::{Context, Result};
use gogrid_coordinator::{OperatorFile, status::Status};
use std::path::Path;

/// Whether a coordinator runs in this data folder, or was killed there.
pub(crate) fn is_here(data: &Path) -> bool {
    OperatorFile::load(data).is_ok()
}

/// The status of the coordinator that runs in this data folder.
///
/// # Errors
/// When none runs there, or it does not answer.
pub(crate) async fn status(data: &Path) -> Result<Status> {
    let running = || format!("no coordinator is running in {}", data.display());
    let operator = OperatorFile::load(data).with_context(running)?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.get(format!("{}/operator/v1/status", operator.url)).bearer_auth(operator.token);
    let response = request.send().await.with_context(running)?.error_for_status().with_context(running)?;
    Ok(response.json().await?)
}

/// Has a running coordinator read its registry again. One that does not run reads it when it starts.
///
/// # Errors
/// When the coordinator runs and refuses.
pub(crate) async fn reload(data: &Path) -> Result<()> {
    const FAILED: &str = "the coordinator did not take the change";
    let Ok(operator) = OperatorFile::load(data) else { return Ok(()) };
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/operator/v1/reload", operator.url);
    match client.post(url).bearer_auth(operator.token).send().await {
        Ok(response) => drop(response.error_for_status().context(FAILED)?),
        // A coordinator that was killed leaves its file behind.
        Err(error) if error.is_connect() => {}
        Err(error) => return Err(error).context(FAILED),
    }
    Ok(())
}
