//! A core with workers that do at once what they are told, for tests and the bench.

use super::{
    Timing,
    core::{Core, Settings},
    event::{Action, Event},
    plan::PlanRequest,
    returning::Restored,
};
use crate::{constraint::GrammarCache, model::Model, planner::Device, registry::ModelRecord};
use gogrid_model::{Quant, Source};
use gogrid_wire::{
    Epoch, PeerId, VERSION,
    control::{Beat, Hello, Peer, StageBeat, ToCoordinator, ToWorker},
    stage::Role,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// The demo model under another name.
pub(super) fn demo_model(name: &str, stages: usize, replicas: usize) -> (ModelRecord, Arc<Model>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
    let source = Source::open(&path).expect("the demo model opens");
    let manifest = source.manifest().expect("it has a manifest");
    let record = ModelRecord {
        name: name.into(),
        path,
        stages,
        replicas,
        quant: "none".into(),
        created: 0,
        manifest: serde_json::to_string(&manifest).expect("a manifest is JSON"),
        tools: "auto".into(),
    };
    let text = Arc::new(source.text().expect("it has a tokenizer"));
    let quant = Some(Quant::None);
    (
        record,
        Arc::new(Model {
            name: name.into(),
            created: 0,
            quant,
            stages,
            replicas,
            manifest,
            text,
            grammars: GrammarCache::default(),
            tools: None,
        }),
    )
}

/// The secret part of every epoch.
const NONCE: u32 = 0x5EC2_E700;

/// The core, and what is on its way to it.
pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) now: Instant,
    /// Plans that were asked for and not made yet.
    pub(super) plans: VecDeque<Box<PlanRequest>>,
    /// What workers have to say.
    pub(super) events: VecDeque<Event>,
    connections: BTreeMap<PeerId, u64>,
    stages: BTreeMap<PeerId, BTreeMap<Epoch, [Peer; 2]>>,
    /// Machines that take loads and say nothing.
    pub(super) ignore_loads: BTreeSet<PeerId>,
    /// What each worker was told, the newest last.
    pub(super) sent: Vec<(PeerId, ToWorker)>,
    next_epoch: u32,
}

impl Driver {
    pub(super) fn new(models: &[(ModelRecord, Arc<Model>)]) -> Self {
        let settings = Settings { max_sessions: 64, keep_sessions: true, timing: Timing::default() };
        let now = Instant::now();
        let mut core = Core::new(settings, now);
        models.iter().for_each(|(record, model)| core.know(record.clone(), model.clone()));
        let mut driver = Self {
            core,
            now,
            plans: VecDeque::new(),
            events: VecDeque::new(),
            connections: BTreeMap::new(),
            stages: BTreeMap::new(),
            ignore_loads: BTreeSet::new(),
            sent: Vec::new(),
            next_epoch: 1,
        };
        driver.step(Event::Restored(Restored::default()));
        driver.now += Timing::default().return_within;
        driver.step(Self::tick());
        driver.settle();
        driver
    }

    /// The event of a worker that connects.
    pub(super) fn hello(&self, peer: PeerId, device: &str, memory: u64) -> Event {
        let name = format!("machine-{}", peer.short());
        let hello = Hello { version: VERSION, token: None, name, device: device.into(), memory, addrs: Vec::new() };
        let device = Arc::new(Device::expected(hello.device.parse().expect("a device")));
        Event::Connected { peer, hello, device }
    }

    /// What a worker says.
    pub(super) fn message(&self, peer: PeerId, message: ToCoordinator) -> Event {
        let connection = self.connections.get(&peer).copied().unwrap_or(0);
        Event::Message { peer, connection, message, round_trip: None }
    }

    /// The beat of a worker, with all the stages that it holds.
    pub(super) fn beat(&self, peer: PeerId) -> Event {
        let stage = |epoch: &Epoch| StageBeat { epoch: *epoch, sessions: 1, kv_used: 1, speed: None };
        let stages = self.stages.get(&peer).into_iter().flat_map(BTreeMap::keys).map(stage);
        self.message(peer, ToCoordinator::Beat(Beat { stages: stages.collect() }))
    }

    pub(super) fn gone(&self, peer: PeerId) -> Event {
        Event::Gone { peer, connection: self.connections.get(&peer).copied().unwrap_or(0) }
    }

    pub(super) fn tick() -> Event {
        Event::Tick { activity: BTreeMap::new() }
    }

    /// Lets the core take in an event; returns how long that took.
    pub(super) fn step(&mut self, event: Event) -> Duration {
        let start = std::time::Instant::now();
        let actions = self.core.step(event, self.now);
        let took = start.elapsed();
        actions.into_iter().for_each(|action| self.carry_out(action));
        took
    }

    /// Lets the workers do what they were told, and makes plans, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.step(event);
            } else if let Some(request) = self.plans.pop_front() {
                self.step(Event::Planned { job: request.job(), outcome: request.run() });
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Accept { peer, connection } => drop(self.connections.insert(peer, connection)),
            Action::Disconnect { peer } => drop(self.stages.remove(&peer)),
            Action::Send { peer, message, .. } => {
                self.obey(peer, &message);
                self.sent.push((peer, message));
            }
            Action::ReserveEpochs(asked) => {
                let first = self.next_epoch;
                self.next_epoch += asked as u32;
                let epochs = (first..self.next_epoch).map(|number| Epoch::new(number, NONCE)).collect();
                self.events.push_back(Event::EpochsReserved { asked, epochs });
            }
            Action::Plan(request) => self.plans.push_back(request),
            Action::Tick => self.events.push_back(Self::tick()),
            _ => {}
        }
    }

    fn obey(&mut self, peer: PeerId, message: &ToWorker) {
        match message {
            ToWorker::Load(spec) => {
                let ends = [spec.from.clone(), spec.to.clone()];
                self.stages.entry(peer).or_default().insert(spec.epoch, ends);
                let (epoch, quant) = (spec.epoch, "none".into());
                let loaded = ToCoordinator::Loaded { epoch, weight_bytes: 1, quant, bandwidth: None };
                if !self.ignore_loads.contains(&peer) {
                    self.events.push_back(self.message(peer, loaded));
                }
            }
            ToWorker::Start { epoch } => {
                let Some(ends) = self.stages.get(&peer).and_then(|stages| stages.get(epoch)).cloned() else { return };
                for (end, role) in ends.into_iter().zip([Role::Receiver, Role::Sender]) {
                    if end == Peer::Coordinator {
                        self.events.push_back(Event::Attach { peer, epoch: *epoch, role });
                    }
                }
                let started = ToCoordinator::Started { epoch: *epoch, kept: Vec::new() };
                self.events.push_back(self.message(peer, started));
            }
            ToWorker::Stop { epoch, .. } => {
                self.stages.get_mut(&peer).and_then(|stages| stages.remove(epoch));
            }
            ToWorker::Drained | ToWorker::Welcome(_) | ToWorker::Refused(_) | ToWorker::About => {}
        }
    }
}
