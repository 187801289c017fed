//! The log of a world, and what must hold in it.

use super::{
    client::{Ask, End},
    machine::Machine,
    world::{COORDINATOR, World},
};
use crate::{
    generate::GenerateError,
    model::Model,
    planner::{self, Demand, Device, Link},
};
use gogrid_model::DeviceSpec;
use gogrid_wire::PeerId;
use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Every stage has freed what is forgotten within this time.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(5);
/// A request that waits for a pipeline is given up after this long, as `docs/RELIABILITY.md` says.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);

/// A world's log.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Lines>>);

struct Lines {
    start: Instant,
    trace: Vec<String>,
    wrong: Vec<String>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Lines { start: Instant::now(), trace: Vec::new(), wrong: Vec::new() })))
    }

    /// Adds a line. The same seed gives the same lines.
    pub(super) fn note(&self, what: impl Display) {
        let mut lines = self.lock();
        let line = format!("{:>8} {what}", lines.start.elapsed().as_millis());
        lines.trace.push(line);
    }

    /// Adds what must never happen.
    pub(super) fn wrong(&self, what: impl Display) {
        self.note(format_args!("WRONG: {what}"));
        self.lock().wrong.push(what.to_string());
    }

    /// All lines, and those of what must never happen.
    pub(super) fn take(&self) -> (Vec<String>, Vec<String>) {
        let mut lines = self.lock();
        (std::mem::take(&mut lines.trace), std::mem::take(&mut lines.wrong))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Checks how a request ended.
    pub(super) fn judge(&self, ask: &Ask, end: &End) {
        let may = match end {
            End::Whole => true,
            End::Failed(GenerateError::PipelineLost { .. }) => {
                !self.could_serve(ask.model, GIVEN_UP_AFTER + ask.manner.behind())
            }
            End::Failed(GenerateError::BadCandidates { .. }) => {
                self.wrong_answers.is_some_and(|last| last >= self.start + ask.at)
                    || self.machines.iter().any(Machine::answers_wrongly)
            }
            End::Failed(_) => false,
        };
        if !may {
            self.log.wrong(format_args!("request {} ended with {end:?}", ask.number));
        }
    }

    /// Whether the machines without a fault in the last `calm_for` have memory for a model.
    fn could_serve(&self, model: usize, calm_for: Duration) -> bool {
        let since = Instant::now() - calm_for;
        let able = |machine: &&Machine| {
            let linked = |other: PeerId| !self.net.is_cut(machine.id, other);
            let calm = machine.is_able() && machine.trouble <= since;
            calm && linked(COORDINATOR) && self.machines.iter().all(|other| linked(other.id))
        };
        let machine = |machine: &Machine| planner::Machine {
            id: machine.id,
            device: Arc::new(Device::expected(DeviceSpec::Cpu)),
            free: machine.memory,
            measured: None,
            link: Link::default(),
            reliability: 1.0,
            groups: Vec::new(),
        };
        let machines: Vec<_> = self.machines.iter().filter(able).map(machine).collect();
        let Model { manifest, quant, stages, .. } = &*self.models[model];
        let demand =
            Demand { manifest, quant: *quant, stages: *stages, concurrency: 1, sessions: self.sessions, groups: &[] };
        // Models that compete for memory may keep each other waiting.
        let alone = self.roomy || self.models.len() == 1;
        alone && self.trouble <= since && planner::plan(&demand, &machines).is_ok()
    }

    /// Checks that every model is served, and that nothing is held for a request that is over, once complete answers are
    /// forgotten.
    pub(super) async fn check_leftovers(&self) {
        for pipeline in self.routes.current().open.values().flat_map(|route| &route.pipelines) {
            pipeline.forget_prefixes();
        }
        tokio::time::sleep(FORGOTTEN_WITHIN).await;
        let Some(status) = self.fleet.status().await else { return self.log.wrong("the fleet has ended") };
        for model in status.models.iter().filter(|model| !model.ready) {
            self.log.wrong(format_args!("{} is not served: {:?}", model.name, model.reason));
        }
        let known: Vec<u64> = status.models.iter().flat_map(|m| &m.pipelines).map(|p| p.epoch).collect();
        let spares = status.workers.iter().flat_map(|worker| &worker.stages).filter(|stage| stage.spare);
        let spares: Vec<u64> = spares.map(|stage| stage.epoch).collect();
        for machine in &self.machines {
            for (epoch, sessions) in machine.stages() {
                let number = u64::from(epoch.number());
                if sessions > 0 || !known.contains(&number) && !spares.contains(&number) {
                    let id = machine.id.0[0];
                    self.log.wrong(format_args!("machine-{id} holds epoch {epoch} with {sessions} sessions"));
                }
            }
        }
        // One control link per machine, two stage links per pipeline.
        let (ends, links) = (self.net.ends(COORDINATOR), self.machines.len() + 2 * known.len());
        if ends > 2 * links {
            self.log.wrong(format_args!("the coordinator holds {ends} ends of {links} links"));
        }
        let left = [status.sessions, self.router.in_flight(), self.router.queue().0];
        if left != [0; 3] {
            self.log.wrong(format_args!("sessions, requests in flight, requests waiting: {left:?}"));
        }
        for pipeline in self.routes.current().open.values().flat_map(|route| &route.pipelines) {
            let free = pipeline.kv_free.available_permits();
            let all = pipeline.kv_capacity.permits();
            if free != all {
                self.log.wrong(format_args!("{} has room for {free} of {all} tokens", pipeline.epoch));
            }
        }
    }
}
