//! Before the system sleeps, the answers under way move to other machines. The system waits a moment for that.

use super::{ResourceCommand, ResourceController};
use gogrid_probe::{SleepEvent, watch_sleep};
use std::time::Duration;

/// The system waits this long for answers to move: less than the five seconds that logind gives, and not so long that a
/// user who has closed the lid would notice.
const MOVED_WITHIN: Duration = Duration::from_secs(2);
/// How often it is checked whether they have moved; the coordinator is told before the first check.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Changes that may wait: they come one by one.
const TURNS: usize = 4;

/// Stops the work while the system sleeps.
pub(crate) async fn follow(resources: ResourceController) {
    let (turns, mut told) = tokio::sync::mpsc::channel(TURNS);
    let tell = move |turn| {
        // Nothing is sent on it: it is dropped when the system may go on.
        let (done, wait) = std::sync::mpsc::sync_channel::<()>(0);
        if turns.try_send((turn, done)).is_ok() {
            let _ = wait.recv_timeout(2 * MOVED_WITHIN);
        }
    };
    if let Err(error) = watch_sleep(tell) {
        tracing::warn!(%error, "the system does not tell when it sleeps");
        return;
    }
    while let Some((turn, done)) = told.recv().await {
        let sleeps = turn == SleepEvent::Suspending;
        tracing::info!(sleeps, "the system turns");
        if resources.command(ResourceCommand::Sleep(sleeps)).await.is_ok() && sleeps {
            // Answers that cannot move do not keep the system awake.
            let _ = tokio::time::timeout(MOVED_WITHIN, moved(&resources)).await;
        }
        drop(done);
    }
}

/// Waits until no stage has a session.
async fn moved(resources: &ResourceController) {
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        if resources.view().sessions() == 0 {
            return;
        }
    }
}
