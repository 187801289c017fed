//! Takes the links that workers dial: control links are greeted and checked here, stage links handed to the fleet.

use crate::{
    fleet::{Connected, Event, Fleet, ToPeer},
    registry::unix_now,
};
use gogrid_link::{FrameReceiver, FrameSender, Link, Protocol, Received, Transport};
use gogrid_wire::{
    PeerId, VERSION,
    control::{Hello, Refusal, ToCoordinator, ToWorker, Welcome},
    stage,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};

/// A peer that dialed says who it is within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Messages that may wait for a worker's link: a plan is three, and plans do not pile up.
const TO_WORKER: usize = 64;
/// Links served at once: each of 1,000 machines may have a control link and a stage's two ends.
const MAX_LINKS: usize = 4096;

/// Accepts links until the transport closes.
pub(crate) async fn accept(transport: Arc<dyn Transport>, fleet: Fleet, welcome: Welcome) {
    let mut links = JoinSet::new();
    while let Some(link) = transport.accept().await {
        while links.try_join_next().is_some() {}
        if links.len() >= MAX_LINKS {
            tracing::warn!(peer = %link.peer.short(), "too many links; refused");
            continue;
        }
        let (fleet, welcome) = (fleet.clone(), welcome.clone());
        links.spawn(async move {
            match link.protocol {
                Protocol::Control => control(link, fleet, welcome).await,
                Protocol::Stage => stage_link(link, fleet).await,
            }
        });
    }
}

async fn control(mut link: Link, fleet: Fleet, welcome: Welcome) {
    let hello = match tokio::time::timeout(HELLO_WITHIN, link.receiver.recv::<ToCoordinator>()).await {
        Ok(Ok(Received { message: ToCoordinator::Hello(hello), .. })) => Ok(hello),
        Ok(Ok(_)) => Err(Refusal::Malformed("it is no Hello".into())),
        Ok(Err(error)) => Err(Refusal::Malformed(error.to_string())),
        Err(_) => Err(Refusal::Malformed("it did not come in time".into())),
    };
    let admitted = match hello {
        Ok(hello) if hello.version != VERSION => Err(Refusal::Version { worker: hello.version, coordinator: VERSION }),
        Ok(hello) => admit(link.peer, hello, &fleet).await,
        Err(refusal) => Err(refusal),
    };
    let hello = match admitted {
        Ok(hello) => hello,
        Err(refusal) => {
            tracing::warn!(peer = %link.peer.short(), %refusal, "worker refused");
            return link.refuse(&ToWorker::Refused(refusal)).await;
        }
    };
    let Link { peer, mut sender, receiver, .. } = link;
    if sender.send(&ToWorker::Welcome(welcome), &[]).await.is_err() {
        return;
    }
    let (to_worker, messages) = mpsc::channel(TO_WORKER);
    let Some(connection) = fleet.connected(Connected { id: peer, hello, to_worker }).await else { return };
    // Whichever half ends first takes the other with it.
    tokio::select! {
        biased;
        () = receive(receiver, &fleet, peer, connection) => {}
        () = transmit(sender, messages) => {}
    }
    fleet.tell(Event::Gone { peer, connection }).await;
}

async fn admit(peer: PeerId, hello: Hello, fleet: &Fleet) -> Result<Hello, Refusal> {
    match fleet.registry().admit(peer, hello.name.clone(), hello.token, unix_now()).await {
        Ok(Ok(())) => Ok(hello),
        Ok(Err(refusal)) => Err(refusal),
        Err(error) => {
            tracing::error!(%error, "a machine cannot be looked up in the registry");
            Err(Refusal::Malformed("the coordinator cannot read its registry".into()))
        }
    }
}

async fn receive(mut receiver: FrameReceiver, fleet: &Fleet, peer: PeerId, connection: u64) {
    loop {
        match receiver.recv::<ToCoordinator>().await {
            Ok(Received { message, .. }) => {
                let resigned = message == ToCoordinator::Resign;
                let round_trip = receiver.round_trip();
                fleet.tell(Event::Message { peer, connection, message, round_trip }).await;
                if resigned {
                    // A member no longer: the worker waits for the end of the link.
                    return;
                }
            }
            Err(error) => return tracing::info!(peer = %peer.short(), %error, "control link ended"),
        }
    }
}

async fn transmit(mut sender: FrameSender, mut messages: mpsc::Receiver<ToPeer>) {
    while let Some(ToPeer { message, body }) = messages.recv().await {
        if sender.send(&message, &body).await.is_err() {
            return;
        }
    }
}

/// The coordinator's two ends of a ring: the first stage dials to receive, the last to send.
async fn stage_link(mut link: Link, fleet: Fleet) {
    let hello = match tokio::time::timeout(HELLO_WITHIN, link.receiver.recv::<stage::Hello>()).await {
        Ok(Ok(hello)) => hello.message,
        _ => return tracing::warn!(peer = %link.peer.short(), "no hello on a stage link"),
    };
    let attached = if hello.version == VERSION {
        fleet.attach(link.peer, hello.epoch, hello.role).await
    } else {
        Err(stage::Refusal::Version { theirs: hello.version, ours: VERSION })
    };
    match attached {
        Ok(end) => {
            if link.sender.send(&stage::Reply::Accepted, &[]).await.is_ok() {
                let (epoch, reason) = (hello.epoch, end.serve(link).await);
                fleet.tell(Event::LinkEnded { epoch, reason }).await;
            }
        }
        Err(refusal) => {
            tracing::warn!(peer = %link.peer.short(), %refusal, "stage link refused");
            link.refuse(&stage::Reply::Refused(refusal)).await;
        }
    }
}
