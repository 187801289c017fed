//! Takes the links that workers dial: control links are greeted and checked here, stage links handed to the fleet, and
//! those of members that ask for weights to `weights`.
//!
//! A control link goes through three states: the first message ([`first_message`]), admission ([`admit`]), and service
//! ([`serve`]) until one of its halves ends or the machine is removed from the allow list.

mod name;
#[cfg(test)]
mod tests;
mod twins;

use crate::{
    audit::Audit,
    fleet::{Connected, Event, Fleet, ToPeer},
    grid_info::Body,
    planner::Device,
    registry::unix_now,
    weights::{self, TensorIndex, WeightLinks, WeightTokens},
};
use gogrid_link::{FrameReceiver, FrameSender, Link, Occasional, Protocol, Received, Slot, Slots, Transport};
use gogrid_wire::{
    OLDEST_VERSION, PeerId,
    control::{Hello, Refusal, ToCoordinator, ToWorker, Welcome},
    hello::{self, Capabilities, feature},
    stage,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use twins::Twins;

/// A peer that dialed says who it is within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Messages that may wait for a worker's link. A plan is three messages, and plans do not pile up.
const TO_WORKER: usize = 64;
/// Links served at once: each of 1,000 machines may have a control link and a stage's two ends.
const MAX_LINKS: usize = 4096;
/// Links of which it is not known yet whose they are, in all and from one address: strangers at one address leave slots to
/// members at others.
const MAX_OPENING: usize = 1024;
const MAX_OPENING_PER_ADDRESS: usize = 256;
/// Strangers can cause these lines.
static REFUSED: Occasional = Occasional::new(Duration::from_secs(1));

/// What every worker is told.
#[derive(Clone)]
pub(crate) struct Greeting {
    pub(crate) welcome: Welcome,
    pub(crate) info: watch::Receiver<Body>,
    /// Where tokens for weights are made, for members of an older version.
    pub(crate) tokens: WeightTokens,
}

/// What the links are for.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) fleet: Fleet,
    /// Where tensors are.
    pub(crate) tensors: TensorIndex,
    pub(crate) greeting: Greeting,
    pub(crate) audit: Audit,
}

impl Greeting {
    fn in_version(self, version: u16) -> Self {
        Self { welcome: Welcome { version, ..self.welcome }, ..self }
    }
}

/// Accepts links until the transport closes.
pub(crate) async fn accept(transport: Arc<dyn Transport>, services: Services) {
    let mut links = JoinSet::new();
    let weight_links = WeightLinks::default();
    let opening = Slots::new(MAX_OPENING, MAX_OPENING_PER_ADDRESS);
    let twins = Twins::default();
    while let Some(link) = transport.accept().await {
        while links.try_join_next().is_some() {}
        let slot = opening.take(link.remote_ip).filter(|_| links.len() < MAX_LINKS);
        let Some(slot) = slot else {
            if let Some(before) = REFUSED.pass() {
                tracing::warn!(peer = %link.peer.short(), address = ?link.remote_ip, before, "too many links; refused");
            }
            continue;
        };
        let Services { fleet, tensors, greeting, audit } = services.clone();
        let (twins, weight_links) = (twins.clone(), weight_links.clone());
        links.spawn(async move {
            match link.protocol {
                Protocol::Control => control(link, slot, fleet, greeting, audit, twins).await,
                Protocol::Stage => stage_link(link, slot, fleet).await,
                Protocol::Weights => weights_link(link, slot, fleet, tensors, weight_links).await,
            }
        });
    }
}

