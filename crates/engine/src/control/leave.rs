use gogrid_link::FrameSender;
use gogrid_wire::control::ToCoordinator;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The coordinator takes a member off its list within this time.
const RESIGN_WITHIN: Duration = Duration::from_secs(2);

/// How the worker is asked to leave.
pub(crate) struct LeaveRequest {
    asked: CancellationToken,
    for_good: AtomicBool,
}

impl LeaveRequest {
    /// A request that is made when `stop` is cancelled, too.
    pub(crate) fn under(stop: &CancellationToken) -> Self {
        Self { asked: stop.child_token(), for_good: AtomicBool::new(false) }
    }

    /// Asks to leave; for good: the machine is to be a member no longer.
    pub(crate) fn ask(&self, for_good: bool) {
        self.for_good.store(for_good, Ordering::Relaxed);
        self.asked.cancel();
    }

    /// Waits until it is asked. Cancel-safe.
    pub(super) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    pub(super) fn is_for_good(&self) -> bool {
        self.for_good.load(Ordering::Relaxed)
    }
}

/// Says that the machine is a member no longer, and waits until the coordinator has closed: it has read it then.
pub(super) async fn resign<T>(sender: &mut FrameSender, incoming: &mut mpsc::Receiver<T>) {
    if sender.send(&ToCoordinator::Resign, &[]).await.is_ok() {
        let closed = async { while incoming.recv().await.is_some() {} };
        if tokio::time::timeout(RESIGN_WITHIN, closed).await.is_err() {
            tracing::warn!("the coordinator may not have heard that this machine leaves");
        }
    }
}
