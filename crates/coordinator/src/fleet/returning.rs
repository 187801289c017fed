//! A coordinator that starts again knows how reliable its machines were, and goes on with the pipelines that served
//! before, as soon as their machines are back: there the weights still are.

use super::{FleetTask, Model};
use crate::{
    planner::{self, Delays, Plan},
    registry::unix_now,
};
use gogrid_model::Layers;
use gogrid_wire::PeerId;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Where the registry keeps them.
const FACT: &str = "pipelines";

/// Who has which layers, in a pipeline's order.
type Stages = Vec<(PeerId, Layers)>;

/// Pipelines of the time before.
pub(super) struct Returning {
    by_model: BTreeMap<String, Vec<Stages>>,
    /// Machines that have not connected are waited for until then.
    until: Instant,
}

/// What there is of a model's pipelines of the time before.
pub(super) enum Before {
    /// One can be built again.
    Again(Box<Plan>),
    /// Machines of one may still come, until then.
    Expected(Instant),
    /// Nothing.
    Gone,
}

impl Returning {
    pub(super) fn nothing() -> Self {
        Self { by_model: BTreeMap::new(), until: Instant::now() }
    }

    /// The model is another one now.
    pub(super) fn forget(&mut self, model: &str) {
        self.by_model.remove(model);
    }
}

impl FleetTask {
    /// Reads what the last coordinator wrote, and waits for its machines for so long.
    pub(super) async fn restore(&mut self, within: Duration) {
        let registry = self.registry.lock().await;
        let (kept, standings) = match (registry.fact(FACT), registry.standings()) {
            (Ok(kept), Ok(standings)) => (kept, standings),
            (Err(error), _) | (_, Err(error)) => {
                return tracing::error!(%error, "what the last coordinator wrote cannot be read");
            }
        };
        drop(registry);
        let now = Instant::now();
        for (peer, seen, at) in standings {
            let since = Duration::from_secs(unix_now().saturating_sub(at));
            self.reliability.known(peer, seen.passed(since), now);
        }
        // Nothing depends on it: what an older or newer program wrote is planned anew.
        let by_model = kept.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default();
        self.returning = Returning { by_model, until: Instant::now() + within };
    }

    /// Writes down which pipelines serve, for the next coordinator.
    pub(super) async fn record_pipelines(&self) {
        let Returning { by_model, until } = &self.returning;
        let mut by_model = if Instant::now() < *until { by_model.clone() } else { BTreeMap::new() };
        for build in self.builds.values().filter(|build| build.is_ready()) {
            let stages = build.stages.iter().map(|stage| (stage.place.machine, stage.place.layers));
            by_model.entry(build.model.clone()).or_default().push(stages.collect());
        }
        let text = serde_json::to_string(&by_model).unwrap_or_default();
        if let Err(error) = self.registry.lock().await.set_fact(FACT, &text) {
            tracing::error!(%error, "the pipelines cannot be kept for the next start");
        }
    }

    /// Writes down how reliable a machine has been, for the next coordinator.
    pub(super) async fn record_reliability(&self, peer: PeerId) {
        let seen = self.reliability.seen(peer, Instant::now());
        if let Err(error) = self.registry.lock().await.put_standing(peer, seen, unix_now()) {
            tracing::error!(%error, "a machine's reliability cannot be kept for the next start");
        }
    }

    /// A pipeline of a model as it was, as far as its machines take work and have room for it.
    pub(super) fn as_before(&mut self, model: &Model) -> Before {
        let late = Instant::now() >= self.returning.until;
        let Some(pipelines) = self.returning.by_model.get(&model.name) else { return Before::Gone };
        let (demand, machines) = (self.demand(model), self.machines_without_part(&model.name));
        let again = |stages: &Stages| {
            let delays = Delays::default();
            let former = planner::placed(&demand, &machines, stages)?;
            let best = planner::plan(&demand, &machines, &delays).ok()?;
            planner::repair(&demand, &machines, &delays, &former, &[], &best)
        };
        let connected = |stages: &Stages| stages.iter().all(|(machine, _)| self.workers.contains_key(machine));
        // Whoever did not come back in time is replaced, as a machine is that was lost.
        let due = |stages: &Stages| late || connected(stages);
        let mut found = pipelines.iter().enumerate().filter(|(_, stages)| due(stages));
        let found = found.find_map(|(at, stages)| Some((at, again(stages)?)));
        let expected = pipelines.iter().any(|stages| !connected(stages));
        match found {
            Some((at, plan)) => {
                self.returning.by_model.get_mut(&model.name).map(|pipelines| pipelines.remove(at));
                Before::Again(Box::new(plan))
            }
            None if expected && !late => Before::Expected(self.returning.until),
            None => {
                self.returning.by_model.remove(&model.name);
                Before::Gone
            }
        }
    }
}
