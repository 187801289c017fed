//! What the desktop app's shell sends to its page.

use crate::{Mark, Status};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The state that every page shows. Sent at every change, and once a second while the window is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct AppState {
    /// What the tray's icon shows; the window has the same mark.
    pub mark: Mark,
    /// The worker's process.
    pub worker: Process,
    /// The worker's state; null while it does not answer.
    pub status: Option<Status>,
    /// The app's own settings.
    pub settings: AppSettings,
    /// What the donor should know about the app itself, such as a settings file that was set aside. For people.
    pub notices: Vec<Notice>,
    /// The app's version.
    pub version: String,
    /// Where the machine's key is kept.
    pub key_store: KeyStore,
    /// A newer version that can be installed.
    pub update: Option<String>,
    /// A join code from a link that the donor opened; the page asks before it is used. Never sent anywhere else.
    pub offered_code: Option<String>,
    /// How often the donor chose *Join…* in the tray since the window was opened: the page then shows where to join.
    pub join_asked: u32,
}

/// The worker's process, as the shell sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "process")]
pub enum Process {
    /// It was started and has not answered yet.
    Starting,
    /// It answers.
    Running {
        /// Which program: `cpu` or `cuda`.
        build: String,
        /// Why it is not the faster build, if that needs an explanation.
        fallback: Option<String>,
    },
    /// It ended by itself and is started again.
    Waiting {
        /// Why it ended, for people.
        died: String,
        /// Milliseconds until it is started again.
        retry_in_ms: u32,
        /// Ends since it last ran for a minute.
        times: u32,
    },
    /// It is not started, because the donor has to decide something first.
    Held {
        /// What, for people.
        why: String,
    },
}

/// Where the machine's key is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "store")]
pub enum KeyStore {
    /// It is being opened, which may wait for the donor to unlock it.
    Opening,
    /// The system's key store.
    System,
    /// A file that only this user can read, as the donor agreed.
    File,
    /// The key store cannot be used, and the donor has not agreed to a file.
    Unavailable {
        /// Why, for people.
        why: String,
        /// Whether trying again may help, as with a store that is locked.
        locked: bool,
    },
}

/// Something to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Notice {
    /// The id that dismisses it.
    pub id: u32,
    /// For people.
    pub text: String,
}

/// The app's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub struct AppSettings {
    /// Whether the first run's three steps are done.
    pub welcomed: bool,
    /// Whether the app starts at login.
    pub autostart: bool,
    /// The machine's name; its host name when empty.
    pub machine_name: String,
    /// Whether a file may hold the key where the key store cannot.
    pub key_file: bool,
    /// Notifications, each kind by itself.
    pub notify: Notify,
}

/// Which notifications are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// The machine joined a grid.
    pub joined: bool,
    /// The coordinator revoked the machine.
    pub revoked: bool,
    /// The GPU is lost.
    pub gpu_lost: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Self { joined: true, revoked: true, gpu_lost: true }
    }
}

/// Which lines of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct LogFilter {
    /// Only lines with this text, in any case; all when empty.
    pub text: String,
    /// The least severe level shown: `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// Whose log: `app` or `worker`.
    pub of: String,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LogLine {
    /// As written, in UTC.
    pub at: String,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or empty.
    pub level: String,
    /// The rest.
    pub text: String,
}
