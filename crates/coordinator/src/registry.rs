//! What outlives the coordinator's process: members and how reliable they were, join codes, models, the pipelines that
//! served, and the last epoch. One SQLite file that the running coordinator and the command line share.
//!
//! [`Registry`] is the synchronous store. The running coordinator uses it through a [`RegistryHandle`].

mod error;
mod groups;
mod handle;
mod keys;
mod migrations;
#[cfg(test)]
mod tests;

pub use error::RegistryError;
pub(crate) use groups::Groups;
pub(crate) use handle::{RegistryHandle, Write};

use crate::{folder_lock::FolderLock, planner::Reliability};
use gogrid_wire::{InviteToken, PeerId, control::Refusal};
use migrations::MigrateError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a machine that has left may come back without a new join code.
const COME_BACK_WITHIN: Duration = Duration::from_secs(600);

/// The store in `registry.db`.
pub(crate) struct Registry {
    db: Connection,
}

/// A model as it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRecord {
    /// The name that requests use.
    pub name: String,
    /// The folder or GGUF file.
    pub path: PathBuf,
    /// The fewest stages to cut it into.
    pub stages: usize,
    /// Pipelines at once, at most.
    pub replicas: usize,
    /// The weight type as `--quant` spells it, or `auto`.
    pub quant: String,
    /// When it was added, in seconds since the Unix epoch.
    pub created: u64,
    /// Its manifest as JSON.
    pub manifest: String,
    /// How it writes tool calls as `--tools` spells it, or `auto`.
    pub tools: String,
}

/// A machine on the allow list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub id: PeerId,
    /// Its name, for people.
    pub name: String,
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// Another program may hold the file for the time of a commit.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.execute_batch("PRAGMA journal_mode = WAL")?;
    Ok(db)
}

type Result<T> = std::result::Result<T, RegistryError>;

