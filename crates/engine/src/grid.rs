//! The machine's place in a grid: in none, on its way to a coordinator, or a member that is connected.
//!
//! ```text
//!            join ─▶ ┌──────┐ ─ let in ─▶ ┌────────┐
//! outside ◀─ refused ┤ away │             │ inside │ ─ leave, revoked ─▶ outside
//!                    └──────┘ ◀─ link lost ┴────────┘
//! ```
//! A member that loses its coordinator tries again for ever, with growing pauses. A worker that is started for somebody
//! who watches it ([`WorkerOptions::resident`](crate::WorkerOptions)) waits outside; any other ends there.

use crate::{
    control::{self, Control, ControlError, Ended, Introduction, LeaveRequest, Shared},
    executor::Failure,
    membership::Membership,
    worker::{WorkerError, WorkerState},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use gogrid_link::Transport;
use gogrid_panel_api::{Connection, Happening, RequestError};
use gogrid_wire::{InviteToken, JoinCode, PeerAddr, control::Refusal};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How long a machine that is no member yet tries: its owner is there and wants to know. A member tries for ever.
const JOIN_WITHIN: Duration = Duration::from_secs(8);
/// The longest pause between two tries: a coordinator that returns has its fleet back within this time.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Orders that may wait: people give them one by one.
const COMMANDS: usize = 4;

/// What the donor asks for, and where to say that it is done.
pub(crate) struct PendingCommand {
    pub(crate) command: MembershipCommand,
    pub(crate) done: oneshot::Sender<Result<(), RequestError>>,
}

#[derive(Debug)]
pub(crate) enum MembershipCommand {
    Join(Box<JoinCode>),
    Leave,
}

/// A handle for commands.
#[derive(Clone)]
pub(crate) struct MembershipCommands(mpsc::Sender<PendingCommand>);

impl MembershipCommands {
    pub(crate) fn new() -> (Self, mpsc::Receiver<PendingCommand>) {
        let (commands, received) = mpsc::channel(COMMANDS);
        (Self(commands), received)
    }

    /// Sends a command and waits until it is carried out.
    pub(crate) async fn send(&self, command: MembershipCommand) -> Result<(), RequestError> {
        let ending = || RequestError::new(None, "the worker is ending");
        let (done, answer) = oneshot::channel();
        self.0.send(PendingCommand { command, done }).await.map_err(|_| ending())?;
        answer.await.unwrap_or_else(|_| Err(ending()))
    }
}

/// Where a machine is on its way to.
struct Goal {
    member: Membership,
    /// With a code it is not a member yet.
    token: Option<InviteToken>,
    /// Who waits for it to be let in, and where to go back to if it is not.
    asked: Option<Asked>,
}

struct Asked {
    done: oneshot::Sender<Result<(), RequestError>>,
    before: Option<Membership>,
}

enum MembershipState {
    Outside,
    Away(Goal),
    Inside(Box<Inside>),
    Over,
}

struct Inside {
    coordinator: PeerAddr,
    joined: control::Joined,
    /// Who waits for the machine to be let in.
    asked: Option<oneshot::Sender<Result<(), RequestError>>>,
}

/// What runs the machine's membership.
pub(crate) struct Grid {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) data: PathBuf,
    pub(crate) introduction: Introduction,
    pub(crate) shared: Shared,
    pub(crate) failures: mpsc::Receiver<Failure>,
    pub(crate) commands: mpsc::Receiver<PendingCommand>,
    pub(crate) state: watch::Sender<WorkerState>,
    /// Whether it waits outside, or ends there.
    pub(crate) resident: bool,
}

impl Grid {
    /// Runs until `stop` is cancelled and the sessions are over.
    ///
    /// # Errors
    /// When the machine is a member of no grid and does not wait for a code, or the membership cannot be kept.
    pub(crate) async fn run(mut self, join: Option<JoinCode>, stop: &CancellationToken) -> Result<(), WorkerError> {
        // A join code names the coordinator, a new one too; without one the membership does.
        let mut state = match (join, Membership::load(&self.data)?) {
            (Some(code), _) => MembershipState::Away(Goal::with(code)),
            (None, Some(member)) => MembershipState::Away(Goal { member, token: None, asked: None }),
            (None, None) if self.resident => MembershipState::Outside,
            (None, None) => return Err(WorkerError::NotJoined),
        };
        loop {
            state = match state {
                MembershipState::Outside => self.outside(stop).await,
                MembershipState::Away(goal) => self.away(goal, stop).await?,
                MembershipState::Inside(inside) => self.inside(*inside, stop).await?,
                MembershipState::Over => return Ok(()),
            };
        }
    }

