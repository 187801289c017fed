#![expect(clippy::disallowed_methods, reason = "this file is there to end the program, no matter what it does")]

use std::{io::Read, process, thread, time::Duration};
use tokio_util::sync::CancellationToken;

/// A program whose parent is gone ends within this time, no matter what it does.
const ORPHAN_ENDS_WITHIN: Duration = Duration::from_millis(1500);

/// Cancelled by SIGTERM, SIGINT or Ctrl-C; a second signal ends the program at once.
pub(crate) fn on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        signal().await;
        cancelled.cancel();
        signal().await;
        process::exit(130);
    });
    stop
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    drop(tokio::signal::ctrl_c().await);
}

/// Cancels `stop` when standard input closes, that is when the parent is gone.
pub(crate) fn with_parent(stop: CancellationToken) {
    let watch = move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0; 64];
        while matches!(input.read(&mut buffer), Ok(1..)) {}
        stop.cancel();
        thread::sleep(ORPHAN_ENDS_WITHIN);
        process::exit(0);
    };
    if let Err(error) = thread::Builder::new().name("parent".into()).spawn(watch) {
        tracing::error!(%error, "the parent cannot be watched");
    }
}
