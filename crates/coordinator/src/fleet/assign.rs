//! Which model is planned when, and what becomes of a plan.
//!
//! One plan is made at a time. Models that nothing serves come first, then replicas, spares and better pipelines; a
//! plan of those is given up when a model needs one that is not served. A plan whose fleet has changed meanwhile counts
//! if it still fits, which a change elsewhere does not keep it from; else it is made again.

use super::{
    ModelId,
    build::Build,
    core::Core,
    event::Action,
    plan::{Goal, Outcome, PlannedPipeline, PlannedStage},
    state::Waiting,
};
use crate::generate::NotReady;
use gogrid_wire::Epoch;

/// A plan that is being made.
pub(super) struct Job {
    number: u64,
    model: ModelId,
    purpose: Purpose,
    /// The fleet's, when it was asked for.
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Serve,
    ScaleOut,
    Improve,
    Spares,
}

impl Job {
    /// Whether no pipeline of the previous coordinator's time could be built again, and none is waited for.
    fn looked_back(&self, outcome: &Outcome) -> bool {
        let looked = matches!(self.purpose, Purpose::Serve | Purpose::ScaleOut);
        looked && matches!(outcome, Outcome::New { .. } | Outcome::Nothing { reason: Some(_) })
    }
}

impl From<&Goal> for Purpose {
    fn from(goal: &Goal) -> Self {
        match goal {
            Goal::Serve { .. } => Self::Serve,
            Goal::ScaleOut { .. } => Self::ScaleOut,
            Goal::Improve => Self::Improve,
            Goal::Spares { .. } => Self::Spares,
        }
    }
}

impl Core {
    /// Ends what is of no use, has the next plan made, and publishes the routes.
    pub(super) fn assign(&mut self) {
        self.publish = true;
        self.close_idle();
        self.close_needless();
        self.drop_useless_spares();
        self.scale_out_again = None;
        if !self.has_epochs() {
            return;
        }
        let urgent = self.planning.as_ref().is_some_and(|job| job.purpose == Purpose::Serve);
        if !urgent && let Some((id, goal)) = self.next_to_serve() {
            self.plan(&id, goal);
        } else if self.planning.is_none()
            && let Some((id, goal)) = self.next_to_extend()
        {
            self.plan(&id, goal);
        }
    }

    /// Whether a model may be planned now that was to wait.
    pub(super) fn is_assignment_due(&self) -> bool {
        let retries = self.models.values().filter_map(|state| state.waiting.as_ref()?.retry);
        retries.chain(self.scale_out_again).any(|at| at <= self.now)
    }

    /// Idle pipelines of a model that others serve are closed: their owners want the memory.
    fn close_idle(&mut self) {
        let idle: Vec<Epoch> = self.builds().filter(|build| self.is_idle(build)).map(|build| build.epoch).collect();
        for epoch in idle {
            if self.is_served_without(epoch) {
                self.close(epoch, "a machine of it does not compute");
            }
        }
    }

    /// Closes what was to take over from a pipeline that works again.
    fn close_needless(&mut self) {
        let needless = |build: &&Build| {
            let mut former = build.replaces.iter().filter_map(|former| self.build(*former));
            !build.is_better && former.any(|former| former.is_ready() && self.works_well(former))
        };
        let needless: Vec<Epoch> = self.builds().filter(needless).map(|build| build.epoch).collect();
        for epoch in needless {
            self.close(epoch, "the machine whose place it was to take is back");
        }
    }

    /// The next model that nothing serves as it should.
    fn next_to_serve(&mut self) -> Option<(ModelId, Goal)> {
        let ids: Vec<ModelId> = self.models.keys().cloned().collect();
        for id in ids {
            let served = self.of_model(&id).any(|build| self.works_well(build));
            let Some(state) = self.models.get_mut(&id) else { continue };
            if served {
                state.waiting = None;
                continue;
            }
            let retry = state.waiting.as_ref().and_then(|waiting| waiting.retry);
            if retry.is_some_and(|at| at > self.now) || state.tried.serve == Some(self.generation) {
                continue;
            }
            let serving = self.of_model(&id).filter(|build| build.is_ready());
            let failing: Vec<Epoch> = serving.map(|build| build.epoch).collect();
            // A silent machine may be heard again before anything else would be loaded.
            let only_takeover = self.of_model(&id).any(|build| self.works(build));
            if only_takeover && failing.is_empty() {
                continue;
            }
            let (before, release) = (self.pipelines_before(&id), self.releasable(&id));
            return Some((id, Goal::Serve { failing, only_takeover, before, release }));
        }
        None
    }

