//! Where models go: what is planned when, over which machines.

use super::{FleetTask, Model, build::Build, returning::Before};
use crate::{
    planner::{self, Delays, Demand, Link as MachineLink, Machine, Placement, Plan, PlanError},
    route::{Route, Routes},
};
use gogrid_wire::{Epoch, PeerId};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

impl FleetTask {
    /// Plans every model that nothing serves or is about to, starts building what has a place, and then gives what is
    /// served its replicas.
    pub(super) async fn assign(&mut self) {
        // What does not compute is of no use beside a pipeline that does, and its owners want the memory.
        let idle: Vec<Epoch> = self.idle().filter(|epoch| self.is_served_without(*epoch)).collect();
        for epoch in idle {
            self.close(epoch, "a machine of it does not compute").await;
        }
        let needless = |build: &Build| {
            let mut former = build.replaces.iter().filter_map(|former| self.builds.get(former));
            !build.is_better && former.any(|former| former.is_ready() && self.works_well(former))
        };
        let needless: Vec<Epoch> = self.builds.iter().filter(|(_, b)| needless(b)).map(|(epoch, _)| *epoch).collect();
        for epoch in needless {
            self.close(epoch, "the machine whose place it was to take is back").await;
        }
        let now = Instant::now();
        let missing = |model: &Model| !self.of_model(&model.name).any(|build| self.works_well(build));
        let missing: Vec<Arc<Model>> = self.models.iter().filter(|model| missing(model)).cloned().collect();
        self.waiting.retain(|waiting, _| missing.iter().any(|model| model.name == *waiting));
        for model in missing {
            if self.waiting.get(&model.name).is_some_and(|(_, at)| at.is_some_and(|at| at > now)) {
                continue;
            }
            if let Some((former, plan)) = self.successor(&model) {
                tracing::info!(model = model.name, %former, "another machine takes a place in a pipeline");
                self.build(&model, plan.stages, Some(former), false).await;
                continue;
            }
            // Who is silent may be heard again before anything else would be loaded.
            if self.of_model(&model.name).any(|build| self.works(build)) {
                continue;
            }
            let place = match self.as_before(&model) {
                Before::Again(plan) => Ok(*plan),
                Before::Expected(until) => {
                    let reason = "machines that served it before have not connected again yet";
                    self.waiting.insert(model.name.clone(), (reason.into(), Some(until)));
                    continue;
                }
                Before::Gone => self.make_room(&model).await,
            };
            match place {
                Ok(plan) => {
                    let ms = plan.predicted.per_token * 1e3;
                    tracing::info!(model = model.name, binding = %plan.binding, "planned {ms:.1} ms per token");
                    self.waiting.remove(&model.name);
                    self.build(&model, plan.stages, None, false).await;
                }
                Err(error) => {
                    tracing::info!(model = model.name, %error, "no place yet");
                    self.waiting.insert(model.name.clone(), (error.to_string(), None));
                }
            }
        }
        self.scale_out().await;
        self.keep_spares().await;
        self.publish();
    }

