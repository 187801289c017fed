//! Workers of both protocol versions, over links in memory.

mod weights;
mod worker;

use super::*;
use crate::{
    admin::{NewModel, add_model, remove_member},
    audit::Audit,
    fleet::{FleetTask, Timing},
    generate::{Event as Answer, GenerateRequest, GenerationService, Requester},
    registry::{Registry, RegistryHandle},
    router::{Bounds, Router},
    status::{PipelineState, Status, WorkerState},
    weights::{TensorIndex, WeightTokens},
};
use gogrid_link::MemoryNet;
use gogrid_model::{Quant, SamplingParams};
use gogrid_wire::{
    Epoch, InviteToken, PeerAddr, VERSION,
    about::GridInfo,
    stage::{Reply, Role},
};
use std::{path::Path, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use worker::Ring;

const COORDINATOR: PeerId = PeerId([255; 32]);
const CODE: InviteToken = InviteToken([7; 16]);
/// Uses that the code has.
const USES: u32 = 3;
/// A deadline for what takes a moment, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// A coordinator with the demo model, and the network that it is on.
struct Grid {
    net: MemoryNet,
    fleet: Fleet,
    router: Router,
    ring: Ring,
    tensors: TensorIndex,
    folder: tempfile::TempDir,
    info: watch::Sender<Body>,
    tasks: JoinSet<()>,
    _stop: DropGuard,
}

impl Grid {
    fn start(stages: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
        let model = NewModel {
            path,
            name: Some("demo".into()),
            stages,
            replicas: 1,
            quant: Some(Quant::None),
            groups: Vec::new(),
            tools: None,
        };
        add_model(folder.path(), &model).expect("added");
        let registry = Registry::open(folder.path()).expect("opened");
        registry.add_invite(&CODE, USES, u64::MAX >> 1).expect("written");
        let registry = RegistryHandle::start(registry).expect("a thread");
        let tensors = TensorIndex::default();
        let (stop, timing) = (CancellationToken::new(), Timing::default());
        let (task, fleet, routes) = FleetTask::new(registry, tensors.clone(), 64, true, timing);
        let router = Router::new(routes, Bounds::of(64, timing), stop.clone());
        let (net, mut tasks) = (MemoryNet::default(), JoinSet::new());
        let welcome = Welcome { version: VERSION, grid: "test".into(), weights_port: 1, weights_token: "t".into() };
        let info = watch::Sender::new(Arc::new(GridInfo::default().to_body()));
        tasks.spawn(task.run(stop.clone()));
        tasks.spawn(accept(
            net.join(COORDINATOR),
            Services {
                fleet: fleet.clone(),
                tensors: tensors.clone(),
                greeting: Greeting { welcome, info: info.subscribe(), tokens: WeightTokens::default() },
                audit: Audit::nowhere(),
            },
        ));
        Self { net, fleet, router, ring: Ring::default(), tensors, folder, info, tasks, _stop: stop.drop_guard() }
    }

    /// A machine dials and says hello. The link, and the coordinator's answer.
    async fn greet(&self, number: u8, version: u16, device: &str) -> (Link, ToWorker) {
        self.greet_with(number, version, device, &[feature::KV_REUSE]).await
    }

    /// The same, for a machine that knows these parts of the protocol.
    async fn greet_with(&self, number: u8, version: u16, device: &str, features: &[&str]) -> (Link, ToWorker) {
        let mut link = self.dial(number, Protocol::Control).await;
        let hello = Hello {
            version,
            token: Some(CODE),
            name: format!("machine-{number}"),
            device: device.into(),
            memory: 600 << 20,
            addrs: Vec::new(),
        };
        let features = features.iter().map(|name| (*name).to_owned()).collect();
        let capabilities = Capabilities { features, ..Capabilities::default() };
        let body = if version == 5 { Vec::new() } else { capabilities.to_body() };
        link.sender.send(&ToCoordinator::Hello(hello), &body).await.expect("sent");
        let answer = tokio::time::timeout(SOON, link.receiver.recv::<ToWorker>()).await.expect("in time");
        (link, answer.expect("an answer").message)
    }

    /// A machine joins and serves what it is told to.
    async fn join(&mut self, number: u8, version: u16) {
        let (link, answer) = self.greet(number, version, "cpu").await;
        assert!(
            matches!(answer, ToWorker::Welcome(welcome) if welcome.version == version),
            "its own version is spoken"
        );
        let transport = self.net.join(PeerId([number; 32]));
        self.tasks.spawn(worker::serve(transport, version, link, self.ring.clone()));
    }

    async fn dial(&self, number: u8, protocol: Protocol) -> Link {
        let coordinator = PeerAddr { id: COORDINATOR, addrs: Vec::new() };
        self.net.join(PeerId([number; 32])).dial(&coordinator, protocol).await.expect("dialed")
    }

    /// What the coordinator answers on a stage link.
    async fn enter(&self, number: u8, version: u16, epoch: Epoch, role: Role) -> Reply {
        let mut link = self.dial(number, Protocol::Stage).await;
        link.sender.send(&stage::Hello { version, epoch, role }, &[]).await.expect("sent");
        let reply = tokio::time::timeout(SOON, link.receiver.recv::<Reply>()).await.expect("in time");
        reply.expect("an answer").message
    }

    async fn wait(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.fleet.status().await.expect("the fleet runs");
            if condition(&status) {
                return status;
            }
            assert!(start.elapsed() < SOON, "waited for {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for a pipeline; returns its epoch.
    async fn wait_ready(&self) -> Epoch {
        let ready = |status: &Status| status.models[0].pipelines.iter().any(|p| p.state == PipelineState::Ready);
        self.wait("a pipeline", ready).await;
        self.ring.epoch()
    }

    /// One token from the model.
    async fn ask(&self) -> u32 {
        let request = GenerateRequest {
            model: "demo".into(),
            prompt: vec![1, 2, 3],
            sampling: SamplingParams::greedy(),
            continues: false,
            max_tokens: Some(1),
            stop: Vec::new(),
            top_logprobs: 0,
            ignore_eos: true,
            constraint: None,
            reasoning: None,
            requester: Requester::local(),
            cache_salt: None,
        };
        let mut events = self.router.generate(request).await.expect("admitted");
        match tokio::time::timeout(SOON, events.recv()).await.expect("in time") {
            Some(Answer::Token(token)) => token.token,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn version_5_had_all_of_todays_weight_types() {
    let hello =
        Hello { version: 5, token: None, name: String::new(), device: "cpu".into(), memory: 0, addrs: Vec::new() };
    let header = gogrid_wire::frame::encode(&ToCoordinator::Hello(hello), &[], gogrid_wire::frame::Bounds::CONTROL);
    let header = &header.expect("encoded")[gogrid_wire::frame::PREFIX_BYTES..];
    let (_, capabilities) = hello::read(header, &[]).expect("let in");
    assert_eq!(capabilities.weight_types, Quant::ALL.map(|quant| quant.to_string()));
}

#[tokio::test]
async fn workers_of_two_versions_serve_one_pipeline() {
    for versions in [[5, 6], [6, 5], [5, 5]] {
        let mut grid = Grid::start(2);
        for (number, version) in (1..).zip(versions) {
            grid.join(number, version).await;
        }
        grid.wait_ready().await;
        assert_eq!(grid.ask().await, worker::TOKEN, "{versions:?}");
    }
}

#[tokio::test]
async fn a_device_that_cannot_be_used_is_refused_in_words_and_costs_no_use_of_the_code() {
    let grid = Grid::start(1);
    for number in 0..2 * USES as u8 {
        let (_, answer) = grid.greet(number, VERSION, "tpu:0").await;
        let ToWorker::Refused(refusal) = answer else { panic!("{answer:?}") };
        assert!(matches!(&refusal, Refusal::Device { device, .. } if device == "tpu:0"), "{refusal:?}");
        let text = refusal.to_string();
        assert!(text.contains("cannot use the device \"tpu:0\"") && text.contains("cpu, cuda:N"), "{text}");
    }
    let (_, answer) = grid.greet(100, 5, "tpu:0").await;
    let readable = matches!(&answer, ToWorker::Refused(Refusal::Malformed(text)) if text.contains("tpu:0"));
    assert!(readable, "version 5 knows no such refusal: {answer:?}");
    let (_link, answer) = grid.greet(101, VERSION, "cpu").await;
    assert!(matches!(answer, ToWorker::Welcome(_)), "{answer:?}");
    let status = grid.fleet.status().await.expect("the fleet runs");
    assert_eq!(status.workers.len(), 1, "refused machines are no members: {status:#?}");
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_with_both_numbers() {
    let grid = Grid::start(1);
    for version in [OLDEST_VERSION - 1, VERSION + 1] {
        let refusal = Refusal::Version { worker: version, coordinator: VERSION };
        assert_eq!(grid.greet(1, version, "cpu").await.1, ToWorker::Refused(refusal));
        let refusal = stage::Refusal::Version { theirs: version, ours: VERSION };
        assert_eq!(grid.enter(1, version, Epoch(1), Role::Sender).await, Reply::Refused(refusal));
    }
}

#[tokio::test]
async fn nobody_else_takes_an_end_of_a_ring_whether_it_knows_the_epoch_or_guesses() {
    let mut grid = Grid::start(1);
    grid.join(1, VERSION).await;
    let epoch = grid.wait_ready().await;
    for role in [Role::Sender, Role::Receiver] {
        let refused = grid.enter(2, VERSION, epoch, role).await;
        assert_eq!(refused, Reply::Refused(stage::Refusal::WrongPeer(epoch)));
        let guess = Epoch::new(epoch.number(), 0);
        let refused = grid.enter(2, VERSION, guess, role).await;
        assert_eq!(refused, Reply::Refused(stage::Refusal::UnknownEpoch(guess)));
    }
    assert_eq!(grid.ask().await, worker::TOKEN);
}

#[tokio::test]
async fn a_removed_machine_is_cut_off_at_once() {
    let mut grid = Grid::start(2);
    grid.join(1, VERSION).await;
    grid.join(2, VERSION).await;
    let epoch = grid.wait_ready().await;
    let removed = remove_member(grid.folder.path(), "machine-1").expect("removed");
    assert_eq!(removed, PeerId([1; 32]));
    // What the operator's `reload` does.
    grid.fleet.registry().tell_removals();

    let gone = |status: &Status| status.workers.iter().all(|worker| worker.name != "machine-1");
    let ended = |status: &Status| status.models[0].pipelines.is_empty();
    let status = grid.wait("the end of its pipeline", |status| gone(status) && ended(status)).await;
    assert!(status.workers.iter().all(|worker| worker.state == WorkerState::Ready), "the other one stays: {status:#?}");
    grid.ring.closed(epoch).await;
    for role in [Role::Sender, Role::Receiver] {
        let refused = grid.enter(1, VERSION, epoch, role).await;
        assert_eq!(refused, Reply::Refused(stage::Refusal::UnknownEpoch(epoch)));
    }

    let mut link = grid.dial(1, Protocol::Control).await;
    let (token, name, device) = (None, "machine-1".to_owned(), "cpu".to_owned());
    let hello = Hello { version: VERSION, token, name, device, memory: 0, addrs: Vec::new() };
    link.sender.send(&ToCoordinator::Hello(hello), &[]).await.expect("sent");
    let answer = link.receiver.recv::<ToWorker>().await.expect("an answer").message;
    assert_eq!(answer, ToWorker::Refused(Refusal::NotMember));
}

#[tokio::test]
async fn what_the_grid_is_goes_to_the_workers_that_read_it_and_again_when_it_changes() {
    let grid = Grid::start(1);
    let (mut older, _) = grid.greet_with(1, VERSION, "cpu", &[]).await;
    assert!(matches!(next(&mut older).await.message, ToWorker::Load(_)), "it is told nothing that it cannot read");
    let (mut worker, _) = grid.greet_with(2, VERSION, "cpu", &[feature::ABOUT]).await;
    assert_eq!(about(&mut worker).await, Some(GridInfo::default()));
    let info = GridInfo { owner: "Platform team".into(), answers_today: 1, ..GridInfo::default() };
    grid.info.send_replace(Arc::new(info.to_body()));
    assert_eq!(about(&mut worker).await, Some(info));
}

async fn next(link: &mut Link) -> Received<ToWorker> {
    tokio::time::timeout(SOON, link.receiver.recv::<ToWorker>()).await.expect("in time").expect("a message")
}

/// The next description of the grid, whatever comes before it.
async fn about(link: &mut Link) -> Option<GridInfo> {
    loop {
        let Received { message, body } = next(link).await;
        if message == ToWorker::About {
            return GridInfo::from_body(&body);
        }
    }
}
