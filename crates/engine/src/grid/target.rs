use super::commands::Done;
use crate::membership::{Left, Membership};
use gogrid_panel_api::{Connection, RequestError};
use gogrid_wire::{InviteToken, JoinCode};

/// The grid that a machine tries to reach.
pub(super) struct Target {
    pub(super) member: Membership,
    /// With a token it is not a member yet.
    pub(super) token: Option<InviteToken>,
    /// A donor who waits for it to be let in.
    asked: Option<Asked>,
}

struct Asked {
    done: Done,
    /// The grid that it was a member of before: it goes back there if it is not let in.
    before: Option<Membership>,
}

impl Target {
    /// The grid of a member.
    pub(super) fn of(member: Membership) -> Self {
        Self { member, token: None, asked: None }
    }

    /// The grid of a join code that the worker was started with.
    pub(super) fn with(code: JoinCode) -> Self {
        let member = Membership { coordinator: code.coordinator, grid: String::new() };
        Self { member, token: Some(code.token), asked: None }
    }

    /// The grid of a join code that the donor gave.
    pub(super) fn asked(code: JoinCode, done: Done, before: Option<Membership>) -> Self {
        Self { asked: Some(Asked { done, before }), ..Self::with(code) }
    }

    /// The grid that the machine left a moment ago.
    pub(super) fn again(left: Left, done: Done) -> Self {
        Self { asked: Some(Asked { done, before: None }), ..Self::of(left.member) }
    }

    /// Whether the machine is to become a member: somebody waits for an answer then.
    pub(super) fn is_new(&self) -> bool {
        self.token.is_some() || self.asked.is_some()
    }

    /// What the panel is told while the coordinator is not reached. A grid that has not let the machine in has no name:
    /// with one, the machine counts as its member.
    pub(super) fn connection(&self, problem: Option<String>) -> Connection {
        let connection = connection(&self.member, problem);
        if self.is_new() { Connection { grid: String::new(), ..connection } } else { connection }
    }

    /// Ends the try, tells the donor why, and gives back where the machine was a member before.
    pub(super) fn rejected(self, why: RequestError) -> Option<Membership> {
        let Asked { done, before } = self.asked?;
        drop(done.send(Err(why)));
        before
    }

    /// The coordinator that let the machine in, and the donor who waits for that.
    pub(super) fn reached(self) -> (Membership, Option<Done>) {
        (self.member, self.asked.map(|asked| asked.done))
    }

    /// The try ends because of another command.
    pub(super) fn superseded(self) -> Option<Membership> {
        let member = !self.is_new();
        if let Some(Asked { done, .. }) = self.asked {
            drop(done.send(Err(RequestError::new(None, "another command came while the machine was joining"))));
        }
        member.then_some(self.member)
    }
}

pub(super) fn connection(member: &Membership, problem: Option<String>) -> Connection {
    Connection { coordinator: member.coordinator.id.to_string(), grid: member.grid.clone(), connected: false, problem }
}
