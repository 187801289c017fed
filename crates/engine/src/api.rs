//! What the local socket serves: the worker's state in one piece, and commands.

mod diagnosis;

use crate::{
    executor::Executor,
    grid::{MembershipCommand, MembershipCommands},
    local,
    pace::Paced,
    resources::{RATE_OVER, ResourceCommand, ResourceController, StageView, State},
    self_test,
    weights::WeightCache,
};
use gogrid_limits::Ledger;
use gogrid_panel_api::{
    CodeDetails, Contribution, LeverState, Machine, Request, RequestError, Response, Stage, Status, Usage,
};
use gogrid_probe::{Lever, LeverReport, Outcome};
use gogrid_wire::{Epoch, JoinCode};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{Mutex, watch};

/// Slices are cut for 8 ms, and a single unit takes far less than this.
const QUIET_WITHIN: Duration = Duration::from_secs(5);

/// What stays the same while the worker runs.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Its key in hexadecimal.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) gpu: bool,
    pub(crate) machine: Machine,
}

#[derive(Clone)]
pub(crate) struct WorkerApi {
    pub(crate) identity: Arc<Identity>,
    pub(crate) resources: ResourceController,
    pub(crate) executor: Executor,
    pub(crate) paced: Paced,
    pub(crate) ledger: Ledger,
    pub(crate) cache: WeightCache,
    pub(crate) membership: MembershipCommands,
    /// What the process gave up when it started.
    pub(crate) given_up: Arc<LeverReport>,
    /// Held while the self-test runs.
    pub(crate) testing: Arc<Mutex<()>>,
}

impl local::Handler for WorkerApi {
    fn status(&self) -> Status {
        let (state, identity) = (self.resources.view().state(), &*self.identity);
        Status {
            id: identity.id.clone(),
            name: identity.name.clone(),
            device: identity.device.clone(),
            state: self.state(&state),
            reason: reason(&state),
            pausing_after_answers: state.finishing,
            connection: state.connection.clone(),
            about: state.about.clone(),
            left: state.left.clone(),
            machine: identity.machine.clone(),
            managed_by: state.settings.managed_by().map(str::to_owned),
            usage: self.usage(&state),
            stages: state.stages.iter().map(|(epoch, stage)| panel_stage(*epoch, stage)).collect(),
            sessions: self.resources.view().sessions(),
            contribution: self.contribution(),
            today: self.resources.view().record().day(&jiff::Zoned::now().date().to_string()),
            levers: self.levers(&state.caps),
            limits: state.settings.shown(state.sample.as_ref()),
            allowance: state.allowance,
            sample: state.sample,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.resources.view().changes()
    }

    async fn handle(&self, request: Request) -> Response {
        let record = self.resources.view().record();
        let command = match request {
            Request::Limits | Request::Status | Request::Follow { .. } => {
                let state = self.resources.view().state();
                return Response::Limits(state.settings.shown(state.sample.as_ref()));
            }
            Request::History { range } => return Response::History(record.history(range)),
            Request::Events { after_ms } => return Response::Events(record.events(after_ms)),
            Request::EnergyFigures(figures) => {
                let record = record.clone();
                drop(tokio::task::spawn_blocking(move || record.set_figures(figures)).await);
                return Response::Done;
            }
            Request::Weights => return answer(self.weights(None).await),
            Request::ClearWeights { model } => return answer(self.weights(Some(model)).await),
            Request::Days => return Response::Days(record.days()),
            Request::Join { code } => return self.join(&code).await,
            Request::Leave => return done(self.membership.send(MembershipCommand::Leave).await),
            Request::JoinAgain => return done(self.membership.send(MembershipCommand::JoinAgain).await),
            Request::ReadCode { code } => return read_code(&code),
            Request::SelfTest { after_answers } => return self.test(after_answers).await,
            Request::Diagnose => {
                return answer(diagnosis::diagnose(&self.resources, &self.identity).await.map(Response::Diagnosis));
            }
            Request::Programs => return answer(diagnosis::programs().await.map(Response::Programs)),
            Request::Set { changes } => ResourceCommand::Set(changes),
            Request::Preset { name } => ResourceCommand::Preset(name),
            Request::Pause(pause) => ResourceCommand::Pause(pause),
            Request::Resume => ResourceCommand::Resume,
        };
        if let Err(refused) = self.resources.command(command).await {
            return Response::Refused(refused);
        }
        if self.paced.is_stopped() && tokio::time::timeout(QUIET_WITHIN, self.executor.gauge().quiet()).await.is_err() {
            let message = "no further slice is computed, but the one under way has not ended yet".into();
            return Response::Refused(RequestError { field: None, message });
        }
        Response::Done
    }
}

/// Why the worker does what it does.
fn reason(state: &State) -> String {
    match (&state.connection, &state.revoked) {
        (Some(_), _) => state.allowance.reason.to_string(),
        (None, Some(revoked)) => revoked.clone(),
        (None, None) => "This machine is a member of no grid yet".to_owned(),
    }
}

fn answer(result: Result<Response, RequestError>) -> Response {
    result.unwrap_or_else(Response::Refused)
}

fn done(result: Result<(), RequestError>) -> Response {
    answer(result.map(|()| Response::Done))
}

/// What a join code says.
fn read_code(code: &str) -> Response {
    match code.parse::<JoinCode>() {
        Ok(JoinCode { coordinator, grid, .. }) => Response::Code(CodeDetails {
            grid,
            coordinator: coordinator.id.to_string(),
            addresses: coordinator.addrs.iter().map(ToString::to_string).collect(),
        }),
        Err(error) => Response::Refused(RequestError::new(Some("code"), error.to_string())),
    }
}

impl WorkerApi {
    async fn join(&self, code: &str) -> Response {
        match code.parse() {
            Ok(code) => done(self.membership.send(MembershipCommand::Join(Box::new(code))).await),
            Err(error) => Response::Refused(RequestError::new(Some("code"), error.to_string())),
        }
    }