async fn control(mut link: Link, opening: Slot, fleet: Fleet, greeting: Greeting, audit: Audit, twins: Twins) {
    // From before the admission on, so that no removal is missed.
    let removals = fleet.registry().removals();
    let first = first_message(&mut link.receiver).await;
    // A worker whose version is not known is answered in the oldest one.
    let version = first.as_ref().map_or(OLDEST_VERSION, |(hello, _)| hello.version);
    let admitted = match first {
        Ok((hello, capabilities)) => admit(link.peer, hello, capabilities, &fleet).await,
        Err(refusal) => Err(refusal),
    };
    let admitted = admitted.and_then(|worker| Ok((twins.connect(link.peer, Instant::now())?, worker)));
    match admitted {
        Ok((_connection, worker)) => {
            drop(opening);
            if worker.hello.token.is_some() {
                audit.machine("member_joined", &link.peer.short(), worker.hello.name.clone());
            }
            serve(link, worker, &fleet, greeting.in_version(version), removals, &audit).await;
        }
        Err(refusal) => {
            if let Some(before) = REFUSED.pass() {
                tracing::warn!(peer = %link.peer.short(), %refusal, before, "worker refused");
            }
            let from = link.remote_ip.map_or_else(|| "?".into(), |address| address.to_string());
            audit.refused("machine_refused", &link.peer.short(), &from, refusal.to_string());
            link.refuse(&ToWorker::Refused(refusal.for_version(version))).await;
        }
    }
}

async fn first_message(receiver: &mut FrameReceiver) -> Result<(Hello, Capabilities), Refusal> {
    match tokio::time::timeout(HELLO_WITHIN, receiver.recv_raw()).await {
        Ok(Ok(Received { message: header, body })) => hello::read(&header, &body),
        Ok(Err(error)) => Err(Refusal::Malformed(error.to_string())),
        Err(_) => Err(Refusal::Malformed("it did not come in time".into())),
    }
}

/// A worker that was let in.
struct Admitted {
    hello: Hello,
    capabilities: Capabilities,
    device: Arc<Device>,
}

/// Lets a worker in or says why not. A device that cannot be used is refused first, so that it costs no use of a code.
async fn admit(peer: PeerId, mut hello: Hello, capabilities: Capabilities, fleet: &Fleet) -> Result<Admitted, Refusal> {
    hello.name = name::printable(&hello.name).unwrap_or_else(|| peer.short());
    let Ok(device) = hello.device.parse() else {
        return Err(Refusal::Device { device: hello.device, known: "cpu, cuda:N and metal:N".into() });
    };
    let device = Device::of(device, &capabilities).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let device = Arc::new(device);
    match fleet.registry().admit(peer, hello.name.clone(), hello.token, unix_now()).await {
        Ok(Ok(name)) => Ok(Admitted { hello: Hello { name, ..hello }, capabilities, device }),
        Ok(Err(refusal)) => Err(refusal),
        Err(error) => {
            tracing::error!(%error, "a machine cannot be looked up in the registry");
            Err(Refusal::Unavailable("it cannot read its registry".into()))
        }
    }
}

/// Serves a control link until it ends or its machine is removed from the allow list.
async fn serve(
    link: Link,
    worker: Admitted,
    fleet: &Fleet,
    greeting: Greeting,
    removals: watch::Receiver<u64>,
    audit: &Audit,
) {
    let Link { peer, mut sender, receiver, .. } = link;
    let Greeting { welcome, info, tokens } = greeting;
    let Admitted { hello, capabilities, device } = worker;
    // Good for as long as this link.
    let token = (!capabilities.has(feature::WEIGHTS)).then(|| tokens.grant());
    let weights_token = token.as_ref().map_or_else(String::new, |token| token.expose().to_owned());
    if sender.send(&ToWorker::Welcome(Welcome { weights_token, ..welcome }), &[]).await.is_err() {
        return;
    }
    let (version, name) = (hello.version, hello.name.clone());
    let info = capabilities.has(feature::ABOUT).then_some(info);
    let (to_worker, messages) = mpsc::channel(TO_WORKER);
    let connected = Connected { id: peer, hello, capabilities, device, to_worker };
    let Some(connection) = fleet.connected(connected).await else { return };
    // Whichever ends first takes the others with it, and the link is closed. A removed machine is told why when it dials
    // again: on this link a message may be half sent.
    tokio::select! {
        biased;
        () = removed(peer, fleet, removals) => {
            tracing::warn!(peer = %peer.short(), "a machine that was removed from the allow list is cut off");
        }
        () = receive(receiver, fleet, Sender { peer, connection, version, name, audit }) => {}
        () = transmit(sender, messages, info) => {}
    }
    fleet.tell(Event::Gone { peer, connection }).await;
}

