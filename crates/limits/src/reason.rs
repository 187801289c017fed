use serde::{Deserialize, Serialize};

/// Why the allowance is what it is. Its text is for the donor: one plain sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// Nobody needs the machine: the limits themselves hold.
    Free,
}