impl Registry {
    /// Opens the registry of a data folder. Makes the file if there is none, and migrates an older one.
    ///
    /// # Errors
    /// When the file cannot be opened, a migration fails, or a newer program has written the file.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("registry.db");
        match connect(&path) {
            Ok(db) => Self::migrated(db, path),
            Err(source) => Err(RegistryError::Store { path, source }),
        }
    }

    /// The same for a command beside the coordinator. It does not migrate the file of a coordinator that is running,
    /// which must be an older version and would no longer find its tables.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`InUse`](RegistryError::InUse).
    pub(crate) fn open_for_command(folder: &Path) -> Result<Self> {
        let path = folder.join("registry.db");
        let connected = connect(&path).and_then(|db| Ok((migrations::is_old(&db)?, db)));
        match connected {
            Ok((true, _)) if FolderLock::is_held(folder) => Err(RegistryError::InUse { path }),
            Ok((_, db)) => Self::migrated(db, path),
            Err(source) => Err(RegistryError::Store { path, source }),
        }
    }

    /// A registry without a file.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Result<Self> {
        let path = PathBuf::from(":memory:");
        match Connection::open_in_memory() {
            Ok(db) => Self::migrated(db, path),
            Err(source) => Err(RegistryError::Store { path, source }),
        }
    }

    fn migrated(mut db: Connection, path: PathBuf) -> Result<Self> {
        match migrations::migrate(&mut db) {
            Ok(()) => match forget_left(&db, unix_now()) {
                Ok(()) => Ok(Self { db }),
                Err(source) => Err(RegistryError::Store { path, source }),
            },
            Err(MigrateError::Newer(found)) => Err(RegistryError::Newer { path, found, known: migrations::VERSION }),
            Err(MigrateError::Failed(version, source)) => Err(RegistryError::Migration { path, version, source }),
            Err(MigrateError::Unreadable(source)) => Err(RegistryError::Store { path, source }),
        }
    }

    #[cfg(test)]
    fn schema_version(&self) -> u32 {
        self.db.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("readable")
    }

    fn wrap<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|source| RegistryError::Store { path: self.db.path().unwrap_or_default().into(), source })
    }

    /// A value of the metadata; `None` if the key was never set.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn metadata(&self, key: &str) -> Result<Option<String>> {
        let query = "SELECT value FROM metadata WHERE key = ?1";
        self.wrap(self.db.query_row(query, [key], |row| row.get(0)).optional())
    }

    /// Sets a value of the metadata.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn set_metadata(&self, key: &str, value: &str) -> Result<()> {
        self.wrap(self.db.execute("INSERT OR REPLACE INTO metadata VALUES (?1, ?2)", [key, value]).map(drop))
    }

    /// The next epoch's number; never the same twice, whatever restarts.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn next_epoch(&self) -> Result<u32> {
        let query = "INSERT INTO metadata VALUES ('epoch', '1')
            ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)
            RETURNING CAST(value AS INTEGER)";
        self.wrap(self.db.query_row(query, [], |row| row.get(0)))
    }

    /// Adds a join code. Only a hash of its secret is stored.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn add_invite(&self, token: &InviteToken, uses: u32, expires: u64) -> Result<()> {
        let values = params![hashed(token), uses, expires.cast_signed()];
        self.wrap(self.db.execute("INSERT INTO invites VALUES (?1, ?2, ?3)", values).map(drop))
    }

    /// Join codes that are good at `now`, by their hashes: the machines that each lets in, and until when. The first to
    /// end comes first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn invites(&self, now: u64) -> Result<Vec<([u8; 32], u32, u64)>> {
        let read = || {
            let query = "SELECT token, uses_left, expires FROM invites
                WHERE uses_left > 0 AND expires > ?1 ORDER BY expires, token";
            let mut query = self.db.prepare(query)?;
            let rows = query.query_map([now.cast_signed()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
            })?;
            rows.collect()
        };
        self.wrap(read())
    }

    /// Forgets a join code.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn remove_invite(&self, hash: &[u8; 32]) -> Result<()> {
        self.wrap(self.db.execute("DELETE FROM invites WHERE token = ?1", [hash]).map(drop))
    }

    /// Lets a machine in if it is a member, or makes it one if its join code is good. Becoming a member spends one use
    /// of the code. Returns the name to show: the one that the operator gave it, or its own.
    ///
    /// # Errors
    /// The outer: when the store fails. The inner: why the machine is refused.
    pub(crate) fn admit(
        &mut self,
        id: PeerId,
        name: &str,
        token: Option<&InviteToken>,
        now: u64,
    ) -> Result<std::result::Result<String, Refusal>> {
        let admit = |db: &mut Connection| {
            forget_left(db, now)?;
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let back = "UPDATE members SET name = ?2, left_at = NULL WHERE id = ?1";
            let known = change.execute(back, params![id.0, name])? > 0;
            if !known {
                let Some(token) = token else { return Ok(Err(Refusal::NotMember)) };
                let query = "SELECT uses_left, expires FROM invites WHERE token = ?1";
                let found: Option<(i64, i64)> =
                    change.query_row(query, [hashed(token)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                match found {
                    None => return Ok(Err(Refusal::CodeUnknown)),
                    Some((..=0, _)) => return Ok(Err(Refusal::CodeUsed)),
                    Some((_, expires)) if expires.cast_unsigned() <= now => return Ok(Err(Refusal::CodeExpired)),
                    Some(_) => {}
                }
                change.execute("UPDATE invites SET uses_left = uses_left - 1 WHERE token = ?1", [hashed(token)])?;
                let values = params![id.0, name, now.cast_signed()];
                change.execute("INSERT INTO members (id, name, joined) VALUES (?1, ?2, ?3)", values)?;
                let groups = "INSERT OR IGNORE INTO member_groups SELECT ?1, name FROM invite_groups WHERE token = ?2";
                change.execute(groups, params![id.0, hashed(token)])?;
            }
            let shown = "SELECT COALESCE(given_name, name) FROM members WHERE id = ?1";
            let shown = change.query_row(shown, [id.0], |row| row.get(0))?;
            change.commit()?;
            Ok(Ok(shown))
        };
        let result = admit(&mut self.db);
        self.wrap(result)
    }

    /// Takes a machine that wants to leave off the allow list and drops its reliability. For [`COME_BACK_WITHIN`]
    /// [`admit`](Self::admit) lets it in again without a code.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn leave(&mut self, id: PeerId, now: u64) -> Result<()> {
        let leave = |db: &mut Connection| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let left = "UPDATE members SET left_at = ?2 WHERE id = ?1 AND left_at IS NULL";
            change.execute(left, params![id.0, now.cast_signed()])?;
            change.execute("DELETE FROM reliability WHERE id = ?1", [id.0])?;
            change.commit()
        };
        let result = leave(&mut self.db);
        self.wrap(result)
    }

    /// Takes a machine off the allow list for good and drops its reliability. False if it was not known.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn remove(&mut self, id: PeerId) -> Result<bool> {
        let remove = |db: &mut Connection| {
            let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let members = change.execute("DELETE FROM members WHERE id = ?1", [id.0])?;
            change.execute("DELETE FROM member_groups WHERE member = ?1", [id.0])?;
            change.execute("DELETE FROM reliability WHERE id = ?1", [id.0])?;
            change.commit()?;
            Ok(members > 0)
        };
        let result = remove(&mut self.db);
        self.wrap(result)
    }

    /// Gives a machine a name to show instead of its own.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn rename(&self, id: PeerId, name: &str) -> Result<()> {
        self.wrap(self.db.execute("UPDATE members SET given_name = ?2 WHERE id = ?1", params![id.0, name]).map(drop))
    }

    /// Whether a machine is on the allow list.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn is_member(&self, id: PeerId) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM members WHERE id = ?1 AND left_at IS NULL)";
        self.wrap(self.db.query_row(query, [id.0], |row| row.get(0)))
    }

    /// The machines on the allow list.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        self.machines("WHERE left_at IS NULL")
    }

    /// Those, and the machines that have left and may still come back.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn known_machines(&self) -> Result<Vec<Member>> {
        self.machines("")
    }

    fn machines(&self, which: &str) -> Result<Vec<Member>> {
        let read = || {
            let mut query = self
                .db
                .prepare(&format!("SELECT id, COALESCE(given_name, name) FROM members {which} ORDER BY joined, id"))?;
            let rows = query.query_map([], |row| Ok(Member { id: PeerId(row.get(0)?), name: row.get(1)? }))?;
            rows.collect()
        };
        self.wrap(read())
    }

    /// Writes down how reliable a machine was up to `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn put_reliability(&self, id: PeerId, seen: Reliability, now: u64) -> Result<()> {
        let values = params![id.0, seen.minutes, seen.losses, now.cast_signed()];
        self.wrap(self.db.execute("INSERT OR REPLACE INTO reliability VALUES (?1, ?2, ?3, ?4)", values).map(drop))
    }

    /// How reliable each machine was, and up to when it was observed, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn reliability(&self) -> Result<Vec<(PeerId, Reliability, u64)>> {
        let read = || {
            let mut query = self.db.prepare("SELECT id, minutes, losses, seen FROM reliability")?;
            let rows = query.query_map([], |row| {
                let seen = Reliability { minutes: row.get(1)?, losses: row.get(2)? };
                Ok((PeerId(row.get(0)?), seen, row.get::<_, i64>(3)?.cast_unsigned()))
            })?;
            rows.collect()
        };
        self.wrap(read())
    }

    /// Adds a model, or replaces the one of that name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn put_model(&self, model: &ModelRecord) -> Result<()> {
        let path = model.path.to_string_lossy();
        let (stages, replicas, created) = (model.stages as i64, model.replicas as i64, model.created.cast_signed());
        let values = params![model.name, path, stages, model.quant, created, model.manifest, replicas, model.tools];
        let query = "INSERT OR REPLACE INTO models (name, path, stages, quant, created, manifest, replicas, tools)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.wrap(self.db.execute(query, values).map(drop))
    }

    /// Removes a model; false if there is none of that name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn remove_model(&self, name: &str) -> Result<bool> {
        self.wrap(self.db.execute("DELETE FROM models WHERE name = ?1", [name]).map(|removed| removed > 0))
    }

    /// Every model, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn models(&self) -> Result<Vec<ModelRecord>> {
        let read = || {
            let columns =
                "SELECT name, path, stages, quant, created, manifest, replicas, tools FROM models ORDER BY name";
            let mut query = self.db.prepare(columns)?;
            let rows = query.query_map([], |row| {
                Ok(ModelRecord {
                    name: row.get(0)?,
                    path: row.get::<_, String>(1)?.into(),
                    stages: row.get::<_, i64>(2)?.cast_unsigned() as usize,
                    quant: row.get(3)?,
                    created: row.get::<_, i64>(4)?.cast_unsigned(),
                    manifest: row.get(5)?,
                    replicas: row.get::<_, i64>(6)?.cast_unsigned() as usize,
                    tools: row.get(7)?,
                })
            })?;
            rows.collect()
        };
        self.wrap(read())
    }
}

/// Forgets the machines that left too long ago to come back without a code.
fn forget_left(db: &Connection, now: u64) -> rusqlite::Result<()> {
    let since = now.saturating_sub(COME_BACK_WITHIN.as_secs()).cast_signed();
    db.execute("DELETE FROM members WHERE left_at <= ?1", [since])?;
    db.execute("DELETE FROM member_groups WHERE member NOT IN (SELECT id FROM members)", []).map(drop)
}

fn hashed(token: &InviteToken) -> [u8; 32] {
    *blake3::hash(&token.0).as_bytes()
}
