//! The machine's membership: in no grid, connecting to a coordinator, or a member that is connected.
//!
//! ```text
//!               join ─▶ ┌────────────┐ ─ let in ─▶ ┌───────────┐
//! no grid ◀── rejected ─┤ connecting │             │ connected │ ─ leave, revoked ─▶ no grid
//!                       └────────────┘ ◀ link lost ┴───────────┘
//! ```
//! A machine whose donor has left may go back for ten minutes without a new code ([`Left`]).
//!
//! A member that loses its coordinator tries again for ever, with growing pauses. A resident worker
//! ([`WorkerOptions::resident`](crate::WorkerOptions)) waits for a join code in no grid; any other ends there.

mod commands;
mod target;

pub(crate) use commands::{MembershipCommand, MembershipCommands, PendingCommand};

use crate::{
    backoff::Backoff,
    control::{self, ControlError, Ended, Introduction, LeaveRequest, Shared},
    error::{WorkerError, chain},
    executor::Failure,
    membership::{Left, Membership},
    options::WorkerState,
};
use commands::{Done, Redirect};
use gogrid_link::Transport;
use gogrid_panel_api::{Connection, EventKind, RequestError};
use gogrid_wire::{JoinCode, PeerAddr, control::Refusal};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use target::{Target, connection};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long a machine that is no member yet tries: its owner is there and wants to know. A member tries for ever.
const JOIN_WITHIN: Duration = Duration::from_secs(8);

/// Why a machine does not come back.
const COME_BACK_OVER: &str = "the time to come back without a new join code is over: ask for a new one";
/// Why a machine that has not left does not go back.
const CONNECTING: &str = "this machine is connecting to a grid already";
const MEMBER: &str = "this machine is a member of a grid already";
/// What a donor who waits for the machine to be let in is told; the log has the transport's words.
const NO_ANSWER: &str = "the coordinator of this join code cannot be reached from this computer: ask whether it runs";

enum MembershipState {
    NoGrid,
    Connecting(Target),
    Connected(Box<Connected>),
    Ended,
}

struct Connected {
    coordinator: PeerAddr,
    joined: control::Joined,
    /// A donor who waits for the machine to be let in.
    asked: Option<Done>,
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
    /// Whether it waits for a code when it is a member of no grid, or ends.
    pub(crate) resident: bool,
}

impl Grid {
    /// Runs until `stop` is cancelled and the sessions are over.
    ///
    /// # Errors
    /// When the machine is a member of no grid and does not wait for a code, or the membership cannot be kept.
    pub(crate) async fn run(mut self, join: Option<JoinCode>, stop: &CancellationToken) -> Result<(), WorkerError> {
        // A join code names the coordinator, and wins over the membership.
        let mut state = match (join, Membership::load(&self.data)?) {
            (Some(code), _) => MembershipState::Connecting(Target::with(code)),
            (None, Some(member)) => MembershipState::Connecting(Target::of(member)),
            (None, None) if self.resident => MembershipState::NoGrid,
            (None, None) => return Err(WorkerError::NotJoined),
        };
        loop {
            state = match state {
                MembershipState::NoGrid => self.no_grid(stop).await,
                MembershipState::Connecting(target) => self.connecting(target, stop).await?,
                MembershipState::Connected(connected) => self.connected(*connected, stop).await?,
                MembershipState::Ended => return Ok(()),
            };
        }
    }

    /// Waits for a code.
    async fn no_grid(&mut self, stop: &CancellationToken) -> MembershipState {
        self.state.send_replace(WorkerState::NotJoined);
        self.shared.view.set_connection(None);
        loop {
            let left = Left::load(&self.data);
            self.shared.view.set_left(left.as_ref());
            let over = left.as_ref().and_then(Left::remaining);
            let pending = tokio::select! {
                pending = self.commands.recv() => pending,
                () = tokio::time::sleep(over.unwrap_or_default()), if over.is_some() => continue,
                () = stop.cancelled() => None,
            };
            let Some(PendingCommand { command, done }) = pending else { return MembershipState::Ended };
            match command {
                MembershipCommand::JoinAgain => match Left::load(&self.data) {
                    Some(left) => return MembershipState::Connecting(Target::again(left, done)),
                    None => drop(done.send(Err(RequestError::new(None, COME_BACK_OVER)))),
                },
                MembershipCommand::Join(code) => {
                    return MembershipState::Connecting(Target::asked(*code, done, None));
                }
                MembershipCommand::Leave => {
                    drop(done.send(Err(RequestError::new(None, "this machine is a member of no grid"))));
                }
            }
        }
    }

