//! The one place that waits.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two checks of a condition: short compared to the wait, long compared to a check.
const POLL: Duration = Duration::from_millis(50);

/// A deadline for what should take a second or two, with room for a machine that is busy.
pub const SOON: Duration = Duration::from_secs(30);

/// Checks the condition until it yields a value. An error from it ends the wait at once.
///
/// # Errors
/// The condition's error, or after the deadline one that names `what`.
pub async fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if start.elapsed() >= deadline {
            bail!("waited {} s in vain: {what}", deadline.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}
