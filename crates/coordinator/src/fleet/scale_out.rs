//! Further pipelines of a model that is served, on machines that no pipeline of it uses: they share its requests, and
//! the sequences of one that is lost go on over another without waiting for a load.

use super::{FleetTask, returning::Before};
use crate::planner::Machine;
use gogrid_wire::Epoch;
use std::sync::Arc;
use tokio::time::Instant;

impl FleetTask {
    /// Starts the next replica of every model that is served and has fewer than it may.
    pub(super) async fn scale_out(&mut self) {
        let now = Instant::now();
        self.scale_out_again = None;
        let models: Vec<_> = self.models.iter().filter(|model| self.wants_replica(&model.name)).cloned().collect();
        for model in models {
            let again = self.scaled_out.get(&model.name).map(|last| *last + self.timing.replan_window);
            if self.is_too_soon(again) {
                continue;
            }
            match self.as_before(&model) {
                Before::Again(plan) => {
                    tracing::info!(model = model.name, "a replica, as before");
                    self.scaled_out.insert(model.name.clone(), now);
                    self.build(&model, plan.stages, None, false).await;
                    continue;
                }
                Before::Expected(until) => {
                    self.is_too_soon(Some(until));
                    continue;
                }
                Before::Gone => {}
            }
            let machines = self.machines_without_part(&model.name);
            if let Ok(plan) = self.plan_over(&model, &machines) {
                tracing::info!(model = model.name, "a replica");
                self.scaled_out.insert(model.name.clone(), now);
                self.build(&Arc::clone(&model), plan.stages, None, false).await;
            }
        }
    }

    /// Machines that have no part in a pipeline of a model.
    pub(super) fn machines_without_part(&self, model: &str) -> Vec<Machine> {
        let mut machines = self.machines(model, &[]);
        machines.retain(|machine| !self.of_model(model).any(|build| build.has(machine.id)));
        machines
    }

    /// Whether a window is still open; when it ends, plans are made again.
    pub(super) fn is_too_soon(&mut self, again: Option<Instant>) -> bool {
        let again = again.filter(|again| *again > Instant::now());
        self.scale_out_again = [self.scale_out_again, again].into_iter().flatten().min();
        again.is_some()
    }

    /// Replicas, the youngest first: pipelines whose model another one serves.
    pub(super) fn extra(&self) -> Vec<Epoch> {
        let mut served = Vec::new();
        let mut spares = Vec::new();
        for (epoch, build) in &self.builds {
            if served.contains(&&build.model) {
                spares.push(*epoch);
            } else if build.is_ready() && self.works(build) {
                served.push(&build.model);
            }
        }
        spares.reverse();
        spares
    }

    /// Whether a model is served, has fewer pipelines than it may, and none on its way.
    pub(super) fn wants_replica(&self, model: &str) -> bool {
        let building = self.of_model(model).any(|build| !build.is_ready() && self.works(build));
        let serving = self.serving(model);
        !building && serving > 0 && serving < self.models.replicas(model)
    }

    /// Whether a model has all the pipelines that it may have.
    pub(super) fn has_all_replicas(&self, model: &str) -> bool {
        self.serving(model) >= self.models.replicas(model)
    }

    /// Pipelines that serve a model.
    fn serving(&self, model: &str) -> usize {
        self.of_model(model).filter(|build| build.is_ready() && self.works(build)).count()
    }
}
