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
    backoff::Backoff,
    control::{self, Control, ControlError, Ended, Introduction, Parting, Shared},
    executor::Lost,
    membership::Membership,
    worker::{WorkerError, WorkerState},
};
use gogrid_link::Transport;
use gogrid_panel_api::{Connection, EventKind, RequestError};
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
/// Orders that may wait: people give them one by one.
const ORDERS: usize = 4;

/// What the donor asks for, and where to say that it is done.
pub(crate) struct Order {
    pub(crate) wish: Wish,
    pub(crate) done: oneshot::Sender<Result<(), RequestError>>,
}

#[derive(Debug)]
pub(crate) enum Wish {
    Join(Box<JoinCode>),
    Leave,
}

/// A handle for orders.
#[derive(Clone)]
pub(crate) struct Gate(mpsc::Sender<Order>);

impl Gate {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, received) = mpsc::channel(ORDERS);
        (Self(orders), received)
    }

    /// Gives an order and waits until it is carried out.
    pub(crate) async fn order(&self, wish: Wish) -> Result<(), RequestError> {
        let ending = || RequestError::new(None, "the worker is ending");
        let (done, answer) = oneshot::channel();
        self.0.send(Order { wish, done }).await.map_err(|_| ending())?;
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

enum Place {
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
    pub(crate) failures: mpsc::Receiver<Lost>,
    pub(crate) orders: mpsc::Receiver<Order>,
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
        let mut place = match (join, Membership::load(&self.data)?) {
            (Some(code), _) => Place::Away(Goal::with(code)),
            (None, Some(member)) => Place::Away(Goal { member, token: None, asked: None }),
            (None, None) if self.resident => Place::Outside,
            (None, None) => return Err(WorkerError::NotJoined),
        };
        loop {
            place = match place {
                Place::Outside => self.outside(stop).await,
                Place::Away(goal) => self.away(goal, stop).await?,
                Place::Inside(inside) => self.inside(*inside, stop).await?,
                Place::Over => return Ok(()),
            };
        }
    }

    /// Waits for a code.
    async fn outside(&mut self, stop: &CancellationToken) -> Place {
        self.state.send_replace(WorkerState::Outside);
        self.shared.view.set_place(None);
        loop {
            let order = tokio::select! {
                order = self.orders.recv() => order,
                () = stop.cancelled() => None,
            };
            match order {
                None => return Place::Over,
                Some(Order { wish: Wish::Join(code), done }) => return Place::Away(Goal::asked(*code, done, None)),
                Some(Order { wish: Wish::Leave, done }) => {
                    drop(done.send(Err(RequestError::new(None, "this machine is a member of no grid"))));
                }
            }
        }
    }

    /// Tries to reach the coordinator and to be let in.
    async fn away(&mut self, goal: Goal, stop: &CancellationToken) -> Result<Place, WorkerError> {
        self.state.send_replace(WorkerState::Connecting);
        self.shared.view.set_place(Some(goal.place(None)));
        let (mut backoff, started) = (Backoff::new(), Instant::now());
        loop {
            let tried = tokio::select! {
                tried = control::join(&*self.transport, &goal.member.coordinator, &self.introduction, goal.token) => tried,
                order = self.orders.recv() => return self.redirected(goal, order),
                () = stop.cancelled() => return Ok(Place::Over),
            };
            let pause = match tried {
                Ok(joined) => return self.let_in(goal, joined),
                Err(ControlError::Refused(refusal)) if goal.token.is_some() || !refusal.may_pass() => {
                    return self.refused(goal, &refusal);
                }
                Err(error) if goal.token.is_some() && started.elapsed() > JOIN_WITHIN => {
                    return self.no_answer(goal, &error);
                }
                Err(error) => {
                    self.shared.view.set_place(Some(goal.place(Some(error.to_string()))));
                    backoff.after(&error)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                order = self.orders.recv() => return self.redirected(goal, order),
                () = stop.cancelled() => return Ok(Place::Over),
            }
        }
    }

    /// The donor has changed their mind on the way.
    fn redirected(&mut self, goal: Goal, order: Option<Order>) -> Result<Place, WorkerError> {
        let Some(order) = order else { return Ok(Place::Over) };
        if let Some(asked) = goal.asked {
            drop(asked.done.send(Err(RequestError::new(None, "another order came while the machine was joining"))));
        }
        let member = goal.token.is_none().then_some(goal.member);
        match order.wish {
            Wish::Join(code) => Ok(Place::Away(Goal::asked(*code, order.done, member))),
            Wish::Leave => {
                // The coordinator is not there to be told: its allow list keeps the key.
                let left = self.forget(EventKind::Left);
                drop(order.done.send(Ok(())));
                left
            }
        }
    }

    fn let_in(&mut self, goal: Goal, joined: control::Joined) -> Result<Place, WorkerError> {
        if goal.token.is_some() {
            self.shared.view.happened(EventKind::Joined);
        }
        let asked = goal.asked.map(|asked| asked.done);
        Ok(Place::Inside(Box::new(Inside { coordinator: goal.member.coordinator, joined, asked })))
    }

    fn refused(&mut self, goal: Goal, refusal: &Refusal) -> Result<Place, WorkerError> {
        tracing::warn!(%refusal, "the coordinator does not let this machine in");
        if !self.resident {
            return Err(WorkerError::Refused(refusal.to_string()));
        }
        if goal.token.is_none() {
            return self.forget(EventKind::Revoked { reason: refusal.to_string() });
        }
        Ok(goal.turned_back(RequestError::new(Some("code"), refusal.to_string())))
    }

    fn no_answer(&mut self, goal: Goal, error: &ControlError) -> Result<Place, WorkerError> {
        if !self.resident {
            return Err(WorkerError::NoAnswer(error.to_string()));
        }
        Ok(goal.turned_back(RequestError::new(None, WorkerError::NoAnswer(error.to_string()).to_string())))
    }

    /// A member no longer.
    fn forget(&mut self, why: EventKind) -> Result<Place, WorkerError> {
        Membership::forget(&self.data)?;
        self.shared.view.happened(why);
        Ok(Place::Outside)
    }

    /// Serves the coordinator until the link breaks, the donor orders something else, or `stop` is cancelled.
    async fn inside(&mut self, inside: Inside, stop: &CancellationToken) -> Result<Place, WorkerError> {
        let Inside { coordinator, joined, asked } = inside;
        tracing::info!(coordinator = %coordinator.id.short(), "connected");
        self.state.send_replace(WorkerState::Ready);
        let member = Membership { coordinator: coordinator.clone(), grid: joined.grid().to_owned() };
        // With the name that the grid has now.
        member.save(&self.data)?;
        self.shared.view.set_place(Some(Connection { connected: true, ..connection(&member, None) }));
        if let Some(asked) = asked {
            drop(asked.send(Ok(())));
        }
        let parting = Parting::under(stop);
        let (ended, order) = self.serve(joined, coordinator, &parting).await;
        match order {
            Some(Order { wish: Wish::Join(code), done }) => Ok(Place::Away(Goal::asked(*code, done, Some(member)))),
            Some(Order { wish: Wish::Leave, done }) => {
                let left = self.forget(EventKind::Left);
                drop(done.send(Ok(())));
                left
            }
            None if ended == Ended::Left => Ok(Place::Over),
            None => {
                tracing::warn!("the coordinator is gone; trying to reach it again");
                Ok(Place::Away(Goal { member, token: None, asked: None }))
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
        parting: &Parting,
    ) -> (Ended, Option<Order>) {
        let (transport, shared) = (self.transport.clone(), self.shared.clone());
        let serve = Control::serve(transport, coordinator, joined, shared, &mut self.failures, parting);
        tokio::pin!(serve);
        let mut order = None;
        loop {
            tokio::select! {
                ended = &mut serve => return (ended, order),
                Some(asked) = self.orders.recv(), if order.is_none() => {
                    parting.part(matches!(asked.wish, Wish::Leave));
                    order = Some(asked);
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

    fn place(&self, problem: Option<String>) -> Connection {
        connection(&self.member, problem)
    }

    /// Not let in with a code: back to where the machine was before.
    fn turned_back(self, why: RequestError) -> Place {
        let before = self.asked.and_then(|Asked { done, before }| {
            drop(done.send(Err(why)));
            before
        });
        before.map_or(Place::Outside, |member| Place::Away(Self { member, token: None, asked: None }))
    }
}

/// How the panel is told of a grid that is not reached.
fn connection(member: &Membership, problem: Option<String>) -> Connection {
    Connection { coordinator: member.coordinator.id.to_string(), grid: member.grid.clone(), connected: false, problem }
}
