//! What can go wrong.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A text that names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no model: {why}")]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A repository of which no files can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// It has neither safetensors with a config.json nor GGUF files.
    #[error("it has neither a config.json with model.safetensors nor a GGUF file")]
    NoModel,
    /// Several files would do.
    #[error("it has several GGUF files; name one behind a colon: {}", .0.join(", "))]
    Several(Vec<String>),
    /// None is as asked for.
    #[error("none of its GGUF files is {pick}; it has {}", .there.join(", "))]
    NotThere {
        /// What was asked for.
        pick: String,
        /// What is there.
        there: Vec<String>,
    },
    /// A file's name that this machine does not take as a path.
    #[error("it has a file with the name {0:?}, which is not taken")]
    Name(String),
    /// A file of weights that the index names.
    #[error("its index names {0:?}, which it does not have")]
    Missing(String),
    /// Parts of a split file are missing.
    #[error("{file} has {there} of its {of} parts")]
    Parts {
        /// The first of them.
        file: String,
        /// How many are there.
        there: usize,
        /// How many its name says.
        of: usize,
    },
}

/// A model that cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub's address.
    #[error("{0:?} is no address of a hub: it starts with https://, or http:// for this machine alone")]
    Address(String),
    /// A token of other characters than visible ASCII.
    #[error("a token consists of visible ASCII characters")]
    Token,
    /// What is asked for needs a token, or a better one.
    #[error("{what}: the hub asks for {}", if *.sent { "a token with more rights (or its terms are not accepted yet)" } else { "a token: set HF_TOKEN or run `gogrid hub login`" })]
    Rights {
        /// The repository or file.
        what: String,
        /// Whether a token was sent.
        sent: bool,
    },
    /// Nothing of that name.
    #[error("{0} does not exist there, or needs a token")]
    NotFound(String),
    /// The server asks to come back much later.
    #[error("{what}: the server asks to wait for {} s", .wait.as_secs())]
    Busy {
        /// The repository or file.
        what: String,
        /// For how long.
        wait: Duration,
    },
    /// Another answer than files.
    #[error("{what}: the server answered with status {status}")]
    Status {
        /// The repository or file.
        what: String,
        /// HTTP's status.
        status: u16,
    },
    /// It cannot be reached, or the connection ends again and again.
    #[error("{what}: {source}")]
    Connection {
        /// The repository or file.
        what: String,
        /// Without the URL, which may hold a signature.
        source: reqwest::Error,
    },
    /// Nothing comes.
    #[error("{what}: nothing came for {} s", .within.as_secs())]
    Silent {
        /// The repository or file.
        what: String,
        /// For how long.
        within: Duration,
    },
    /// The list of files is not understood.
    #[error("{what}: the hub's list of files is not understood: {why}")]
    List {
        /// The repository.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// No files can be chosen.
    #[error("{repository}: {source}")]
    Choose {
        /// The repository.
        repository: String,
        /// Why.
        source: ChooseError,
    },
    /// What came is not what was announced.
    #[error("{file} is damaged: {why}; it is fetched anew next time")]
    Damaged {
        /// The file.
        file: String,
        /// What differs.
        why: String,
    },
    /// Too little space.
    #[error("{} MiB are missing on the disk of {}: the model takes {} MiB more", (.needed - .free).div_ceil(1 << 20), .folder.display(), .needed.div_ceil(1 << 20))]
    Space {
        /// Where it would go.
        folder: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Somebody else fetches it.
    #[error("{} is being fetched by another program", .0.display())]
    Locked(PathBuf),
    /// The disk.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
