use crate::Status;
use serde::{Deserialize, Serialize};

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request", deny_unknown_fields)]
pub enum Request {
    /// The state, once.
    Status,
    /// The state, again and again.
    Follow {
        /// Milliseconds between two, 100 to 60,000.
        every_ms: u32,
    },
    /// Every limit.
    Limits,
    /// Changes limits. All of them are taken or none.
    Set {
        /// Keys and values as `gogrid limits set` takes them.
        changes: Vec<(String, String)>,
    },
    /// Goes over to a preset; only a pause stays.
    Preset {
        /// `quiet`, `balanced` or `full`.
        name: String,
    },
    /// Stops computing.
    Pause(PauseRequest),
    /// Ends a pause.
    Resume,
}

/// How to pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Seconds until it ends by itself; until it is resumed when not given.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Finish the answers that are under way, and take no new ones.
    #[serde(default)]
    pub after_answers: bool,
}

/// What the worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "response", content = "body")]
pub enum Response {
    /// The state.
    Status(Box<Status>),
    /// Every limit, in the order in which they are shown.
    Limits(Vec<Setting>),
    /// Done. After a pause: nothing is computed any more (or the answers under way are the last).
    Done,
    /// Not done, and why.
    Refused(Refused),
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value, as `set` takes it.
    pub value: String,
    /// Whether it differs from the preset's.
    pub changed: bool,
    /// What it does and which values it takes, for people.
    pub help: String,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The field that is wrong, where it is one.
    pub field: Option<String>,
    /// Why, for people.
    pub message: String,
}
