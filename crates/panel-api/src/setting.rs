use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value, as `set` takes it.
    pub value: String,
    /// Whether it differs from the preset's.
    pub changed: bool,
    /// What it does and which values it takes, for people.
    pub help: String,
    /// The preset's value.
    pub default: String,
    /// The bound of the machine's administrator; null if the donor alone decides.
    pub managed: Option<Managed>,
    /// Why the rule is off although it is set: this machine does not have the signal that it needs. Null if it is on,
    /// or not set.
    #[serde(default)]
    pub no_signal: Option<String>,
}

/// An administrator's bound on a limit. The donor may always be stricter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Managed {
    /// The laxest value that is accepted.
    pub bound: String,
    /// Whether the limit is hidden from the donor.
    pub hidden: bool,
}