    /// The weights on this machine's disk, once those that are to be cleared are gone: of this model, or of all.
    async fn weights(&self, clear: Option<Option<String>>) -> Result<Response, RequestError> {
        let in_use = self.resources.view().state().stages.into_values().map(|stage| stage.model).collect();
        let cache = self.cache.clone();
        let work = move || {
            if let Some(model) = clear {
                cache.clear(model.as_deref(), &in_use);
            }
            cache.inventory(&in_use)
        };
        let weights = tokio::task::spawn_blocking(work).await;
        weights.map(Response::Weights).map_err(|error| RequestError::new(None, error.to_string()))
    }

    async fn test(&self, after_answers: bool) -> Response {
        let Ok(_alone) = self.testing.try_lock() else {
            return Response::Refused(RequestError::new(None, "a self-test is running already"));
        };
        // Held while the test runs.
        let _taking_none = after_answers.then(|| self.resources.take_none());
        let (resources, executor, paced) = (&self.resources, &self.executor, &self.paced);
        if after_answers && let Err(refused) = self_test::answers_are_over(resources, executor, paced).await {
            return Response::Refused(refused);
        }
        answer(self_test::run(resources, executor, paced).await.map(Response::SelfTest))
    }

    fn state(&self, state: &State) -> gogrid_panel_api::State {
        use gogrid_limits::State as Governed;
        use gogrid_panel_api::State as PanelState;
        match state.allowance.state() {
            Governed::Paused => PanelState::Paused,
            Governed::Stopped => PanelState::Stopped,
            _ if self.paced.is_stopped() => PanelState::Stopped,
            _ if state.connection.is_none() => PanelState::NotJoined,
            _ if !state.is_connected() => PanelState::Connecting,
            _ if !self.executor.gauge().is_busy() => PanelState::Idle,
            Governed::Throttled => PanelState::Throttled,
            Governed::Working => PanelState::Working,
        }
    }

    fn usage(&self, state: &State) -> Usage {
        let ledger = self.ledger.usage();
        Usage {
            cpu: state.rates.cpu,
            gpu: self.identity.gpu.then_some(state.rates.gpu),
            ledger_bytes: ledger.total(),
            weights_bytes: ledger.weights,
            kv_bytes: ledger.kv,
            workspace_bytes: ledger.workspace.saturating_add(ledger.runtime).saturating_add(ledger.frames),
            limit_bytes: ledger.limit,
            tokens_per_second: state.rates.tokens,
            answers: self.executor.gauge().sessions_within(RATE_OVER).max(self.resources.view().sessions()),
        }
    }

    fn contribution(&self) -> Contribution {
        let (stats, slices) = (self.paced.stats(), self.executor.gauge().slice_times());
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Contribution {
            tokens: self.executor.gauge().tokens(),
            slices: self.executor.gauge().slices(),
            throttled: stats.throttled,
            busy_seconds: stats.busy.as_secs_f64(),
            waited_seconds: stats.waits.as_secs_f64(),
            slice_p99_ms: ms(slices.p99),
            divisible_slice_p99_ms: ms(slices.p99_of_several),
            longest_slice_ms: ms(slices.longest),
        }
    }

    fn levers(&self, caps: &[Lever]) -> Vec<LeverState> {
        let executor = self.executor.gauge().levers().into_iter();
        let levers = executor.chain([&*self.given_up]).flat_map(|report| &report.levers).chain(caps);
        let state = |Lever { name, outcome }: &Lever| LeverState {
            name: (*name).to_owned(),
            result: match outcome {
                Outcome::Set(value) => Ok(value.clone()),
                Outcome::NotSet(reason) => Err(reason.clone()),
            },
        };
        levers.map(state).collect()
    }
}

fn panel_stage(epoch: u64, stage: &StageView) -> Stage {
    let (weights_bytes, gauge) = stage.loaded.as_ref().map_or((0, None), |(bytes, gauge)| (*bytes, Some(gauge)));
    Stage {
        model: stage.model.clone(),
        layers: stage.layers,
        epoch: u64::from(Epoch(epoch).number()),
        loaded: stage.loaded.is_some(),
        weights_bytes,
        kv_bytes: gauge.map_or(0, |gauge| gauge.kv_used.load(Ordering::Relaxed)),
        sessions: gauge.map_or(0, |gauge| gauge.sessions.load(Ordering::Relaxed)),
        blocked: gauge.is_some_and(|gauge| gauge.blocked.load(Ordering::Relaxed)),
    }
}
