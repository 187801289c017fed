use gogrid_limits::Usage;

/// What the coordinator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lent {
    /// Memory for weights and KV caches, in bytes.
    pub(crate) memory: u64,
    /// Why no new work is taken, where none is.
    pub(crate) stopped: Option<String>,
    /// Whether what it has is computed.
    pub(crate) computes: bool,
}

/// Memory for weights and KV caches, in bytes: the ledger's limit without the device's runtime, and without what is kept
/// back for a step's intermediate results and for frames that wait (batches are cut so that they fit).
pub(crate) fn lent(usage: &Usage) -> u64 {
    const PART: u64 = 16;
    const MOST: u64 = 256 << 20;
    usage.limit.saturating_sub(usage.runtime).saturating_sub((usage.limit / PART).min(MOST))
}
