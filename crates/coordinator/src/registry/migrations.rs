//! The schema's history. `PRAGMA user_version` counts the migrations that a file has had.
//!
//! To change the schema, append a migration. Never edit one that was released: files in the field have had it.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Every migration, oldest first. The first brings a file from version 0 to version 1.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_names.sql"),
    include_str!("migrations/0002_left.sql"),
    include_str!("migrations/0003_keys_and_groups.sql"),
    include_str!("migrations/0004_tools.sql"),
];

/// The schema's version that this program reads and writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Why a file cannot be brought to [`VERSION`].
#[derive(Debug)]
pub(super) enum MigrateError {
    /// A newer program has written the file. It has this version.
    Newer(u32),
    /// The migration to this version failed; the file is as it was before it.
    Failed(u32, rusqlite::Error),
    /// The version cannot be read.
    Unreadable(rusqlite::Error),
}

/// Brings a file to [`VERSION`], each migration in a transaction of its own.
pub(super) fn migrate(db: &mut Connection) -> Result<(), MigrateError> {
    loop {
        let found = version(db).map_err(MigrateError::Unreadable)?;
        if found > VERSION {
            return Err(MigrateError::Newer(found));
        }
        if found == VERSION {
            return Ok(());
        }
        step(db).map_err(|error| MigrateError::Failed(found + 1, error))?;
    }
}

/// Runs the next migration. Another program may open the file at the same time, so that the version is read again
/// inside the transaction.
fn step(db: &mut Connection) -> rusqlite::Result<()> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&change)?;
    let Some(migration) = MIGRATIONS.get(found as usize) else { return Ok(()) };
    if found == 0 {
        baseline(&change)?;
    }
    change.execute_batch(migration)?;
    change.pragma_update(None, "user_version", found + 1)?;
    change.commit()
}

fn baseline(change: &Transaction<'_>) -> rusqlite::Result<()> {
    change.execute_batch(include_str!("migrations/baseline.sql"))?;
    // The oldest files lack this column.
    if !change.column_exists(None, "models", "replicas")? {
        change.execute_batch("ALTER TABLE models ADD COLUMN replicas INTEGER NOT NULL DEFAULT 2")?;
    }
    Ok(())
}

/// Whether a file has a schema older than [`VERSION`]. A new file has none.
pub(super) fn is_old(db: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 = db.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables > 0 && version(db)? < VERSION)
}

fn version(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        folder_lock::FolderLock,
        registry::{ModelRecord, Registry, RegistryError},
    };
    use gogrid_wire::PeerId;
    use std::path::Path;

    /// A file as the last program without numbered migrations wrote it.
    const VERSION_0: &str = "
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
        INSERT INTO members VALUES
            (X'0101010101010101010101010101010101010101010101010101010101010101', 'anna', 1700000000);
        INSERT INTO invites VALUES (X'AA', 3, 1800000000);
        INSERT INTO models VALUES ('demo', '/models/demo', 2, 'q8_0', 1700000001, '{}', 3);
        INSERT INTO standings VALUES
            (X'0101010101010101010101010101010101010101010101010101010101010101', 7.5, 2.0, 1700000002);
        INSERT INTO facts VALUES ('epoch', '41'), ('link_addrs', '[\"192.0.2.1:7450\"]');
    ";

    /// The schema before models had replicas.
    const WITHOUT_REPLICAS: &str = "
        CREATE TABLE models
            (name TEXT PRIMARY KEY, path TEXT NOT NULL, stages INTEGER NOT NULL, quant TEXT NOT NULL,
             created INTEGER NOT NULL, manifest TEXT NOT NULL) STRICT;
        INSERT INTO models VALUES ('demo', '/models/demo', 2, 'q8_0', 1700000001, '{}');
    ";

    fn write(folder: &Path, sql: &str) {
        let db = Connection::open(folder.join("registry.db")).expect("opened");
        db.execute_batch(sql).expect("written");
    }

    fn demo(replicas: usize) -> ModelRecord {
        ModelRecord {
            name: "demo".into(),
            path: "/models/demo".into(),
            stages: 2,
            replicas,
            quant: "q8_0".into(),
            created: 1_700_000_001,
            manifest: "{}".into(),
            tools: "auto".into(),
        }
    }

    #[test]
    fn a_file_without_a_version_keeps_its_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), VERSION_0);
        let registry = Registry::open(folder.path()).expect("migrated");
        assert_eq!(registry.schema_version(), VERSION);
        assert_eq!(registry.members().expect("read").len(), 1);
        assert_eq!(registry.members().expect("read")[0].name, "anna");
        assert_eq!(registry.models().expect("read"), [demo(3)]);
        let reliability = registry.reliability().expect("read");
        assert_eq!(reliability.len(), 1);
        let (id, seen, at) = reliability[0];
        assert_eq!((id, seen.minutes, seen.losses, at), (PeerId([1; 32]), 7.5, 2.0, 1_700_000_002));
        assert_eq!(registry.metadata("link_addrs").expect("read").as_deref(), Some("[\"192.0.2.1:7450\"]"));
        assert_eq!(registry.next_epoch().expect("counted"), 42, "epochs go on where they were");
        drop(registry);
        let again = Registry::open(folder.path()).expect("opened again");
        assert_eq!(again.next_epoch().expect("counted"), 43);
    }

    #[test]
    fn a_file_from_before_replicas_gets_the_default() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), WITHOUT_REPLICAS);
        assert_eq!(Registry::open(folder.path()).expect("migrated").models().expect("read"), [demo(2)]);
    }

    #[test]
    fn a_new_file_has_the_newest_version() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Registry::open(folder.path()).expect("made").schema_version(), VERSION);
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &format!("PRAGMA user_version = {}", VERSION + 1));
        let Err(error) = Registry::open(folder.path()) else { panic!("opened") };
        assert!(matches!(error, RegistryError::Newer { found, known, .. } if found == VERSION + 1 && known == VERSION));
        let text = error.to_string();
        assert!(text.contains(&format!("schema version {}", VERSION + 1)) && text.contains("newer"), "{text}");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        // A table of the new name is in the way of the renaming.
        write(folder.path(), &format!("{VERSION_0} CREATE TABLE reliability (x INTEGER);"));
        let Err(error) = Registry::open(folder.path()) else { panic!("opened") };
        assert!(matches!(error, RegistryError::Migration { version: 1, .. }), "{error}");
        let db = Connection::open(folder.path().join("registry.db")).expect("opened");
        assert_eq!(version(&db).expect("read"), 0);
        let facts: i64 = db.query_row("SELECT COUNT(*) FROM facts", [], |row| row.get(0)).expect("still there");
        assert_eq!(facts, 2, "the renaming before it was taken back too");
    }

    #[test]
    fn a_command_does_not_migrate_the_file_of_a_running_coordinator() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), VERSION_0);
        let running = FolderLock::take(folder.path()).expect("usable").expect("free");
        let Err(error) = Registry::open_for_command(folder.path()) else { panic!("opened") };
        assert!(matches!(error, RegistryError::InUse { .. }), "{error}");
        Registry::open(folder.path()).map(drop).expect("the coordinator itself migrates");
        Registry::open_for_command(folder.path()).map(drop).expect("nothing is left to migrate");
        drop(running);
    }

    #[test]
    fn two_programs_may_open_an_old_file_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), VERSION_0);
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..4).map(|_| scope.spawn(|| Registry::open(folder.path()).map(drop))).collect();
            for opened in opened {
                opened.join().expect("no panic").expect("opened");
            }
        });
    }
}
