//! What outlives the coordinator's process: members and how reliable they were, join codes, models, the pipelines that
//! served, and the last epoch. One SQLite file that the running coordinator and the command line share.

use crate::planner::Reliability;
use gogrid_wire::{Epoch, InviteToken, PeerId, control::Refusal};
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The store in `registry.db`.
pub(crate) struct Registry {
    db: Connection,
}

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the registry in {path}")]
pub struct RegistryError {
    path: PathBuf,
    #[source]
    source: rusqlite::Error,
}

/// A model as it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelRecord {
    /// The name that requests use.
    pub(crate) name: String,
    /// The folder or GGUF file.
    pub(crate) path: PathBuf,
    /// The fewest stages to cut it into.
    pub(crate) stages: usize,
    /// Pipelines at once, at most.
    pub(crate) replicas: usize,
    /// The weight type as `--quant` spells it, or `auto`.
    pub(crate) quant: String,
    /// When it was added, in seconds since the Unix epoch.
    pub(crate) created: u64,
    /// Its manifest as JSON.
    pub(crate) manifest: String,
}

/// A machine on the allow list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its key.
    pub(crate) id: PeerId,
    /// Its name, for people.
    pub(crate) name: String,
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS members (id BLOB PRIMARY KEY, name TEXT NOT NULL, joined INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS invites
        (token BLOB PRIMARY KEY, uses_left INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS models
        (name TEXT PRIMARY KEY, path TEXT NOT NULL, stages INTEGER NOT NULL, quant TEXT NOT NULL,
         created INTEGER NOT NULL, manifest TEXT NOT NULL, replicas INTEGER NOT NULL DEFAULT 2) STRICT;
    CREATE TABLE IF NOT EXISTS standings
        (id BLOB PRIMARY KEY, minutes REAL NOT NULL, losses REAL NOT NULL, seen INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// Seconds since the Unix epoch.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

type Result<T> = std::result::Result<T, RegistryError>;

impl Registry {
    /// Opens the registry of a data folder, making it where needed.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("registry.db");
        let open = || {
            let db = Connection::open(&path)?;
            db.busy_timeout(Duration::from_secs(10))?;
            db.execute_batch(SCHEMA)?;
            // Registries of before replicas lack the column.
            if !db.column_exists(None, "models", "replicas")? {
                db.execute_batch("ALTER TABLE models ADD COLUMN replicas INTEGER NOT NULL DEFAULT 2")?;
            }
            Ok(db)
        };
        open().map(|db| Self { db }).map_err(|source| RegistryError { path, source })
    }

    /// A registry that is kept nowhere.
    #[cfg(test)]
    pub(crate) fn in_memory() -> rusqlite::Result<Self> {
        let db = Connection::open_in_memory()?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db })
    }

    fn wrap<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|source| RegistryError { path: self.db.path().unwrap_or_default().into(), source })
    }

    /// A fact kept by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn fact(&self, key: &str) -> Result<Option<String>> {
        let query = "SELECT value FROM facts WHERE key = ?1";
        self.wrap(self.db.query_row(query, [key], |row| row.get(0)).optional())
    }

    /// Keeps a fact.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn set_fact(&self, key: &str, value: &str) -> Result<()> {
        self.wrap(self.db.execute("INSERT OR REPLACE INTO facts VALUES (?1, ?2)", [key, value]).map(drop))
    }

    /// The next epoch; never the same twice, whatever restarts.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn next_epoch(&self) -> Result<Epoch> {
        let query = "INSERT INTO facts VALUES ('epoch', '1')
            ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)
            RETURNING CAST(value AS INTEGER)";
        self.wrap(self.db.query_row(query, [], |row| row.get::<_, i64>(0))).map(|epoch| Epoch(epoch.cast_unsigned()))
    }

    /// Writes down a join code. Only a hash of its secret is kept.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn add_invite(&self, token: &InviteToken, uses: u32, expires: u64) -> Result<()> {
        let values = params![hashed(token), uses, expires.cast_signed()];
        self.wrap(self.db.execute("INSERT INTO invites VALUES (?1, ?2, ?3)", values).map(drop))
    }

    /// Lets a machine in: a member always, another one with a good join code, one use of which is spent.
    ///
    /// # Errors
    /// The outer: when the store fails. The inner: why the machine is refused.
    pub(crate) fn admit(
        &mut self,
        id: PeerId,
        name: &str,
        token: Option<&InviteToken>,
        now: u64,
    ) -> Result<std::result::Result<(), Refusal>> {
        let admit = |db: &mut Connection| {
            let change = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let known = change.execute("UPDATE members SET name = ?2 WHERE id = ?1", params![id.0, name])? > 0;
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
                change.execute("INSERT INTO members VALUES (?1, ?2, ?3)", params![id.0, name, now.cast_signed()])?;
            }
            change.commit()?;
            Ok(Ok(()))
        };
        let result = admit(&mut self.db);
        self.wrap(result)
    }

    /// Takes a machine off the allow list.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn remove(&self, id: PeerId) -> Result<()> {
        let remove = |table| self.db.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id.0]);
        self.wrap(remove("members").and_then(|_| remove("standings")).map(drop))
    }

    /// The machines on the allow list.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let read = || {
            let mut query = self.db.prepare("SELECT id, name FROM members ORDER BY joined, id")?;
            let rows = query.query_map([], |row| Ok(Member { id: PeerId(row.get(0)?), name: row.get(1)? }))?;
            rows.collect()
        };
        self.wrap(read())
    }

    /// Keeps how reliable a machine was up to `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(crate) fn put_standing(&self, id: PeerId, seen: Reliability, now: u64) -> Result<()> {
        let values = params![id.0, seen.minutes, seen.losses, now.cast_signed()];
        self.wrap(self.db.execute("INSERT OR REPLACE INTO standings VALUES (?1, ?2, ?3, ?4)", values).map(drop))
    }

    /// How reliable each machine was, and up to when that was seen, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn standings(&self) -> Result<Vec<(PeerId, Reliability, u64)>> {
        let read = || {
            let mut query = self.db.prepare("SELECT id, minutes, losses, seen FROM standings")?;
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
        let values = params![model.name, path, stages, model.quant, created, model.manifest, replicas];
        let query = "INSERT OR REPLACE INTO models (name, path, stages, quant, created, manifest, replicas)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.wrap(self.db.execute(query, values).map(drop))
    }

    /// Every model, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn models(&self) -> Result<Vec<ModelRecord>> {
        let read = || {
            let columns = "SELECT name, path, stages, quant, created, manifest, replicas FROM models ORDER BY name";
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
                })
            })?;
            rows.collect()
        };
        self.wrap(read())
    }
}