    /// What may be closed for a model that nothing serves: its own pipelines that do not compute, then other models'
    /// replicas, the newest first.
    fn releasable(&self, id: &ModelId) -> Vec<Vec<Epoch>> {
        let idle: Vec<Epoch> = self.of_model(id).filter(|build| self.is_idle(build)).map(|build| build.epoch).collect();
        let replicas = self.extra().into_iter().map(|epoch| vec![epoch]);
        [idle].into_iter().chain(replicas).filter(|epochs| !epochs.is_empty()).collect()
    }

    /// The next model that is served and could be served better.
    fn next_to_extend(&mut self) -> Option<(ModelId, Goal)> {
        let wanting: Vec<ModelId> = self.models.keys().filter(|id| self.wants_replica(id)).cloned().collect();
        for id in &wanting {
            if let Some(goal) = self.replica_goal(id) {
                return Some((id.clone(), goal));
            }
        }
        for id in &wanting {
            if let Some(goal) = self.spares_goal(id) {
                return Some((id.clone(), goal));
            }
        }
        self.next_to_improve().map(|id| (id, Goal::Improve))
    }

    fn spares_goal(&mut self, id: &ModelId) -> Option<Goal> {
        let stages = self.stages_without_spare(id);
        let state = self.models.get(id)?;
        let again = state.spares_loaded.map(|last| last + self.settings.timing.replan_window);
        let in_vain = state.tried.spares == Some(self.generation);
        if stages.is_empty() || in_vain || self.is_too_soon(again) {
            return None;
        }
        Some(Goal::Spares { stages, taken: self.taken_by_spares() })
    }

    /// Has a plan made. One that is being made for something less urgent is given up.
    fn plan(&mut self, id: &ModelId, goal: Goal) {
        self.last_job += 1;
        let (number, purpose) = (self.last_job, Purpose::from(&goal));
        let Some(request) = self.request(number, id, goal) else { return };
        let job = Job { number, model: id.clone(), purpose, generation: self.generation };
        if let Some(given_up) = self.planning.replace(job) {
            self.improve_later(&given_up);
        }
        self.actions.push(Action::Plan(Box::new(request)));
    }

    /// Looks for a better pipeline once more if that was the job, which came to nothing.
    fn improve_later(&mut self, job: &Job) {
        if job.purpose == Purpose::Improve
            && let Some(state) = self.models.get_mut(&job.model)
        {
            state.improve = true;
        }
    }

    /// A plan is ready.
    pub(super) fn planned(&mut self, number: u64, outcome: Outcome) {
        let Some(job) = self.planning.take_if(|job| job.number == number) else { return };
        if self.models.contains_key(&job.model) && self.has_epochs() {
            self.apply(&job, outcome);
        }
        self.assign();
    }

    fn apply(&mut self, job: &Job, outcome: Outcome) {
        let (id, fresh) = (&job.model, job.generation == self.generation);
        if fresh && job.looked_back(&outcome) {
            self.give_up_before(id);
        }
        match outcome {
            Outcome::Takeover { former, pipeline } => {
                let serves = self.build(former).is_some_and(Build::is_ready);
                if self.lacks(id) && serves && (fresh || self.fits(id, &pipeline, &[former])) {
                    tracing::info!(model = %id, %former, "another machine takes a place in a pipeline");
                    self.start_build(id, pipeline.stages, Some(former), false);
                }
            }
            Outcome::AsBefore { before, pipeline } => {
                if self.is_wanted(job) && (fresh || self.fits_beside(id, &pipeline)) {
                    tracing::info!(model = %id, "a pipeline, as before");
                    self.built_again(id, &before);
                    self.start(job, pipeline);
                }
            }
            Outcome::New { release, pipeline } => {
                let beside = job.purpose == Purpose::Serve || self.fits_beside(id, &pipeline);
                let there = release.iter().all(|epoch| self.build(*epoch).is_some());
                if self.is_wanted(job) && there && (fresh || beside && self.fits(id, &pipeline, &release)) {
                    let PlannedPipeline { ms_per_token, binding, .. } = &pipeline;
                    tracing::info!(model = %id, binding, "planned {ms_per_token:.1} ms per token");
                    for epoch in release {
                        self.close(epoch, "its machines are needed by a model that has no others");
                    }
                    self.start(job, pipeline);
                }
            }
            Outcome::Better { former, former_ms_per_token, pipeline } => {
                if !fresh && !self.fits_instead(id, former, &pipeline) {
                    self.improve_later(job);
                } else if self.is_settled(id) {
                    let ms_per_token = pipeline.ms_per_token;
                    tracing::info!(model = %id, epoch = %former, "better machines: {ms_per_token:.1} instead of {former_ms_per_token:.1} ms per token");
                    self.scaled_out(id);
                    self.start_build(id, pipeline.stages, Some(former), true);
                }
            }
            Outcome::Spares(spares) => self.load_spares(job, fresh, spares),
            Outcome::Expected if fresh => self.expect_before(job),
            Outcome::Nothing { reason } if fresh => self.no_plan(job, reason),
            Outcome::Expected | Outcome::Nothing { .. } => {}
        }
    }