    /// Waits for a code.
    async fn outside(&mut self, stop: &CancellationToken) -> MembershipState {
        self.state.send_replace(WorkerState::Outside);
        self.shared.view.set_connection(None);
        loop {
            let pending = tokio::select! {
                pending = self.commands.recv() => pending,
                () = stop.cancelled() => None,
            };
            match pending {
                None => return MembershipState::Over,
                Some(PendingCommand { command: MembershipCommand::Join(code), done }) => {
                    return MembershipState::Away(Goal::asked(*code, done, None));
                }
                Some(PendingCommand { command: MembershipCommand::Leave, done }) => {
                    drop(done.send(Err(RequestError::new(None, "this machine is a member of no grid"))));
                }
            }
        }
    }

    /// Tries to reach the coordinator and to be let in.
    async fn away(&mut self, goal: Goal, stop: &CancellationToken) -> Result<MembershipState, WorkerError> {
        self.state.send_replace(WorkerState::Connecting);
        self.shared.view.set_connection(Some(goal.connection(None)));
        let (mut pauses, started) = (pauses(), Instant::now());
        loop {
            let tried = tokio::select! {
                tried = control::join(&*self.transport, &goal.member.coordinator, &self.introduction, goal.token) => tried,
                pending = self.commands.recv() => return self.redirected(goal, pending),
                () = stop.cancelled() => return Ok(MembershipState::Over),
            };
            let pause = match tried {
                Ok(joined) => return self.let_in(goal, joined),
                Err(ControlError::Refused(refusal)) if goal.token.is_some() || refusal == Refusal::NotMember => {
                    return self.refused(goal, &refusal);
                }
                // Whoever started it wants to know; in the panel's background it waits until one of them is updated.
                Err(ControlError::Refused(refusal)) if !self.resident => {
                    return Err(WorkerError::Refused(refusal.to_string()));
                }
                Err(error) if goal.token.is_some() && started.elapsed() > JOIN_WITHIN => {
                    return self.no_answer(goal, &error);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot reach the coordinator yet");
                    self.shared.view.set_connection(Some(goal.connection(Some(error.to_string()))));
                    pauses.next().unwrap_or(MAX_PAUSE)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                pending = self.commands.recv() => return self.redirected(goal, pending),
                () = stop.cancelled() => return Ok(MembershipState::Over),
            }
        }
    }

    /// The donor has changed their mind on the way.
    fn redirected(&mut self, goal: Goal, pending: Option<PendingCommand>) -> Result<MembershipState, WorkerError> {
        let Some(pending) = pending else { return Ok(MembershipState::Over) };
        if let Some(asked) = goal.asked {
            drop(asked.done.send(Err(RequestError::new(None, "another command came while the machine was joining"))));
        }
        let member = goal.token.is_none().then_some(goal.member);
        match pending.command {
            MembershipCommand::Join(code) => Ok(MembershipState::Away(Goal::asked(*code, pending.done, member))),
            MembershipCommand::Leave => {
                // The coordinator is not there to be told: its allow list keeps the key.
                let left = self.forget(Happening::Left);
                drop(pending.done.send(Ok(())));
                left
            }
        }
    }

    fn let_in(&mut self, goal: Goal, joined: control::Joined) -> Result<MembershipState, WorkerError> {
        if goal.token.is_some() {
            self.shared.view.happened(Happening::Joined);
        }
        let asked = goal.asked.map(|asked| asked.done);
        Ok(MembershipState::Inside(Box::new(Inside { coordinator: goal.member.coordinator, joined, asked })))
    }

    fn refused(&mut self, goal: Goal, refusal: &Refusal) -> Result<MembershipState, WorkerError> {
        tracing::warn!(%refusal, "the coordinator does not let this machine in");
        if !self.resident {
            return Err(WorkerError::Refused(refusal.to_string()));
        }
        if goal.token.is_none() {
            return self.forget(Happening::Revoked { reason: refusal.to_string() });
        }
        Ok(goal.turned_back(RequestError::new(Some("code"), refusal.to_string())))
    }

    fn no_answer(&mut self, goal: Goal, error: &ControlError) -> Result<MembershipState, WorkerError> {
        if !self.resident {
            return Err(WorkerError::NoAnswer(error.to_string()));
        }
        Ok(goal.turned_back(RequestError::new(None, WorkerError::NoAnswer(error.to_string()).to_string())))
    }

    /// A member no longer.
    fn forget(&mut self, why: Happening) -> Result<MembershipState, WorkerError> {
        Membership::forget(&self.data)?;
        self.shared.view.happened(why);
        Ok(MembershipState::Outside)
    }

    /// Serves the coordinator until the link breaks, the donor commands something else, or `stop` is cancelled.
    async fn inside(&mut self, inside: Inside, stop: &CancellationToken) -> Result<MembershipState, WorkerError> {
        let Inside { coordinator, joined, asked } = inside;
        tracing::info!(coordinator = %coordinator.id.short(), "connected");
        self.state.send_replace(WorkerState::Ready);
        let member = Membership { coordinator: coordinator.clone(), grid: joined.grid().to_owned() };
        // With the name that the grid has now.
        member.save(&self.data)?;
        self.shared.view.set_connection(Some(Connection { connected: true, ..connection(&member, None) }));
        if let Some(asked) = asked {
            drop(asked.send(Ok(())));
        }
        let leave = LeaveRequest::under(stop);
        let (ended, pending) = self.serve(joined, coordinator, &leave).await;
        match pending {
            Some(PendingCommand { command: MembershipCommand::Join(code), done }) => {
                Ok(MembershipState::Away(Goal::asked(*code, done, Some(member))))
            }
            Some(PendingCommand { command: MembershipCommand::Leave, done }) => {
                let left = self.forget(Happening::Left);
                drop(done.send(Ok(())));
                left
            }
            None if ended == Ended::Left => Ok(MembershipState::Over),
            None => {
                tracing::warn!("the coordinator is gone; trying to reach it again");
                Ok(MembershipState::Away(Goal { member, token: None, asked: None }))
            }
        }
    }
}

impl Grid {
    /// Until the link ends, and what the donor asked for meanwhile.
    async fn serve(
        &mut self,
        joined: control::Joined,
        coordinator: PeerAddr,
        leave: &LeaveRequest,
    ) -> (Ended, Option<PendingCommand>) {
        let (transport, shared) = (self.transport.clone(), self.shared.clone());
        let serve = Control::serve(transport, coordinator, joined, shared, &mut self.failures, leave);
        tokio::pin!(serve);
        let mut pending = None;
        loop {
            tokio::select! {
                ended = &mut serve => return (ended, pending),
                Some(asked) = self.commands.recv(), if pending.is_none() => {
                    leave.ask(matches!(asked.command, MembershipCommand::Leave));
                    pending = Some(asked);
                }
            }
        }
    }
}

impl Goal {
    /// With a code, for nobody who waits.
    fn with(code: JoinCode) -> Self {
        let member = Membership { coordinator: code.coordinator, grid: String::new() };
        Self { member, token: Some(code.token), asked: None }
    }

    fn asked(code: JoinCode, done: oneshot::Sender<Result<(), RequestError>>, before: Option<Membership>) -> Self {
        Self { asked: Some(Asked { done, before }), ..Self::with(code) }
    }

    fn connection(&self, problem: Option<String>) -> Connection {
        connection(&self.member, problem)
    }

    /// Not let in with a code: back to where the machine was before.
    fn turned_back(self, why: RequestError) -> MembershipState {
        let before = self.asked.and_then(|Asked { done, before }| {
            drop(done.send(Err(why)));
            before
        });
        before
            .map_or(MembershipState::Outside, |member| MembershipState::Away(Self { member, token: None, asked: None }))
    }
}

/// How the panel is told of a grid that is not reached.
fn connection(member: &Membership, problem: Option<String>) -> Connection {
    Connection { coordinator: member.coordinator.id.to_string(), grid: member.grid.clone(), connected: false, problem }
}

fn pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .build()
}
