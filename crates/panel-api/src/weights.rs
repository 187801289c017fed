use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The weights that are kept on this machine's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CachedWeights {
    /// What they take together, in bytes.
    #[ts(type = "number")]
    pub bytes: u64,
    /// By model, the largest first. What models share counts for each of them.
    pub models: Vec<CachedModel>,
}

/// A model's part of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CachedModel {
    /// The model's name; null for weights of which no model is known.
    pub name: Option<String>,
    /// In bytes.
    #[ts(type = "number")]
    pub bytes: u64,
    /// Whether a stage of it is loaded or being loaded. Then it is not cleared.
    pub in_use: bool,
}
