use crate::Limits;

/// The totals that amounts are shares of, in bytes, if known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Main memory.
    pub memory: Option<u64>,
    /// Memory of the GPU that is lent.
    pub gpu_memory: Option<u64>,
    /// The disk that holds the weights.
    pub disk: Option<u64>,
}

impl Limits {
    /// These limits as shown on a machine with these totals: an amount with two bounds becomes the one that decides. They
    /// lend the same.
    #[must_use]
    pub fn on(&self, totals: &Totals) -> Self {
        Self {
            gpu_memory: self.gpu_memory.on(totals.gpu_memory),
            memory: self.memory.on(totals.memory),
            disk: self.disk.on(totals.disk),
            ..self.clone()
        }
    }
}
