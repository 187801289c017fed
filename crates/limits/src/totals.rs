use crate::Limits;

/// What amounts are parts of, in bytes, where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Main memory.
    pub memory: Option<u64>,
    /// Memory of the GPU that is lent.
    pub gpu_memory: Option<u64>,
    /// The disk that weights lie on.
    pub disk: Option<u64>,
}

impl Limits {
    /// As they read on a machine with these totals: of an amount with two bounds the one that decides. For showing;
    /// they lend the same.
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