/// Waits until a machine is no member. Cancel-safe.
async fn removed(peer: PeerId, fleet: &Fleet, mut removals: watch::Receiver<u64>) {
    loop {
        if removals.changed().await.is_err() {
            // The registry ends after the links.
            return std::future::pending().await;
        }
        match fleet.registry().is_member(peer).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::error!(%error, "whether a machine is still a member cannot be read"),
        }
    }
}

/// Whose messages come over a link.
struct Sender<'a> {
    peer: PeerId,
    connection: u64,
    /// The protocol version that it speaks.
    version: u16,
    name: String,
    audit: &'a Audit,
}

async fn receive(mut receiver: FrameReceiver, fleet: &Fleet, sender: Sender<'_>) {
    let Sender { peer, connection, version, name, audit } = sender;
    loop {
        let received = receiver.recv_raw().await;
        let message = received.and_then(|received| Ok(ToCoordinator::read(version, &received.message)?));
        match message {
            Ok(message) => {
                let resigned = message == ToCoordinator::Resign;
                if resigned {
                    audit.machine("member_left", &peer.short(), name.clone());
                }
                let round_trip = receiver.round_trip();
                fleet.tell(Event::Message { peer, connection, message, round_trip }).await;
                if resigned {
                    // The worker waits for the end of the link.
                    return;
                }
            }
            Err(error) => return tracing::info!(peer = %peer.short(), %error, "control link ended"),
        }
    }
}

async fn transmit(
    mut sender: FrameSender,
    mut messages: mpsc::Receiver<ToPeer>,
    mut info: Option<watch::Receiver<Body>>,
) {
    if let Some(info) = &mut info {
        info.mark_changed();
    }
    loop {
        let sent = tokio::select! {
            biased;
            message = messages.recv() => match message {
                Some(ToPeer { message, body }) => sender.send(&message, &body).await,
                None => return,
            },
            body = next_info(&mut info) => sender.send(&ToWorker::About, &body).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The next description of the grid, for a worker that reads them. Cancel-safe.
async fn next_info(info: &mut Option<watch::Receiver<Body>>) -> Body {
    if let Some(info) = info
        && info.changed().await.is_ok()
    {
        return info.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// The coordinator's two ends of a ring: the first stage dials to receive, the last to send.
async fn stage_link(mut link: Link, opening: Slot, fleet: Fleet) {
    let hello = match tokio::time::timeout(HELLO_WITHIN, link.receiver.recv_raw()).await {
        Ok(Ok(hello)) => stage::Hello::read(&hello.message),
        _ => return refused(&link, "no hello on a stage link"),
    };
    let attached = match hello {
        Ok(Ok(hello)) => fleet.attach(link.peer, hello.epoch, hello.role).await.map(|end| (hello.epoch, end)),
        Ok(Err(refusal)) => Err(refusal),
        Err(error) => return refused(&link, &error.to_string()),
    };
    match attached {
        Ok((epoch, end)) => {
            drop(opening);
            if link.sender.send(&stage::Reply::Accepted, &[]).await.is_ok() {
                let reason = end.serve(link).await;
                fleet.tell(Event::LinkEnded { epoch, reason }).await;
            }
        }
        Err(refusal) => {
            refused(&link, &refusal.to_string());
            link.refuse(&stage::Reply::Refused(refusal)).await;
        }
    }
}

/// Tensors for a member. Who is none learns nothing, not even why.
async fn weights_link(link: Link, opening: Slot, fleet: Fleet, tensors: TensorIndex, links: WeightLinks) {
    // From before the question on, so that no removal is missed.
    let removals = fleet.registry().removals();
    if !matches!(fleet.registry().is_member(link.peer).await, Ok(true)) {
        return refused(&link, "weights are for members");
    }
    let peer = link.peer;
    let Some(_place) = links.take(peer) else { return refused(&link, "too many links for weights") };
    drop(opening);
    tokio::select! {
        biased;
        () = removed(peer, &fleet, removals) => {}
        () = weights::serve(link, &tensors) => {}
    }
}

fn refused(link: &Link, why: &str) {
    if let Some(before) = REFUSED.pass() {
        tracing::warn!(peer = %link.peer.short(), why, before, "link refused");
    }
}
