//! Pipelines that serve move to machines that would serve much better, as they come or turn out to be.

use super::FleetTask;
use crate::planner::{self, Delays, Placement, should_move};
use gogrid_wire::Epoch;
use std::sync::Arc;
use tokio::time::Instant;

impl FleetTask {
    /// Now and then: starts the successor of a pipeline of each model for which there is a much better plan. It takes over
    /// when it is loaded, so that both must have room for a while.
    pub(super) async fn improve(&mut self) {
        let now = Instant::now();
        if self.improve_again > now {
            return;
        }
        self.improve_again = now + self.timing.improve_every;
        let settled = |model: &str| {
            let builds: Vec<_> = self.builds.values().filter(|build| build.model == model).collect();
            !builds.is_empty() && builds.iter().all(|build| build.is_ready() && self.works(build))
        };
        let models: Vec<_> = self.models.iter().filter(|model| settled(&model.name)).cloned().collect();
        for model in models {
            if let Some((former, stages)) = self.better(&model) {
                self.scaled_out.insert(model.name.clone(), now);
                self.build(&Arc::clone(&model), stages, Some(former), true).await;
            }
        }
    }

    /// A pipeline of a model with the stages that it had better have.
    fn better(&self, model: &super::Model) -> Option<(Epoch, Vec<Placement>)> {
        let (demand, delays) = (self.demand(model), Delays::default());
        let beside = self.machines(&model.name, &[]);
        let own = || self.builds.iter().filter(|(_, build)| build.model == model.name);
        own().find_map(|(epoch, build)| {
            let mut machines = self.machines(&model.name, &[*epoch]);
            machines.retain(|machine| !own().any(|(other, build)| other != epoch && build.has(machine.id)));
            let stages: Vec<_> = build.stages.iter().map(|stage| (stage.place.machine, stage.place.layers)).collect();
            let current = planner::predict(&demand, &machines, &delays, &stages)?;
            let best = planner::plan(&demand, &machines, &delays).ok()?;
            // A stage that stays where it is takes nothing more.
            let stays = |place: &Placement| build.stages.iter().any(|stage| stage.place.is_same_stage(place));
            let has_room = |place: &Placement| {
                beside.iter().any(|machine| machine.id == place.machine && machine.free >= place.memory.total())
            };
            let moves = should_move(&current, &best.predicted)
                && best.stages.iter().all(|place| stays(place) || has_room(place));
            if moves {
                let (from, to) = (current.per_token * 1e3, best.predicted.per_token * 1e3);
                tracing::info!(model = model.name, %epoch, "better machines: {to:.1} instead of {from:.1} ms per token");
            }
            moves.then_some((*epoch, best.stages))
        })
    }
}
