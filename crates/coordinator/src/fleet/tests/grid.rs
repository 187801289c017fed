use super::{machine::Machine, ring::World};
use crate::{
    admin::{NewModel, add_model},
    constraint::{Constraint, Grammar, Start},
    fleet::{Fleet, FleetTask, Timing},
    generate::{Event, GenerateError, GenerateRequest, GenerationService, Requester},
    registry::{Registry, RegistryHandle},
    router::{Bounds, Router},
    status::{ModelStatus, PipelineState, Status},
    weights::TensorIndex,
};
use gogrid_model::{Quant, SamplingParams};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A coordinator without links, and its machines.
pub(super) struct Grid {
    pub(super) fleet: Fleet,
    pub(super) router: Router,
    pub(super) world: World,
    pub(super) machines: Vec<Machine>,
    stop: DropGuard,
    folder: tempfile::TempDir,
}

/// Ten times as fast as outside.
pub(super) fn hurried() -> Timing {
    let Timing {
        tick,
        suspect_after,
        suspect_busy_after,
        lost_after,
        retry_after,
        load_grace,
        link_within,
        step_grace,
        quarantine,
        replan_window,
        improve_every,
        return_within,
        starves_after,
    } = Timing::default();
    Timing {
        tick: tick / 10,
        suspect_after: suspect_after / 10,
        suspect_busy_after: suspect_busy_after / 10,
        lost_after: lost_after / 10,
        retry_after: retry_after / 10,
        load_grace: load_grace / 10,
        link_within: link_within / 10,
        step_grace: step_grace / 10,
        quarantine: quarantine / 10,
        replan_window: replan_window / 10,
        improve_every: improve_every / 100,
        return_within: return_within / 3,
        starves_after: starves_after / 300,
    }
}

/// A deadline for what takes a moment, on a machine that is busy.
pub(super) const SOON: Duration = Duration::from_secs(20);

fn add_demo_model(folder: &Path, name: &str, stages: usize, replicas: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
    let model = NewModel {
        path,
        name: Some(name.into()),
        stages,
        replicas,
        quant: Some(Quant::None),
        groups: Vec::new(),
        tools: None,
    };
    add_model(folder, &model).expect("added");
}

/// A coordinator on a data folder, which ends when the guard is dropped.
fn coordinator(folder: &Path) -> (Fleet, Router, DropGuard) {
    let registry = RegistryHandle::start(Registry::open(folder).expect("opened")).expect("a thread");
    let (task, fleet, routes) = FleetTask::new(registry, TensorIndex::default(), 64, true, hurried());
    let stop = CancellationToken::new();
    let router = Router::new(routes, Bounds::of(64, hurried()), stop.clone());
    tokio::spawn(task.run(stop.clone()));
    (fleet, router, stop.drop_guard())
}

impl Grid {
    /// The coordinator ends, and another one starts on its data; no machine has connected to it yet.
    pub(super) fn restart(&mut self) {
        self.machines.clear();
        (self.fleet, self.router, self.stop) = coordinator(self.folder.path());
    }

    /// A grid of machines that serves the demo model, cut into `stages`.
    pub(super) async fn start(machines: u8, stages: usize, replicas: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        add_demo_model(folder.path(), "demo", stages, replicas);
        let (fleet, router, stop) = coordinator(folder.path());
        let world = World::default();
        let mut grid = Self { fleet, router, world, machines: Vec::new(), stop, folder };
        for number in 0..machines {
            grid.join(number).await;
        }
        grid
    }

    /// Switches a machine on, again where there was one of that number.
    pub(super) async fn join(&mut self, number: u8) {
        self.join_with(number, "cpu").await;
    }

    /// The same for one that knows constrained answers.
    pub(super) async fn join_constraining(&mut self, number: u8) {
        let machine = Machine::start(number, "cpu", true, &self.world, &self.fleet).await;
        self.machines.push(machine);
    }

    /// The same, with another device.
    pub(super) async fn join_with(&mut self, number: u8, device: &str) {
        let machine = Machine::start(number, device, false, &self.world, &self.fleet).await;
        match self.machines.get_mut(usize::from(number)) {
            Some(place) => *place = machine,
            None => self.machines.push(machine),
        }
    }

