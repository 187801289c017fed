use super::ring::World;
use crate::{
    fleet::{Connected, Event, Fleet, RingEnd, ToPeer},
    planner::Device,
};
use gogrid_wire::{
    Epoch, PeerId, VERSION,
    control::{Beat, Hello, Lends, Peer, StageSpec, StopReason, ToCoordinator, ToWorker},
    hello::Capabilities,
    stage::Role,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
};

/// How often it shows that it lives: ten times as often as a real one.
const BEAT: Duration = Duration::from_millis(100);
/// Messages that may wait for it.
const MESSAGES: usize = 64;
/// Lent memory: the whole demo model with a context for each of 64 sessions, and not once more with one.
const MEMORY: u64 = 600 << 20;

/// A worker of a few lines. Dropping it is a power cut.
pub(super) struct Machine {
    id: PeerId,
    world: World,
    fleet: Fleet,
    connection: u64,
    task: tokio::task::JoinHandle<()>,
    /// It said that it wants to leave, or takes no new sessions.
    leaving: AtomicBool,
    /// Told when the coordinator has no more use for it.
    pub(super) drained: Arc<Notify>,
    /// Stages that it was told to load.
    pub(super) loads: Arc<AtomicUsize>,
    /// Stages that it holds, or is loading.
    pub(super) held: Arc<AtomicUsize>,
    /// Its loads do not end.
    slow: Arc<AtomicBool>,
}

struct Life {
    id: PeerId,
    world: World,
    fleet: Fleet,
    connection: u64,
    specs: HashMap<Epoch, StageSpec>,
    rings: HashMap<Epoch, AbortHandle>,
    tasks: JoinSet<()>,
    drained: Arc<Notify>,
    loads: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    slow: Arc<AtomicBool>,
}

impl Machine {
    /// Switches a machine on: it connects, and computes what it is told.
    pub(super) async fn start(number: u8, device: &str, constrains: bool, world: &World, fleet: &Fleet) -> Self {
        let id = PeerId([number; 32]);
        let (to_worker, messages) = mpsc::channel(MESSAGES);
        let hello = Hello {
            version: VERSION,
            token: None,
            name: format!("machine-{number}"),
            device: device.into(),
            memory: MEMORY,
            addrs: Vec::new(),
        };
        {
            let mut world = world.lock();
            world.computing.insert(id);
            world.paused.remove(&id);
        }
        let capabilities = Capabilities::default();
        let mut device = Device::expected(hello.device.parse().expect("a device"));
        device.constrains = constrains;
        let device = Arc::new(device);
        let connected = Connected { id, hello, capabilities, device, to_worker };
        let connection = fleet.connected(connected).await.expect("the fleet runs");
        let drained = Arc::default();
        let (loads, held, slow) = (Arc::default(), Arc::default(), Arc::default());
        let life = Life {
            id,
            world: world.clone(),
            fleet: fleet.clone(),
            connection,
            specs: HashMap::new(),
            rings: HashMap::new(),
            tasks: JoinSet::new(),
            drained: Arc::clone(&drained),
            loads: Arc::clone(&loads),
            held: Arc::clone(&held),
            slow: Arc::clone(&slow),
        };
        let task = tokio::spawn(life.run(messages));
        Self {
            id,
            world: world.clone(),
            fleet: fleet.clone(),
            connection,
            task,
            leaving: AtomicBool::new(false),
            drained,
            loads,
            held,
            slow,
        }
    }

    pub(super) fn id(&self) -> PeerId {
        self.id
    }

    /// A power cut that the network notices at once.
    pub(super) async fn kill(&mut self) {
        self.silence();
        self.task.abort();
        self.cut_off().await;
    }

    /// Its link to the coordinator breaks, and nothing else.
    pub(super) async fn cut_off(&self) {
        let Self { id: peer, connection, .. } = *self;
        self.fleet.tell(Event::Gone { peer, connection }).await;
    }

