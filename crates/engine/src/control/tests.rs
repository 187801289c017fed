use super::*;
use crate::{
    executor::Detached,
    ledgers::Ledgers,
    links::Inbound,
    load::Loader,
    pace::Paced,
    record::Record,
    resources::{LONG_PAUSE, Parts, ResourceCommand, ResourceController, Settings},
    weights::WeightCache,
};
use gogrid_limits::{Machine, Policy, Preset, Totals};
use gogrid_link::{Link, MemoryNet};
use gogrid_panel_api::PauseRequest;
use gogrid_probe::{FakeProbe, calm_sample};
use gogrid_wire::{
    Epoch, PeerAddr, PeerId, VERSION,
    control::{LoadFailure, Peer, StageSpec, StopReason, ToCoordinator, ToWorker, Welcome},
};
use std::{path::Path, sync::Arc};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

fn start_resources(folder: &Path) -> (ResourceController, Loader, Detached) {
    let (executor, detached) = Detached::new();
    let (paced, ledgers) = (Paced::new(false), Ledgers::new(false));
    let cache = WeightCache::open(folder).expect("a folder");
    let parts = Parts {
        settings: Settings::load(folder, None, Preset::Full, Policy::none(), Totals::default())
            .expect("nothing is kept"),
        machine: Machine { cores: 4, memory: 8 << 30, gpu_memory: None },
        probe: Box::new(FakeProbe::new(calm_sample()).0),
        paced: paced.clone(),
        ledgers: ledgers.clone(),
        executor: executor.clone(),
        weights: cache.clone(),
        record: Record::open(folder),
        gpu: false,
        long_pause: LONG_PAUSE,
    };
    let resources = ResourceController::start(parts).expect("a thread");
    let device = "cpu".parse().expect("a device");
    (resources, Loader { executor, cache, device, ledger: ledgers.device, paced, _runtime: Arc::new(None) }, detached)
}

/// A worker that serves a coordinator, and the coordinator's end of the link.
struct Connected {
    link: Link,
    _serving: JoinSet<()>,
    _executor: Detached,
}

/// Lets a worker in.
async fn connect(resources: &ResourceController, loader: Loader, executor: Detached) -> Connected {
    let net = MemoryNet::default();
    let (worker, coordinator) = (net.join(PeerId([1; 32])), net.join(PeerId([2; 32])));
    let addr = PeerAddr { id: coordinator.id(), addrs: Vec::new() };
    let shared = Shared { loader: loader.clone(), inbound: Inbound::default(), view: resources.view().clone() };
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let introduction = Introduction { name: "anna".into(), device: "cpu".into(), ledger: loader.ledger };
        let joined = join(&*worker, &addr, &introduction, None).await.expect("let in");
        let (_lost, mut failures) = mpsc::channel(1);
        let leave = LeaveRequest::under(&CancellationToken::new());
        serve(worker, addr, joined, shared, &mut failures, &leave).await;
    });
    let mut link = coordinator.accept().await.expect("dialed");
    let hello = link.receiver.recv::<ToCoordinator>().await.expect("a hello").message;
    assert!(matches!(hello, ToCoordinator::Hello(_)));
    let welcome = Welcome { version: VERSION, grid: "test".into(), weights_port: 1, weights_token: "secret".into() };
    link.sender.send(&ToWorker::Welcome(welcome), &[]).await.expect("sent");
    Connected { link, _serving: serving, _executor: executor }
}

impl Connected {
    /// The next message of a kind.
    async fn next<T>(&mut self, of: impl Fn(ToCoordinator) -> Option<T>) -> T {
        loop {
            let message = self.link.receiver.recv::<ToCoordinator>().await.expect("a message").message;
            if let Some(found) = of(message) {
                return found;
            }
        }
    }
}

#[tokio::test]
async fn a_machine_that_was_paused_while_it_was_not_connected_says_so_when_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (resources, loader, executor) = start_resources(folder.path());
    resources.command(ResourceCommand::Pause(PauseRequest::default())).await.expect("paused");
    let mut connected = connect(&resources, loader, executor).await;
    let lends = |message| if let ToCoordinator::Lends(lends) = message { Some(lends) } else { None };
    let lends = connected.next(lends).await;
    assert_eq!((lends.stopped, lends.computes), (Some(StopReason::Paused), false), "{lends:?}");
}

#[tokio::test]
async fn an_epoch_is_loaded_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (resources, loader, executor) = start_resources(folder.path());
    let mut connected = connect(&resources, loader, executor).await;
    let spec = |epoch| StageSpec {
        epoch: Epoch(epoch),
        model: "demo".into(),
        first_layer: 0,
        end_layer: 1,
        quant: "auto".into(),
        kv_budget: 1,
        prefill_chunk: 1,
        keep_outputs: false,
        from: Peer::Coordinator,
        to: Peer::Coordinator,
    };
    let failed = |message| match message {
        ToCoordinator::LoadFailed { epoch, reason } => Some((epoch, reason)),
        _ => None,
    };
    connected.link.sender.send(&ToWorker::Load(spec(7)), b"no manifest").await.expect("sent");
    assert_eq!(connected.next(failed).await, (Epoch(7), LoadFailure::Manifest));
    connected.link.sender.send(&ToWorker::Load(spec(7)), b"no manifest").await.expect("sent");
    assert_eq!(connected.next(failed).await, (Epoch(7), LoadFailure::Refused));
    // It can be asked for again once it was stopped.
    connected.link.sender.send(&ToWorker::Stop { epoch: Epoch(7), keep: false }, &[]).await.expect("sent");
    connected.link.sender.send(&ToWorker::Load(spec(7)), b"no manifest").await.expect("sent");
    assert_eq!(connected.next(failed).await, (Epoch(7), LoadFailure::Manifest));
}
