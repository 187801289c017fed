//! A plan, away from the core: a request has all that the planner needs, as it was when the request was made. Pure, and
//! slow: a plan over a thousand machines takes as long as hundreds of steps of the core.

use super::returning::Stages;
use crate::model::Model;
use crate::planner::{self, Demand, Machine, Placement, Plan, PlanError, should_move};
use gogrid_model::ManifestError;
use gogrid_wire::{Epoch, PeerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What to plan, for one model.
pub(crate) struct PlanRequest {
    pub(super) job: u64,
    pub(super) model: Arc<Model>,
    pub(super) max_sessions: usize,
    /// Those that take work and are not silent.
    pub(super) machines: Vec<Lent>,
    /// What pipelines that may be over by then hold, in bytes.
    pub(super) held: BTreeMap<Epoch, Vec<(PeerId, u64)>>,
    /// What pipelines of other models hold beyond what they cannot do without, in bytes.
    pub(super) beyond_need: BTreeMap<Epoch, Vec<(PeerId, u64)>>,
    /// The model's pipelines and their stages, the oldest first.
    pub(super) pipelines: Vec<(Epoch, Vec<Placement>)>,
    /// The stages of the model's last pipeline, which the machines may still hold.
    pub(super) former: Vec<Placement>,
    /// The model's spares, the loaded ones first.
    pub(super) spares: Vec<Placement>,
    /// Groups whose machines may serve the model; all machines if there are none.
    pub(super) groups: Vec<String>,
    pub(super) goal: Goal,
}

/// A machine, with what its stages take.
pub(super) struct Lent {
    /// `free` is all that it lends.
    pub(super) machine: Machine,
    /// Memory of the stages of all pipelines, in bytes.
    pub(super) taken: u64,
}

/// What a plan is for.
pub(super) enum Goal {
    /// A pipeline for a model that nothing serves as it should.
    Serve {
        /// Pipelines that serve but should not, for which others may take over.
        failing: Vec<Epoch>,
        /// Whether only those are to be looked at: their machines may be heard again before others would be loaded.
        only_takeover: bool,
        before: Before,
        /// What may be closed to make room, one after another: each time, these as well.
        release: Vec<Vec<Epoch>>,
    },
    /// Another pipeline beside those that serve.
    ScaleOut { before: Before },
    /// A pipeline that is much better than one that serves.
    Improve,
    /// Spares for these stages.
    Spares {
        stages: Vec<Placement>,
        /// What spares of all models take, in bytes.
        taken: BTreeMap<PeerId, u64>,
    },
}

/// Pipelines in the previous coordinator's time.
pub(super) struct Before {
    /// Those that may be built again now.
    pub(super) due: Vec<Stages>,
    /// Whether machines of others may still connect.
    pub(super) expected: bool,
}

/// A stage with its place, and its manifest as it travels.
pub(crate) struct PlannedStage {
    pub(super) place: Placement,
    pub(super) manifest: Vec<u8>,
}

/// A pipeline with its stages in order.
pub(crate) struct PlannedPipeline {
    pub(super) stages: Vec<PlannedStage>,
    pub(super) ms_per_token: f64,
    /// What keeps the plan from being another, in words.
    pub(super) binding: String,
}

/// What came of a request.
pub(crate) enum Outcome {
    /// A pipeline that takes over from `former` with all that it can keep of it.
    Takeover {
        former: Epoch,
        pipeline: PlannedPipeline,
    },
    /// A pipeline as it was in the previous coordinator's time.
    AsBefore {
        before: Stages,
        pipeline: PlannedPipeline,
    },
    /// A pipeline for which these are closed.
    New {
        release: Vec<Epoch>,
        pipeline: PlannedPipeline,
    },
    /// A pipeline that is much better than `former`.
    Better {
        former: Epoch,
        former_ms_per_token: f64,
        pipeline: PlannedPipeline,
    },
    Spares(Vec<PlannedStage>),
    /// Machines of earlier pipelines are waited for.
    Expected,
    /// There is no plan; for this reason where one was asked for.
    Nothing {
        reason: Option<String>,
    },
}

#[derive(Debug, thiserror::Error)]
enum NoPlan {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{error}: {} MiB are lent, of which stages take {}", lent >> 20, taken >> 20)]
    Room { error: PlanError, lent: u64, taken: u64 },
    #[error("its manifest lacks tensors of a stage")]
    Manifest(#[from] ManifestError),
}

impl PlanRequest {
    pub(crate) fn job(&self) -> u64 {
        self.job
    }

    /// Makes the plan.
    pub(crate) fn run(&self) -> Outcome {
        let outcome = match &self.goal {
            Goal::Serve { failing, only_takeover, before, release } => {
                self.serve(failing, *only_takeover, before, release)
            }
            Goal::ScaleOut { before } => self.scale_out(before),
            Goal::Improve => self.improve(),
            Goal::Spares { stages, taken } => self.place_spares(stages, taken),
        };
        outcome.unwrap_or_else(|error| {
            tracing::debug!(model = self.model.name, %error, "no plan");
            Outcome::Nothing { reason: Some(error.to_string()) }
        })
    }

    fn serve(
        &self,
        failing: &[Epoch],
        only_takeover: bool,
        before: &Before,
        release: &[Vec<Epoch>],
    ) -> Result<Outcome, NoPlan> {
        for former in failing {
            if let Some(plan) = self.takeover(*former) {
                return Ok(Outcome::Takeover { former: *former, pipeline: self.pipeline(plan)? });
            }
        }
        if only_takeover {
            return Ok(Outcome::Nothing { reason: None });
        }
        if let Some(outcome) = self.as_before(before)? {
            return Ok(outcome);
        }
        let no_room = match self.plan_without(&[]) {
            Ok(plan) => return Ok(Outcome::New { release: Vec::new(), pipeline: self.pipeline(plan)? }),
            Err(error) => error,
        };
        let mut without = Vec::new();
        for epochs in release {
            without.extend(epochs.iter().copied());
            if let Ok(plan) = self.plan_without(&without) {
                return Ok(Outcome::New { release: without, pipeline: self.pipeline(plan)? });
            }
        }
        // Others keep what they need for what they wish for beyond it.
        for without in [&[][..], &without] {
            if let Some((plan, shrunk)) = self.plan_with_less_for_others(without) {
                let release = without.iter().copied().chain(shrunk).collect();
                return Ok(Outcome::New { release, pipeline: self.pipeline(plan)? });
            }
        }
        Err(self.no_room(no_room))
    }

    /// A plan as if these epochs were over and other models' pipelines held no more than they need, with those that must
    /// be planned again for it.
    fn plan_with_less_for_others(&self, without: &[Epoch]) -> Option<(Plan, Vec<Epoch>)> {
        let free: BTreeMap<PeerId, u64> =
            self.machines(without).iter().map(|machine| (machine.id, machine.free)).collect();
        let others = self.beyond_need.iter().filter(|(epoch, _)| !without.contains(epoch));
        let beyond = others.clone().flat_map(|(_, stages)| stages);
        let plan = self.plan_over(&self.machines_after(self.held_by(without).chain(beyond))).ok()?;
        let is_short = |machine: &PeerId| {
            let place = plan.stages.iter().find(|place| place.machine == *machine);
            place.is_some_and(|place| place.memory.total() > free.get(machine).copied().unwrap_or(0))
        };
        let shrunk = others.filter(|(_, stages)| stages.iter().any(|(machine, bytes)| *bytes > 0 && is_short(machine)));
        let shrunk = shrunk.map(|(epoch, _)| *epoch).collect();
        Some((plan, shrunk))
    }

    /// Why there is no room, with what is lent and what is taken of it.
    fn no_room(&self, error: PlanError) -> NoPlan {
        let PlanError::NotEnoughMemory { .. } = error else { return error.into() };
        let lent = self.machines.iter().map(|lent| lent.machine.free).sum();
        NoPlan::Room { error, lent, taken: self.machines.iter().map(|lent| lent.taken).sum() }
    }

    fn scale_out(&self, before: &Before) -> Result<Outcome, NoPlan> {
        if let Some(outcome) = self.as_before(before)? {
            return Ok(outcome);
        }
        let plan = self.plan_over(&self.machines_without_part())?;
        Ok(Outcome::New { release: Vec::new(), pipeline: self.pipeline(plan)? })
    }

    /// The plan of a pipeline that takes over from one that serves but should not, with all that it can keep of it.
    fn takeover(&self, former: Epoch) -> Option<Plan> {
        let (_, stages) = self.pipelines.iter().find(|(epoch, _)| *epoch == former)?;
        let (demand, machines) = (self.demand(), self.machines(&[former]));
        let best = planner::plan(&demand, &machines).ok()?;
        planner::repair(&demand, &machines, stages, &self.spares, &best)
    }

    /// A pipeline as it was, as far as its machines take work and have room for it. `None` where there is none, and
    /// none is waited for.
    fn as_before(&self, before: &Before) -> Result<Option<Outcome>, NoPlan> {
        let (demand, machines) = (self.demand(), self.machines_without_part());
        let again = |stages: &Stages| {
            let former = planner::restore(&demand, &machines, stages)?;
            let best = planner::plan(&demand, &machines).ok()?;
            planner::repair(&demand, &machines, &former, &[], &best)
        };
        match before.due.iter().find_map(|stages| Some((stages, again(stages)?))) {
            Some((stages, plan)) => {
                Ok(Some(Outcome::AsBefore { before: stages.clone(), pipeline: self.pipeline(plan)? }))
            }
            None => Ok(before.expected.then_some(Outcome::Expected)),
        }
    }

    /// A plan as if these epochs were over.
    fn plan_without(&self, without: &[Epoch]) -> Result<Plan, PlanError> {
        self.plan_over(&self.machines(without))
    }

    /// The pipeline that the model had last with machines in the place of those that are gone, if that is nearly as
    /// good as any; else the best plan.
    fn plan_over(&self, machines: &[Machine]) -> Result<Plan, PlanError> {
        let demand = self.demand();
        let best = planner::plan(&demand, machines)?;
        Ok(planner::repair(&demand, machines, &self.former, &self.spares, &best).unwrap_or(best))
    }

    /// The first pipeline for which there is a much better one. That takes over when it is loaded, so that both must
    /// have room for a while.
    fn improve(&self) -> Result<Outcome, NoPlan> {
        let better = self.pipelines.iter().find_map(|(epoch, stages)| {
            let (former_seconds, plan) = self.better(*epoch, stages)?;
            Some((*epoch, former_seconds, plan))
        });
        let Some((former, former_seconds, plan)) = better else { return Ok(Outcome::Nothing { reason: None }) };
        let former_ms_per_token = former_seconds * 1e3;
        Ok(Outcome::Better { former, former_ms_per_token, pipeline: self.pipeline(plan)? })
    }

    /// The seconds that a token takes over these stages, and a plan that is much better.
    fn better(&self, epoch: Epoch, stages: &[Placement]) -> Option<(f64, Plan)> {
        let demand = self.demand();
        let elsewhere = self.parts(|other| other != epoch);
        let mut machines = self.machines(&[epoch]);
        machines.retain(|machine| !elsewhere.contains(&machine.id));
        let current: Vec<_> = stages.iter().map(|place| (place.machine, place.layers)).collect();
        let current = planner::predict(&demand, &machines, &current)?;
        let best = planner::plan(&demand, &machines).ok()?;
        let beside = self.machines(&[]);
        // A stage that stays where it is takes nothing more.
        let stays = |place: &Placement| stages.iter().any(|stage| stage.is_same_stage(place));
        let has_room = |place: &Placement| {
            beside.iter().any(|machine| machine.id == place.machine && machine.free >= place.memory.total())
        };
        let moves = should_move(&current, &best.predicted);
        let fits = best.stages.iter().all(|place| stays(place) || has_room(place));
        (moves && fits).then_some((current.per_token, best))
    }

    fn place_spares(&self, stages: &[Placement], taken: &BTreeMap<PeerId, u64>) -> Result<Outcome, NoPlan> {
        let mut machines = self.machines_without_part();
        // A machine can take one place in a pipeline.
        machines.retain(|machine| !self.spares.iter().any(|spare| spare.machine == machine.id));
        for machine in &mut machines {
            machine.free = machine.free.saturating_sub(taken.get(&machine.id).copied().unwrap_or(0));
        }
        let spares =
            planner::spares(&self.demand(), &machines, stages).into_iter().map(|spare| self.stage(spare.place));
        Ok(Outcome::Spares(spares.collect::<Result<_, _>>()?))
    }

    fn demand(&self) -> Demand<'_> {
        let Model { manifest, quant, stages, .. } = &*self.model;
        // One whole context is the least that is of use: most requests are far shorter, and share it.
        Demand {
            manifest,
            quant: *quant,
            stages: *stages,
            concurrency: 1,
            sessions: self.max_sessions,
            groups: &self.groups,
        }
    }

    /// What each machine has left beside its stages, except those of some epochs.
    fn machines(&self, without: &[Epoch]) -> Vec<Machine> {
        self.machines_after(self.held_by(without))
    }

    /// What these epochs hold, by machine.
    fn held_by<'a>(&'a self, epochs: &'a [Epoch]) -> impl Iterator<Item = &'a (PeerId, u64)> {
        epochs.iter().filter_map(|epoch| self.held.get(epoch)).flatten()
    }

    /// What each machine has left beside its stages once this is released of them. A machine that lends less than its
    /// stages take has nothing left before that is made up for.
    fn machines_after<'a>(&self, release: impl Iterator<Item = &'a (PeerId, u64)>) -> Vec<Machine> {
        let mut released: BTreeMap<PeerId, u64> = BTreeMap::new();
        for (machine, bytes) in release {
            *released.entry(*machine).or_default() += bytes;
        }
        let left = |Lent { machine, taken }: &Lent| {
            let taken = taken.saturating_sub(released.get(&machine.id).copied().unwrap_or(0));
            Machine { free: machine.free.saturating_sub(taken), ..machine.clone() }
        };
        self.machines.iter().map(left).collect()
    }

    /// Machines without a part in a pipeline of the model.
    fn machines_without_part(&self) -> Vec<Machine> {
        let parts = self.parts(|_| true);
        let mut machines = self.machines(&[]);
        machines.retain(|machine| !parts.contains(&machine.id));
        machines
    }

    /// Machines with a part in some of the model's pipelines.
    fn parts(&self, of: impl Fn(Epoch) -> bool) -> BTreeSet<PeerId> {
        let stages = self.pipelines.iter().filter(|(epoch, _)| of(*epoch)).flat_map(|(_, stages)| stages);
        stages.map(|place| place.machine).collect()
    }

    fn pipeline(&self, plan: Plan) -> Result<PlannedPipeline, ManifestError> {
        let stages = plan.stages.into_iter().map(|place| self.stage(place)).collect::<Result<_, _>>()?;
        let ms_per_token = plan.predicted.per_token * 1e3;
        Ok(PlannedPipeline { stages, ms_per_token, binding: plan.binding.to_string() })
    }

    fn stage(&self, place: Placement) -> Result<PlannedStage, ManifestError> {
        Ok(PlannedStage { manifest: self.model.stage_manifest(place.layers)?, place })
    }
}
