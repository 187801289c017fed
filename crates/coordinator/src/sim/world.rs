//! A world: the real `accept`, fleet, planner, router and sequences, with simulated machines and clients around them.

use super::{
    checks::Log,
    client::{Ask, End, name},
    faults::{Fault, Later},
    hybrid::{is_hybrid, make_hybrid},
    machine::{Machine, Quirks},
    network::Net,
    turns::Computer,
};
use crate::{
    accept::{Greeting, Services, accept},
    admin::{NewModel, add_model},
    audit::Audit,
    constraint::GrammarCache,
    fleet::{Fleet, FleetTask, Timing},
    grid_info::Body,
    model::Model,
    published::Published,
    registry::{ModelRecord, Registry, RegistryHandle},
    route::Routes,
    router::{Bounds, Router},
    weights::{TensorIndex, WeightTokens},
};
use gogrid_model::{Manifest, Quant, Source, TextModel};
use gogrid_wire::{InviteToken, PeerId, VERSION, control::Welcome};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) const COORDINATOR: PeerId = PeerId([255; 32]);
const TOKEN: InviteToken = InviteToken([7; 16]);
/// Once the faults are over, everything has ended within this time.
const ENDS_WITHIN: Duration = Duration::from_secs(300);
/// Then leftovers are noticed and freed within this time.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);

/// What a world is made of.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) sessions: usize,
    /// Stages and replicas of each model.
    pub(super) models: Vec<(usize, usize)>,
    /// Lent memory and quirks, and whether it is there from the start.
    pub(super) machines: Vec<(u64, Quirks, bool)>,
    /// Whether every machine has memory for all models.
    pub(super) roomy: bool,
    pub(super) asks: Vec<Ask>,
    pub(super) faults: Vec<(Duration, Fault)>,
    /// What a plan takes.
    pub(super) planning: Duration,
    /// When the faults end.
    pub(super) end: Duration,
}

pub(super) struct World {
    pub(super) log: Log,
    pub(super) net: Net,
    pub(super) fleet: Fleet,
    pub(super) router: Router,
    pub(super) routes: Published<Routes>,
    pub(super) coordinator: Computer,
    /// When the coordinator last stood still or went on.
    pub(super) trouble: Instant,
    pub(super) machines: Vec<Machine>,
    pub(super) models: Vec<Arc<Model>>,
    pub(super) sessions: usize,
    pub(super) roomy: bool,
    pub(super) start: Instant,
    /// When a machine last ceased to answer wrongly.
    pub(super) wrong_answers: Option<Instant>,
    answering: mpsc::Sender<(Ask, End)>,
    ends: mpsc::Receiver<(Ask, End)>,
    _stop: DropGuard,
}

/// The demo model, read once for all worlds.
fn demo() -> &'static (ModelRecord, Arc<TextModel>) {
    static DEMO: OnceLock<(ModelRecord, Arc<TextModel>)> = OnceLock::new();
    DEMO.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
        let model = NewModel {
            path,
            name: None,
            stages: 1,
            replicas: 1,
            quant: Some(Quant::None),
            groups: Vec::new(),
            tools: None,
        };
        add_model(folder.path(), &model).expect("added");
        let record = Registry::open(folder.path()).expect("opened").models().expect("read").swap_remove(0);
        let text = Source::open(&record.path).expect("opened").text().expect("read");
        (record, Arc::new(text))
    })
}

fn models(shapes: &[(usize, usize)]) -> Vec<(ModelRecord, Arc<Model>)> {
    let (record, text) = demo();
    let model = |(number, (stages, replicas)): (usize, &(usize, usize))| {
        let (name, stages, replicas) = (name(number), *stages, *replicas);
        let record = ModelRecord { name: name.clone(), stages, replicas, ..record.clone() };
        let mut manifest: Manifest = serde_json::from_str(&record.manifest).expect("a manifest");
        let mut record = record;
        if is_hybrid(number) {
            make_hybrid(&mut manifest);
            record.manifest = serde_json::to_string(&manifest).expect("a manifest is JSON");
        }
        let (quant, text) = (Some(Quant::None), text.clone());
        let model = Model {
            name,
            created: record.created,
            quant,
            stages,
            replicas,
            manifest,
            text,
            grammars: GrammarCache::default(),
            tools: None,
        };
        (record, Arc::new(model))
    };
    shapes.iter().enumerate().map(model).collect()
}

