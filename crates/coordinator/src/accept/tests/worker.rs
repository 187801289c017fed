//! A worker of a few lines that speaks one version.

use gogrid_link::{FrameSender, Link, Protocol, Received, Transport};
use gogrid_wire::{
    Epoch, PeerAddr,
    control::{Beat, Peer, StageSpec, ToCoordinator, ToWorker},
    stage::{self, CandidateRow, Reply, Role, Span, StageFrame},
    version5,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};

/// The token that every answer consists of.
pub(super) const TOKEN: u32 = 42;

const BEAT: Duration = Duration::from_millis(500);
/// Messages and frames that may wait.
const QUEUE: usize = 64;

/// What the first stage hands to the last one, in place of links between workers.
#[derive(Clone)]
pub(super) struct Ring {
    spans: mpsc::Sender<(Epoch, Span)>,
    received: Arc<Mutex<mpsc::Receiver<(Epoch, Span)>>>,
    /// The epoch that linked up last.
    linked: watch::Sender<Epoch>,
    /// The epoch of the last link from the coordinator that ended.
    closed: watch::Sender<Epoch>,
}

impl Default for Ring {
    fn default() -> Self {
        let (spans, received) = mpsc::channel(QUEUE);
        let [linked, closed] = [(); 2].map(|()| watch::Sender::new(Epoch(0)));
        Self { spans, received: Arc::new(Mutex::new(received)), linked, closed }
    }
}

impl Ring {
    /// The epoch that linked up last.
    pub(super) fn epoch(&self) -> Epoch {
        *self.linked.borrow()
    }

    /// Waits until the coordinator has closed its link to the first stage of an epoch.
    pub(super) async fn closed(&self, epoch: Epoch) {
        let mut closed = self.closed.subscribe();
        let ended = tokio::time::timeout(super::SOON, closed.wait_for(|closed| *closed == epoch)).await;
        ended.expect("in time").expect("the ring is there");
    }
}

/// Serves a control link until it ends.
pub(super) async fn serve(transport: Arc<dyn Transport>, version: u16, link: Link, ring: Ring) {
    let (coordinator, mut stages) = (link.peer, JoinSet::new());
    let Link { mut sender, mut receiver, .. } = link;
    let (messages, mut incoming) = mpsc::channel(QUEUE);
    stages.spawn(async move {
        while let Ok(Received { message, .. }) = receiver.recv::<ToWorker>().await {
            if messages.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut specs = HashMap::new();
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let message = tokio::select! {
            _ = beat.tick() => ToCoordinator::Beat(Beat { stages: Vec::new() }),
            message = incoming.recv() => match message {
                Some(ToWorker::Load(spec)) => {
                    let epoch = spec.epoch;
                    specs.insert(epoch, spec);
                    ToCoordinator::Loaded { epoch, weight_bytes: 1, quant: "none".into(), bandwidth: None }
                }
                Some(ToWorker::Start { epoch }) => {
                    let spec = specs.get(&epoch).expect("loaded before it is started");
                    let coordinator = PeerAddr { id: coordinator, addrs: Vec::new() };
                    link_up(&*transport, version, &coordinator, spec, &ring, &mut stages).await;
                    ToCoordinator::Started { epoch, kept: Vec::new() }
                }
                Some(_) => continue,
                None => break,
            },
        };
        if !say(&mut sender, version, message).await {
            break;
        }
    }
    // The coordinator closes the stages' links itself.
    while stages.join_next().await.is_some() {}
}

/// Says a message as a program of that version does. False once the link is closed.
async fn say(sender: &mut FrameSender, version: u16, message: ToCoordinator) -> bool {
    let sent = match (version, message) {
        (5, ToCoordinator::Loaded { epoch, weight_bytes, quant, bandwidth }) => {
            let kv_budget = 1 << 20;
            let loaded = version5::ToCoordinator::Loaded { epoch, weight_bytes, kv_budget, quant, bandwidth };
            sender.send(&loaded, &[]).await
        }
        (_, message) => sender.send(&message, &[]).await,
    };
    sent.is_ok()
}

async fn link_up(
    transport: &dyn Transport,
    version: u16,
    coordinator: &PeerAddr,
    spec: &StageSpec,
    ring: &Ring,
    stages: &mut JoinSet<()>,
) {
    let epoch = spec.epoch;
    ring.linked.send_replace(epoch);
    for (peer, role) in [(&spec.from, Role::Receiver), (&spec.to, Role::Sender)] {
        if *peer != Peer::Coordinator {
            continue;
        }
        let mut link = transport.dial(coordinator, Protocol::Stage).await.expect("dialed");
        link.sender.send(&stage::Hello { version, epoch, role }, &[]).await.expect("sent");
        assert_eq!(link.receiver.recv::<Reply>().await.expect("an answer").message, Reply::Accepted);
        match role {
            Role::Receiver => stages.spawn(first(link, epoch, ring.clone())),
            Role::Sender => stages.spawn(last(link, ring.clone())),
        };
    }
}

/// Hands on what the coordinator sends.
async fn first(mut link: Link, epoch: Epoch, ring: Ring) {
    while let Ok(Received { message, .. }) = link.receiver.recv::<StageFrame>().await {
        let StageFrame::Step(step) = message else { continue };
        for span in step.spans {
            ring.spans.send((epoch, span)).await.expect("the ring is there");
        }
    }
    ring.closed.send_replace(epoch);
}

/// Answers every span that wants candidates.
async fn last(mut link: Link, ring: Ring) {
    let mut spans = ring.received.lock().await;
    while let Some((epoch, Span { session, position, tokens, want })) = spans.recv().await {
        if want.is_none() {
            continue;
        }
        let position = position + tokens;
        let row = CandidateRow { session, position, ids: vec![TOKEN], logits: vec![1.0], log_sum_exp: 1.5 };
        if link.sender.send(&StageFrame::Candidates { epoch, rows: vec![row] }, &[]).await.is_err() {
            return;
        }
    }
}