    /// Starts what was planned to serve a model, or to serve it beside others.
    fn start(&mut self, job: &Job, pipeline: PlannedPipeline) {
        match job.purpose {
            Purpose::ScaleOut => self.scaled_out(&job.model),
            _ => {
                if let Some(state) = self.models.get_mut(&job.model) {
                    state.waiting = None;
                }
            }
        }
        self.start_build(&job.model, pipeline.stages, None, false);
    }

    fn load_spares(&mut self, job: &Job, fresh: bool, spares: Vec<PlannedStage>) {
        let (id, now) = (&job.model, self.now);
        let fits = |this: &Self, stage: &PlannedStage| {
            let place = &stage.place;
            let taken = this.taken_by_spares().get(&place.machine).copied().unwrap_or(0);
            let part = this.of_model(id).any(|build| build.has(place.machine));
            !part
                && this.may_take(id, place.machine)
                && this.free_at(place.machine, &[]) >= taken + place.memory.total()
        };
        if !self.wants_replica(id) || !(fresh || spares.iter().all(|stage| fits(self, stage))) {
            return;
        }
        let Some(state) = self.models.get_mut(id) else { return };
        if spares.is_empty() {
            state.tried.spares = Some(job.generation);
            return;
        }
        state.spares_loaded = Some(now);
        spares.into_iter().for_each(|stage| self.load_spare(id, stage));
    }

    fn no_plan(&mut self, job: &Job, reason: Option<String>) {
        let reason = reason.map(|reason| match self.quarantined(&job.model) {
            Some(without) => format!("{reason}; {without}"),
            None => reason,
        });
        let Some(state) = self.models.get_mut(&job.model) else { return };
        match job.purpose {
            Purpose::Serve => state.tried.serve = Some(job.generation),
            Purpose::ScaleOut => state.tried.scale_out = Some(job.generation),
            Purpose::Spares => state.tried.spares = Some(job.generation),
            Purpose::Improve => {}
        }
        if let Some(reason) = reason.filter(|_| job.purpose == Purpose::Serve) {
            tracing::info!(model = %job.model, reason, "no place yet");
            state.waiting = Some(Waiting { class: NotReady::InsufficientMemory, reason, retry: None });
        }
    }

    /// Machines of earlier pipelines are waited for; when their time is over, the generation changes.
    fn expect_before(&mut self, job: &Job) {
        let Some(state) = self.models.get_mut(&job.model) else { return };
        if job.purpose == Purpose::Serve {
            let reason = "machines that served it before have not connected again yet".to_owned();
            state.waiting = Some(Waiting { class: NotReady::Returning, reason, retry: Some(self.before_until) });
        } else {
            state.tried.scale_out = Some(job.generation);
        }
    }

    /// Whether nothing serves a model as it should.
    fn lacks(&self, id: &ModelId) -> bool {
        !self.of_model(id).any(|build| self.works_well(build))
    }

    /// Whether the pipeline that a job was for is still wanted.
    fn is_wanted(&self, job: &Job) -> bool {
        match job.purpose {
            Purpose::Serve => !self.of_model(&job.model).any(|build| self.works(build)),
            _ => self.wants_replica(&job.model),
        }
    }

    /// Whether the machines of a pipeline have room for it when some epochs are over.
    fn fits(&self, id: &ModelId, pipeline: &PlannedPipeline, without: &[Epoch]) -> bool {
        pipeline.stages.iter().all(|stage| {
            self.may_take(id, stage.place.machine)
                && self.free_at(stage.place.machine, without) >= stage.place.memory.total()
        })
    }

    /// The same for a pipeline on machines without a part in the model's others.
    fn fits_beside(&self, id: &ModelId, pipeline: &PlannedPipeline) -> bool {
        let has_part = |stage: &PlannedStage| self.of_model(id).any(|build| build.has(stage.place.machine));
        !pipeline.stages.iter().any(has_part) && self.fits(id, pipeline, &[])
    }

    /// The same for a pipeline that is loaded beside one that it takes over from.
    fn fits_instead(&self, id: &ModelId, former: Epoch, pipeline: &PlannedPipeline) -> bool {
        let Some(build) = self.build(former) else { return false };
        pipeline.stages.iter().all(|stage| {
            let machine = stage.place.machine;
            let elsewhere = self.of_model(id).any(|other| other.epoch != former && other.has(machine));
            let has_room = || self.free_at(machine, &[]) >= stage.place.memory.total();
            !elsewhere && self.may_take(id, machine) && (build.has_stage(&stage.place) || has_room())
        })
    }
}