    /// A plan for a model that nothing serves, beside all else; or instead of its own pipelines that do not compute; or
    /// instead of other models' replicas, the youngest first.
    async fn make_room(&mut self, model: &Model) -> Result<Plan, PlanError> {
        let unfit = match self.plan(model, &[]) {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let idle: Vec<Epoch> = self.idle().filter(|epoch| self.builds[epoch].model == model.name).collect();
        let spares = self.extra().into_iter().map(|epoch| vec![epoch]);
        let mut without = Vec::new();
        for epochs in [idle].into_iter().chain(spares).filter(|epochs| !epochs.is_empty()) {
            without.extend(epochs);
            if let Ok(plan) = self.plan(model, &without) {
                for epoch in without {
                    self.close(epoch, "its machines are needed by a model that has no others").await;
                }
                return Ok(plan);
            }
        }
        Err(unfit)
    }

    /// The plan of a pipeline that takes over from one that serves but should not, with all that it can keep of it.
    fn successor(&self, model: &Model) -> Option<(Epoch, Plan)> {
        let mut serving = self.builds.iter().filter(|(_, build)| build.model == model.name && build.is_ready());
        serving.find_map(|(epoch, build)| {
            let (demand, machines, delays) =
                (self.demand(model), self.machines(&model.name, &[*epoch]), Delays::default());
            let best = planner::plan(&demand, &machines, &delays).ok()?;
            let former: Vec<Placement> = build.stages.iter().map(|stage| stage.place.clone()).collect();
            let spares = self.spares_of(&model.name);
            Some((*epoch, planner::repair(&demand, &machines, &delays, &former, &spares, &best)?))
        })
    }

    /// A plan for a model as if these epochs were over: the pipeline that it had last with machines in the place of
    /// those that are gone, where that is nearly as good as any.
    fn plan(&self, model: &Model, without: &[Epoch]) -> Result<Plan, PlanError> {
        self.plan_over(model, &self.machines(&model.name, without))
    }

    pub(super) fn plan_over(&self, model: &Model, machines: &[Machine]) -> Result<Plan, PlanError> {
        let (demand, delays) = (self.demand(model), Delays::default());
        let best = planner::plan(&demand, machines, &delays)?;
        let former = self.former.get(&model.name).map(Vec::as_slice).unwrap_or_default();
        let spares = self.spares_of(&model.name);
        Ok(planner::repair(&demand, machines, &delays, former, &spares, &best).unwrap_or(best))
    }

    pub(super) fn demand<'a>(&self, model: &'a Model) -> Demand<'a> {
        let Model { manifest, quant, stages, .. } = model;
        // One whole context is the least that is of use: most requests are far shorter, and share it.
        Demand { manifest, quant: *quant, stages: *stages, lanes: 1, sessions: self.max_sessions, groups: &[] }
    }

    /// What each machine that works has left beside the stages that it holds, not counting those of some epochs, and how
    /// fast it computes a model.
    pub(super) fn machines(&self, model: &str, without: &[Epoch]) -> Vec<Machine> {
        let now = Instant::now();
        let taken = |peer: &PeerId| -> u64 {
            let builds = self.builds.iter().filter(|(epoch, _)| !without.contains(epoch));
            let stages = builds.flat_map(|(_, build)| &build.stages);
            stages.filter(|stage| stage.place.machine == *peer).map(|stage| stage.place.memory.total()).sum()
        };
        let working = self.workers.iter().filter(|(_, worker)| worker.takes_work() && !self.is_silent(worker));
        let free = working.map(|(id, worker)| Machine {
            id: *id,
            device: worker.device,
            free: worker.lends.memory.saturating_sub(taken(id)),
            measured: worker.measured.get(model).copied(),
            link: link(worker.round_trip, worker.bandwidth),
            reliability: self.reliability.of(*id, now),
            groups: Vec::new(),
        });
        free.collect()
    }

    /// Tells the router which pipelines may be used.
    pub(super) fn publish(&mut self) {
        self.update_health();
        let routes: BTreeMap<String, Route> = self
            .models
            .iter()
            .map(|model| {
                let builds = self.builds.values().filter(|build| build.model == model.name && build.is_ready());
                let open = builds.filter(|build| build.pipeline.open_for_sessions());
                let pipelines = open.map(|build| build.pipeline.clone()).collect();
                let reason = self.reason(&model.name);
                (model.name.clone(), Route { model: model.clone(), pipelines, reason })
            })
            .collect();
        self.routes.put(Routes::new(routes));
    }

    /// What a model without a usable pipeline waits for.
    pub(super) fn reason(&self, model: &str) -> String {
        let mut builds = self.builds.values().filter(|build| build.model == model);
        // One that is on its way says more than one that is stopped.
        let first = builds.clone().find(|build| !build.is_ready()).or_else(|| builds.next());
        match first {
            Some(build) if build.is_ready() => {
                let stopped =
                    build.peers().find_map(|peer| self.workers.get(&peer).filter(|w| w.lends.stopped.is_some()));
                match stopped {
                    Some(worker) => format!(
                        "{} takes no work now: {}",
                        worker.hello.name,
                        worker.lends.stopped.as_deref().unwrap_or_default()
                    ),
                    None => "a machine that serves it is leaving".into(),
                }
            }
            Some(build) => {
                let loaded = build.stages.iter().filter(|stage| stage.loaded.is_some()).count();
                format!("{loaded} of {} stages are loaded", build.stages.len())
            }
            None => self.waiting.get(model).map_or_else(String::new, |(reason, _)| reason.clone()),
        }
    }
}

/// A machine's link, the coordinator in the middle of the network. Within an office delays differ by less than they
/// fluctuate, and what a machine takes depends on who else does: machines there count as equal.
fn link(round_trip: Option<Duration>, bandwidth: Option<u64>) -> MachineLink {
    const FAR: Duration = Duration::from_millis(1);
    let usual = MachineLink::default();
    let delay = round_trip.filter(|round_trip| *round_trip > FAR).map(|round_trip| round_trip.as_secs_f64() / 2.0);
    let slow = |bandwidth: &f64| *bandwidth > 0.0 && *bandwidth < usual.bandwidth / 2.0;
    let bandwidth = bandwidth.map(|bytes| bytes as f64).filter(slow);
    MachineLink { delay: delay.unwrap_or(usual.delay), bandwidth: bandwidth.unwrap_or(usual.bandwidth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offices_links_count_as_equal_and_slow_ones_as_they_are() {
        let usual = MachineLink::default();
        assert_eq!(link(Some(Duration::from_micros(700)), Some(90_000_000)), usual);
        assert_eq!(link(None, Some(2_000_000_000)), usual);
        assert_eq!(link(None, Some(0)), usual, "nothing can be reckoned with none at all");
        let slow = link(Some(Duration::from_millis(8)), Some(3_000_000));
        assert_eq!(slow, MachineLink { delay: 4e-3, bandwidth: 3e6 });
    }
}