impl World {
    pub(super) fn start(scenario: &Scenario) -> Self {
        let (log, net) = (Log::new(), Net::new(scenario.seed));
        let registry = Registry::in_memory().expect("opened");
        registry.add_invite(&TOKEN, u32::MAX, u64::MAX >> 1).expect("kept");
        let models = models(&scenario.models);
        models.iter().for_each(|(record, _)| registry.put_model(record).expect("kept"));
        let timing = Timing::default();
        let (mut task, fleet, routes) =
            FleetTask::new(RegistryHandle::inline(registry), TensorIndex::default(), scenario.sessions, true, timing);
        task.plan_within(scenario.planning);
        for (record, model) in &models {
            task.know(record.clone(), model.clone());
        }
        let stop = CancellationToken::new();
        let router = Router::new(routes.clone(), Bounds::of(scenario.sessions, timing), stop.clone());
        let coordinator = Computer::default();
        coordinator.spawn(task.run(stop.clone()));
        let welcome = Welcome { version: VERSION, grid: "sim".into(), weights_port: 0, weights_token: String::new() };
        coordinator.spawn(accept(
            net.join(COORDINATOR),
            Services {
                fleet: fleet.clone(),
                tensors: TensorIndex::default(),
                greeting: Greeting {
                    welcome,
                    info: watch::channel(Body::default()).1,
                    tokens: WeightTokens::default(),
                },
                audit: Audit::nowhere(),
            },
        ));
        let machine = |(number, (memory, quirks, there)): (usize, &(u64, Quirks, bool))| {
            let mut machine = Machine::new(number as u8, *memory, quirks.clone(), (&net, &log), (COORDINATOR, TOKEN));
            if *there {
                machine.start();
            }
            machine
        };
        let machines = scenario.machines.iter().enumerate().map(machine).collect();
        let (answering, ends) = mpsc::channel(scenario.asks.len().max(1));
        Self {
            log,
            net,
            fleet,
            router,
            routes,
            coordinator,
            trouble: Instant::now(),
            machines,
            models: models.into_iter().map(|(_, model)| model).collect(),
            sessions: scenario.sessions,
            roomy: scenario.roomy,
            start: Instant::now(),
            wrong_answers: None,
            answering,
            ends,
            _stop: stop.drop_guard(),
        }
    }

    /// Runs a scenario to its end; returns all lines of its log, and those of what must never happen.
    pub(super) async fn run(scenario: Scenario) -> (Vec<String>, Vec<String>) {
        let mut world = Self::start(&scenario);
        let start = Instant::now();
        let mut open = scenario.asks.len();
        for ask in scenario.asks {
            world.ask(ask);
        }
        let mut faults = scenario.faults.into_iter().peekable();
        let mut following: BTreeMap<(Instant, usize), Later> = BTreeMap::new();
        let mut count = 0;
        let healed = start + scenario.end;
        loop {
            let fault = faults.peek().map(|(at, _)| start + *at);
            let later = following.keys().next().map(|(at, _)| *at);
            let next = [fault, later, Some(healed)].into_iter().flatten().min().unwrap_or(healed);
            tokio::select! {
                biased;
                Some((ask, end)) = world.ends.recv() => {
                    world.judge(&ask, &end);
                    open -= 1;
                    continue;
                }
                () = tokio::time::sleep_until(next) => {}
            }
            if next == healed {
                break;
            }
            if later == Some(next) {
                let (_, later) = following.pop_first().expect("it is there");
                world.follow(later);
            } else if let Some((_, fault)) = faults.next() {
                for (within, later) in world.suffer(fault).await {
                    count += 1;
                    following.insert((next + within, count), later);
                }
            }
        }
        world.heal();
        let deadline = Instant::now() + ENDS_WITHIN;
        while open > 0 {
            match tokio::time::timeout_at(deadline, world.ends.recv()).await {
                Ok(Some((ask, end))) => {
                    world.judge(&ask, &end);
                    open -= 1;
                }
                _ => {
                    world.log.wrong(format_args!("{open} requests have no end"));
                    break;
                }
            }
        }
        tokio::time::sleep(SETTLES_WITHIN).await;
        world.check_leftovers().await;
        world.log.take()
    }

    /// Injects a fault, a jump of the clock included; returns what follows, and when.
    pub(super) async fn suffer(&mut self, fault: Fault) -> Vec<(Duration, Later)> {
        if let Fault::Jump { lasts } = fault {
            tokio::time::advance(lasts).await;
        }
        self.inject(fault)
    }

    /// Starts a client.
    pub(super) fn ask(&self, ask: Ask) {
        let layers = self.models[ask.model].manifest.config.layers.len() as u32;
        tokio::spawn(ask.run(layers, self.router.clone(), self.log.clone(), self.answering.clone()));
    }

    /// Waits for the next request to end.
    pub(super) async fn end(&mut self) -> (Ask, End) {
        self.ends.recv().await.expect("the world holds a sender")
    }
}
