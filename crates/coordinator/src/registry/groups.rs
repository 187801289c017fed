//! Groups of machines, which models may be limited to.

use super::{Registry, Result, hashed};
use gogrid_wire::{InviteToken, PeerId};
use rusqlite::{Connection, ToSql, TransactionBehavior, params};
use std::collections::BTreeMap;

/// The groups of everybody and everything that has some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// Of each machine that has some.
    pub(crate) members: BTreeMap<PeerId, Vec<String>>,
    /// Of each model that has some: only machines of one of them may serve it.
    pub(crate) models: BTreeMap<String, Vec<String>>,
}

impl Groups {
    /// Whether a machine may serve a model.
    pub(crate) fn allow(&self, model: &str, member: PeerId) -> bool {
        let Some(allowed) = self.models.get(model) else { return true };
        self.members.get(&member).is_some_and(|own| own.iter().any(|name| allowed.contains(name)))
    }
}

impl Registry {
    /// All groups.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn groups(&self) -> Result<Groups> {
        let read = || {
            let mut groups = Groups::default();
            let mut query = self.db.prepare("SELECT member, name FROM member_groups ORDER BY name")?;
            for row in query.query_map([], |row| Ok((PeerId(row.get(0)?), row.get(1)?)))? {
                let (member, name) = row?;
                groups.members.entry(member).or_default().push(name);
            }
            let mut query = self.db.prepare("SELECT model, name FROM model_groups ORDER BY name")?;
            for row in query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))? {
                let (model, name) = row?;
                groups.models.entry(model).or_default().push(name);
            }
            Ok(groups)
        };
        self.wrap(read())
    }

    /// Sets the groups of a member, in place of those that it had.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn set_member_groups(&mut self, member: PeerId, names: &[String]) -> Result<()> {
        self.set_groups(
            ["DELETE FROM member_groups WHERE member = ?1", "INSERT OR IGNORE INTO member_groups VALUES (?1, ?2)"],
            &member.0,
            names,
        )
    }

    /// Sets the groups of a model, in place of those that it had.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn set_model_groups(&mut self, model: &str, names: &[String]) -> Result<()> {
        self.set_groups(
            ["DELETE FROM model_groups WHERE model = ?1", "INSERT OR IGNORE INTO model_groups VALUES (?1, ?2)"],
            &model,
            names,
        )
    }

    /// Sets the groups that a join code gives.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn set_invite_groups(&mut self, token: &InviteToken, names: &[String]) -> Result<()> {
        self.set_groups(
            ["DELETE FROM invite_groups WHERE token = ?1", "INSERT OR IGNORE INTO invite_groups VALUES (?1, ?2)"],
            &hashed(token),
            names,
        )
    }

    fn set_groups(&mut self, [delete, insert]: [&str; 2], of: &dyn ToSql, names: &[String]) -> Result<()> {
        let set = |db: &mut Connection| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute(delete, [of])?;
            for name in names {
                change.execute(insert, params![of, name])?;
            }
            change.commit()
        };
        let result = set(&mut self.db);
        self.wrap(result)
    }
}