    /// Tries to reach the coordinator and to be let in.
    async fn connecting(&mut self, target: Target, stop: &CancellationToken) -> Result<MembershipState, WorkerError> {
        self.state.send_replace(WorkerState::Connecting);
        self.shared.view.set_connection(Some(target.connection(None)));
        let (mut backoff, started) = (Backoff::new(), Instant::now());
        loop {
            let coordinator = &target.member.coordinator;
            let tried = tokio::select! {
                tried = control::join(&*self.transport, coordinator, &self.introduction, target.token) => tried,
                redirect = Redirect::next(&mut self.commands, CONNECTING) => return self.redirected(target, redirect),
                () = stop.cancelled() => return Ok(MembershipState::Ended),
            };
            let pause = match tried {
                Ok(joined) => return Ok(self.let_in(target, joined)),
                Err(ControlError::Refused(refusal)) if target.is_new() || !refusal.may_pass() => {
                    return self.refused(target, &refusal);
                }
                Err(error) if target.is_new() && started.elapsed() > JOIN_WITHIN => {
                    return self.no_answer(target, &error);
                }
                Err(error) => {
                    self.shared.view.set_connection(Some(target.connection(Some(error.for_people()))));
                    backoff.after(&error)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                redirect = Redirect::next(&mut self.commands, CONNECTING) => return self.redirected(target, redirect),
                () = stop.cancelled() => return Ok(MembershipState::Ended),
            }
        }
    }

    /// A command came while the machine was connecting.
    fn redirected(
        &mut self,
        target: Target,
        redirect: Option<(Redirect, Done)>,
    ) -> Result<MembershipState, WorkerError> {
        let Some((redirect, done)) = redirect else { return Ok(MembershipState::Ended) };
        match redirect {
            Redirect::Join(code) => Ok(MembershipState::Connecting(Target::asked(*code, done, target.superseded()))),
            Redirect::Leave => {
                // The coordinator cannot be told: its allow list keeps the key.
                target.superseded();
                told(self.leave(), done)
            }
        }
    }

    fn let_in(&mut self, target: Target, joined: control::Joined) -> MembershipState {
        if target.is_new() {
            self.shared.view.happened(EventKind::Joined);
        }
        let (member, asked) = target.reached();
        MembershipState::Connected(Box::new(Connected { coordinator: member.coordinator, joined, asked }))
    }

    fn refused(&mut self, target: Target, refusal: &Refusal) -> Result<MembershipState, WorkerError> {
        tracing::warn!(%refusal, "the coordinator does not let this machine in");
        if !self.resident {
            return Err(WorkerError::Refused(refusal.to_string()));
        }
        if !target.is_new() {
            return self.forget(EventKind::Revoked { reason: refusal.to_string() });
        }
        if target.token.is_none() && !refusal.may_pass() {
            Left::forget(&self.data);
            return Ok(rejected(target, RequestError::new(None, COME_BACK_OVER)));
        }
        Ok(rejected(target, RequestError::new(Some("code"), refusal.to_string())))
    }

    fn no_answer(&mut self, target: Target, error: &ControlError) -> Result<MembershipState, WorkerError> {
        if !self.resident {
            return Err(WorkerError::NoAnswer(error.to_string()));
        }
        tracing::warn!(%error, "the coordinator of a join code does not answer");
        Ok(rejected(target, RequestError::new(None, NO_ANSWER)))
    }

    /// The machine leaves by its donor's will, and may go back for a while. If that cannot be noted it leaves all the
    /// same, and needs a new code to go back.
    fn leave(&mut self) -> Result<MembershipState, WorkerError> {
        let noted = match Membership::load(&self.data) {
            Ok(Some(member)) => Left::now(member).save(&self.data),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            tracing::warn!(error = chain(&error), "this machine cannot go back without a new join code");
        }
        self.forget(EventKind::Left)
    }

    /// The machine is a member no longer.
    fn forget(&mut self, why: EventKind) -> Result<MembershipState, WorkerError> {
        Membership::forget(&self.data)?;
        self.shared.view.happened(why);
        Ok(MembershipState::NoGrid)
    }

    /// Serves the coordinator until the link breaks, the donor gives a command, or `stop` is cancelled.
    async fn connected(
        &mut self,
        connected: Connected,
        stop: &CancellationToken,
    ) -> Result<MembershipState, WorkerError> {
        let Connected { coordinator, joined, asked } = connected;
        tracing::info!(coordinator = %coordinator.id.short(), "connected");
        self.state.send_replace(WorkerState::Ready);
        let member = Membership { coordinator: coordinator.clone(), grid: joined.grid().to_owned() };
        // With the name that the grid has now.
        member.save(&self.data)?;
        Left::forget(&self.data);
        self.shared.view.set_left(None);
        self.shared.view.set_connection(Some(Connection { connected: true, ..connection(&member, None) }));
        if let Some(asked) = asked {
            drop(asked.send(Ok(())));
        }
        let leave = LeaveRequest::under(stop);
        let (ended, redirect) = self.serve(joined, coordinator, &leave).await;
        match redirect {
            Some((Redirect::Join(code), done)) => {
                Ok(MembershipState::Connecting(Target::asked(*code, done, Some(member))))
            }
            Some((Redirect::Leave, done)) => told(self.leave(), done),
            None if ended == Ended::Left => Ok(MembershipState::Ended),
            None => {
                tracing::warn!("the coordinator is gone; trying to reach it again");
                Ok(MembershipState::Connecting(Target::of(member)))
            }
        }
    }

    /// Serves until the link ends; also gives the command that ended it, if one did.
    async fn serve(
        &mut self,
        joined: control::Joined,
        coordinator: PeerAddr,
        leave: &LeaveRequest,
    ) -> (Ended, Option<(Redirect, Done)>) {
        let (transport, shared) = (self.transport.clone(), self.shared.clone());
        let serve = control::serve(transport, coordinator, joined, shared, &mut self.failures, leave);
        tokio::pin!(serve);
        let mut redirect = None;
        loop {
            tokio::select! {
                ended = &mut serve => return (ended, redirect),
                Some(given) = Redirect::next(&mut self.commands, MEMBER), if redirect.is_none() => {
                    leave.ask(matches!(given.0, Redirect::Leave));
                    redirect = Some(given);
                }
            }
        }
    }
}

/// Tells the donor whether the machine has left.
fn told(left: Result<MembershipState, WorkerError>, done: Done) -> Result<MembershipState, WorkerError> {
    let result = left.as_ref().map(drop).map_err(|error| RequestError::new(None, chain(error)));
    drop(done.send(result));
    left
}

/// A join code did not let the machine in: back to the grid that it was in before.
fn rejected(target: Target, why: RequestError) -> MembershipState {
    match target.rejected(why) {
        Some(member) => MembershipState::Connecting(Target::of(member)),
        None => MembershipState::NoGrid,
    }
}