fn hashed(token: &InviteToken) -> [u8; 32] {
    *blake3::hash(&token.0).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn registry() -> (tempfile::TempDir, Registry) {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(folder.path()).expect("opens");
        (folder, registry)
    }

    #[test]
    fn a_code_lets_in_as_many_machines_as_it_says_until_it_expires() {
        let (_folder, mut registry) = registry();
        let (two, old) = (InviteToken([1; 16]), InviteToken([2; 16]));
        registry.add_invite(&two, 2, HOUR).expect("kept");
        registry.add_invite(&old, 1, 10).expect("kept");
        let mut admit = |id, token| registry.admit(PeerId([id; 32]), "m", token, 20).expect("readable");

        assert_eq!(admit(1, None), Err(Refusal::NotMember));
        assert_eq!(admit(1, Some(&InviteToken([9; 16]))), Err(Refusal::CodeUnknown));
        assert_eq!(admit(1, Some(&old)), Err(Refusal::CodeExpired));
        assert_eq!(admit(1, Some(&two)), Ok(()));
        assert_eq!(admit(1, Some(&two)), Ok(()), "a member spends no use");
        assert_eq!(admit(2, Some(&two)), Ok(()));
        assert_eq!(admit(3, Some(&two)), Err(Refusal::CodeUsed));
        assert_eq!(admit(1, None), Ok(()), "once in, no code is needed");
    }

    #[test]
    fn it_outlives_its_process_and_never_repeats_an_epoch() {
        let (folder, mut registry) = registry();
        registry.add_invite(&InviteToken([1; 16]), 1, HOUR).expect("kept");
        registry.admit(PeerId([1; 32]), "anna", Some(&InviteToken([1; 16])), 0).expect("readable").expect("in");
        assert_eq!(registry.next_epoch().expect("counts"), Epoch(1));
        let seen = Reliability { minutes: 7.5, losses: 2.0 };
        registry.put_standing(PeerId([1; 32]), seen, 99).expect("kept");
        drop(registry);
        let registry = Registry::open(folder.path()).expect("opens again");
        assert_eq!(registry.members().expect("read"), [Member { id: PeerId([1; 32]), name: "anna".into() }]);
        assert_eq!(registry.next_epoch().expect("counts"), Epoch(2));
        assert_eq!(registry.standings().expect("read"), [(PeerId([1; 32]), seen, 99)]);
        registry.remove(PeerId([1; 32])).expect("removed");
        assert_eq!(registry.standings().expect("read"), []);
    }

    #[test]
    fn a_secret_is_not_in_the_file() {
        let (folder, registry) = registry();
        registry.add_invite(&InviteToken(*b"a secret, mostly"), 1, HOUR).expect("kept");
        drop(registry);
        let bytes = std::fs::read(folder.path().join("registry.db")).expect("read");
        assert!(!bytes.windows(16).any(|window| window == b"a secret, mostly"));
    }
}