    /// What it loads from now on takes for ever, or no time.
    pub(super) fn set_loading(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// It computes no more and shows no sign of life, and its connection stays.
    pub(super) fn silence(&self) {
        self.world.lock().computing.remove(&self.id);
    }

    /// Its owner wants it back, or lets it go on.
    pub(super) async fn pause(&self, paused: bool) {
        {
            let mut world = self.world.lock();
            if paused {
                world.computing.remove(&self.id);
                world.paused.insert(self.id);
            } else {
                world.paused.remove(&self.id);
                world.computing.insert(self.id);
            }
        }
        let stopped = paused.then_some(StopReason::Paused);
        self.say(ToCoordinator::Lends(Lends { memory: MEMORY, stopped, computes: !paused })).await;
    }

    /// Whether its owner wants it for themselves.
    pub(super) fn is_paused(&self) -> bool {
        self.world.lock().paused.contains(&self.id)
    }

    /// Whether it is dead or silent, or wants to leave.
    pub(super) fn is_away(&self) -> bool {
        self.leaving.load(Ordering::Relaxed) || !self.world.lock().computing.contains(&self.id)
    }

    /// Its owner wants it back once the answers under way are over, or lets it go on.
    pub(super) async fn stop_soon(&self, stopped: bool) {
        self.leaving.store(stopped, Ordering::Relaxed);
        let stopped = stopped.then_some(StopReason::Paused);
        self.say(ToCoordinator::Lends(Lends { memory: MEMORY, stopped, computes: true })).await;
    }

    /// It wants to leave.
    pub(super) async fn drain(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.say(ToCoordinator::Draining).await;
    }

    pub(super) async fn say(&self, message: ToCoordinator) {
        let (peer, connection) = (self.id, self.connection);
        self.fleet.tell(Event::Message { peer, connection, message, round_trip: None }).await;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.specs.keys().for_each(|epoch| self.world.end(*epoch));
    }
}

impl Life {
    async fn run(mut self, mut messages: mpsc::Receiver<ToPeer>) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if self.world.lock().computing.contains(&self.id) || self.is_paused() {
                        self.say(ToCoordinator::Beat(Beat { stages: Vec::new() })).await;
                    }
                }
                message = messages.recv() => match message {
                    Some(ToPeer { message, .. }) => self.handle(message).await,
                    None => return,
                }
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.world.lock().paused.contains(&self.id)
    }

    async fn handle(&mut self, message: ToWorker) {
        match message {
            ToWorker::Load(spec) => {
                let epoch = spec.epoch;
                self.loads.fetch_add(1, Ordering::Relaxed);
                {
                    let mut world = self.world.lock();
                    world.members.entry(epoch).or_default().push(self.id);
                    world.loaded.insert(self.id, [spec.first_layer, spec.end_layer]);
                }
                self.specs.insert(epoch, spec);
                self.held.store(self.specs.len(), Ordering::Relaxed);
                if !self.slow.load(Ordering::Relaxed) {
                    self.say(ToCoordinator::Loaded { epoch, weight_bytes: 1, quant: "none".into(), bandwidth: None })
                        .await;
                }
            }
            ToWorker::Start { epoch } => self.link_up(epoch).await,
            ToWorker::Stop { epoch, .. } => {
                if let Some(ring) = self.rings.remove(&epoch) {
                    ring.abort();
                }
                self.specs.remove(&epoch);
                self.held.store(self.specs.len(), Ordering::Relaxed);
                self.world.end(epoch);
            }
            ToWorker::Drained => self.drained.notify_one(),
            ToWorker::Welcome(_) | ToWorker::Refused(_) | ToWorker::About => {}
        }
    }

    async fn link_up(&mut self, epoch: Epoch) {
        let Some(spec) = self.specs.get(&epoch) else { return };
        let ends = [(&spec.from, Role::Receiver), (&spec.to, Role::Sender)];
        let roles: Vec<Role> =
            ends.iter().filter(|(peer, _)| **peer == Peer::Coordinator).map(|(_, role)| *role).collect();
        for role in roles {
            if let Ok(RingEnd::First(pipeline, frames)) = self.fleet.attach(self.id, epoch, role).await {
                let ring = self.tasks.spawn(self.world.clone().serve(pipeline, frames));
                self.rings.insert(epoch, ring);
            }
        }
        self.say(ToCoordinator::Started { epoch, kept: Vec::new() }).await;
    }

    async fn say(&self, message: ToCoordinator) {
        let (peer, connection) = (self.id, self.connection);
        self.fleet.tell(Event::Message { peer, connection, message, round_trip: None }).await;
    }
}