    /// A grid with this many pipelines ready.
    pub(super) async fn with_pipelines(machines: u8, stages: usize, pipelines: usize) -> Self {
        let grid = Self::start(machines, stages, pipelines).await;
        grid.wait_pipelines(pipelines).await;
        grid
    }

    /// Adds the demo model once more, in one stage and without replicas.
    pub(super) async fn add(&self, name: &str) {
        add_demo_model(self.folder.path(), name, 1, 1);
        self.fleet.tell(super::super::Event::Reload).await;
    }

    pub(super) async fn status(&self) -> Status {
        self.fleet.status().await.expect("the fleet runs")
    }

    pub(super) async fn model(&self) -> ModelStatus {
        self.status().await.models.swap_remove(0)
    }

    /// The machines of a pipeline that is ready, by its place among them; in the order of its stages.
    pub(super) async fn members(&self, pipeline: usize) -> Vec<usize> {
        let model = self.model().await;
        let number = |id: &str| self.machines.iter().position(|machine| machine.id().to_string() == id);
        model.pipelines[pipeline].stages.iter().filter_map(|stage| number(&stage.worker_id)).collect()
    }

    /// Waits until the model has exactly this many pipelines, all of them ready.
    pub(super) async fn wait_pipelines(&self, count: usize) {
        self.wait_status(&format!("{count} pipelines"), |status| {
            let pipelines = &status.models[0].pipelines;
            pipelines.len() == count && pipelines.iter().all(|pipeline| pipeline.state == PipelineState::Ready)
        })
        .await;
    }

    /// Waits for a status.
    pub(super) async fn wait_status(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        let start = Instant::now();
        loop {
            let status = self.status().await;
            if condition(&status) {
                return;
            }
            assert!(start.elapsed() < SOON, "waited for {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for a condition.
    pub(super) async fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < SOON, "waited for: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until no ring and no pipeline has a session.
    pub(super) async fn nothing_is_left(&self) {
        self.wait("every KV cache is freed", |grid| grid.world.lock().kv.is_empty()).await;
        assert_eq!(self.status().await.sessions, 0);
        assert_eq!(self.world.lock().wrong, Vec::<String>::new());
    }

    /// Asks for a number of tokens after a prompt.
    pub(super) async fn ask(&self, prompt: &[u32], tokens: usize) -> Stream {
        let request = Self::request(prompt, tokens);
        Stream { events: self.router.generate(request).await.expect("admitted"), tokens: Vec::new() }
    }

    /// Why a request whose answer is to match an expression is not admitted.
    pub(super) async fn refusal(&self, expression: &str) -> Option<GenerateError> {
        let grammar = Grammar::Regex(expression.into());
        let constraint = Constraint { field: "guided_regex".into(), grammar, start: Start::AtOnce };
        let request = GenerateRequest { constraint: Some(Arc::new(constraint)), ..Self::request(&[1, 2], 9) };
        self.router.generate(request).await.err()
    }

    fn request(prompt: &[u32], tokens: usize) -> GenerateRequest {
        GenerateRequest {
            model: "demo".into(),
            prompt: prompt.to_vec(),
            sampling: SamplingParams::greedy(),
            continues: false,
            max_tokens: Some(tokens),
            stop: Vec::new(),
            top_logprobs: 0,
            ignore_eos: true,
            constraint: None,
            reasoning: None,
            requester: Requester::local(),
            cache_salt: None,
        }
    }
}

/// An answer on its way.
pub(super) struct Stream {
    events: mpsc::Receiver<Event>,
    pub(super) tokens: Vec<u32>,
}

impl Stream {
    /// Reads until it has this number of tokens.
    pub(super) async fn read(&mut self, count: usize) {
        while self.tokens.len() < count {
            match self.events.recv().await {
                Some(Event::Token(token)) => self.tokens.push(token.token),
                other => panic!("{other:?} after {} tokens", self.tokens.len()),
            }
        }
    }

    /// Reads to the end.
    pub(super) async fn finish(mut self) -> Result<Vec<u32>, GenerateError> {
        loop {
            match self.events.recv().await {
                Some(Event::Token(token)) => self.tokens.push(token.token),
                Some(Event::Done(_)) => return Ok(self.tokens),
                Some(Event::Failed(error)) => return Err(error),
                None => panic!("an answer without an end"),
            }
        }
    }
}
