use super::{
    about, beat,
    join::Joined,
    leave::{LeaveRequest, resign},
    stages::{Shared, Stages},
};
use crate::{executor::Failure, links::LinkLost, resources::Lent};
use gogrid_link::{FrameReceiver, Link, Received, Transport};
use gogrid_wire::{
    PeerAddr,
    control::{Lends, ToCoordinator, ToWorker},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

/// When leaving, sessions get this long to end.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// Messages from the coordinator that may wait while one is handled. Those with a manifest have up to 8 MiB; more wait in
/// the transport.
const INCOMING: usize = 4;
/// Links that were lost and may wait to be told of: every stage has two.
const LOSSES: usize = 64;
/// Reports of stages that may wait to be sent: every stage makes two.
const REPORTS: usize = 64;

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The worker was asked to stop and has left.
    Left,
    /// The coordinator or the network went away.
    Lost,
}

/// Serves the connection until it breaks, or the worker is asked to leave and the sessions are over.
pub(crate) async fn serve(
    transport: Arc<dyn Transport>,
    coordinator: PeerAddr,
    joined: Joined,
    shared: Shared,
    failures: &mut mpsc::Receiver<Failure>,
    leave: &LeaveRequest,
) -> Ended {
    let (lost, mut losses) = mpsc::channel(LOSSES);
    let (reports, mut reported) = mpsc::channel(REPORTS);
    let Link { mut sender, receiver, remote_ip, .. } = joined.link;
    let mut lent = shared.view.lent();
    // What changed while there was no connection is news too, and Hello says nothing of a pause.
    lent.mark_changed();
    let (paced, view) = (shared.loader.paced.clone(), shared.view.clone());
    // The first beat of work does not wait for the next one of rest.
    let mut arrivals = shared.loader.executor.gauge().arrivals();
    let mut stages = Stages::new(transport, coordinator, shared, lost, reports);

    let (messages, mut incoming) = mpsc::channel(INCOMING);
    let mut reading = JoinSet::new();
    reading.spawn(read(receiver, messages));

    let beat = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(beat);
    let mut leaving = false;
    let deadline = tokio::time::sleep(Duration::MAX);
    tokio::pin!(deadline);
    let ended = loop {
        let message = tokio::select! {
            () = leave.asked(), if !leaving => {
                leaving = true;
                // What does not compute will not end its sessions; they go on elsewhere when it is gone.
                let within = if paced.is_stopped() { Duration::ZERO } else { DRAIN_WITHIN };
                deadline.as_mut().reset(Instant::now() + within);
                Some(ToCoordinator::Draining)
            }
            () = &mut deadline, if leaving => break Ended::Left,
            Ok(()) = arrivals.changed() => {
                beat.as_mut().reset(Instant::now());
                None
            }
            () = &mut beat => {
                let now = stages.beat();
                beat.as_mut().reset(Instant::now() + beat::interval(&now));
                Some(ToCoordinator::Beat(now))
            }
            message = incoming.recv() => match message {
                Some(Received { message: ToWorker::Drained, .. }) => break Ended::Left,
                Some(Received { message: ToWorker::About, body }) => {
                    view.set_about(about::read(&body, remote_ip));
                    None
                }
                Some(Received { message, body }) => stages.handle(message, body).await,
                None => break if leaving { Ended::Left } else { Ended::Lost },
            },
            Some(failure) = failures.recv() => stages.failed(failure),
            Ok(()) = lent.changed() => (*lent.borrow_and_update()).map(lends),
            Some(LinkLost { epoch, message }) = losses.recv() => {
                stages.holds(epoch).then_some(ToCoordinator::LinkLost { epoch, message })
            }
            Some(report) = reported.recv() => stages.report(report),
        };
        if let Some(message) = message
            && sender.send(&message, &[]).await.is_err()
        {
            break if leaving { Ended::Left } else { Ended::Lost };
        }
    };
    if ended == Ended::Left && leave.is_for_good() {
        resign(&mut sender, &mut incoming).await;
    }
    stages.stop_all(ended == Ended::Lost).await;
    ended
}

/// Reads messages until the link or the connection's task ends.
async fn read(mut receiver: FrameReceiver, messages: mpsc::Sender<Received<ToWorker>>) {
    while let Ok(message) = receiver.recv::<ToWorker>().await {
        if messages.send(message).await.is_err() {
            return;
        }
    }
}

fn lends(lent: Lent) -> ToCoordinator {
    let Lent { memory, stopped, computes } = lent;
    ToCoordinator::Lends(Lends { memory, stopped, computes })
}
