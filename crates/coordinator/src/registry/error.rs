use std::path::PathBuf;

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// SQLite cannot read or write the file.
    #[error("cannot use the registry in {path}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer program has written the file.
    #[error(
        "the registry in {path} has schema version {found}, this program knows versions up to {known}: use the newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's schema version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The file has an older schema, and the coordinator that uses it is running: it cannot read a newer one.
    #[error(
        "the coordinator that is running on {path} is of an older version than this program: restart it with this version first"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A migration failed. The file is as it was before it.
    #[error("cannot bring the registry in {path} to schema version {version}")]
    Migration {
        /// The file.
        path: PathBuf,
        /// The version that the migration leads to.
        version: u32,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The registry's thread cannot be started.
    #[error("cannot start the registry's thread")]
    Thread(#[source] std::io::Error),
    /// The coordinator is stopping and has closed its registry.
    #[error("the registry is closed")]
    Closed,
    /// Too many writes wait for the disk.
    #[error("the registry's disk is too slow: {waiting} operations wait for it")]
    Full {
        /// Operations that wait.
        waiting: usize,
    },
}
