use gogrid_limits::{Allowance, Ledger};

/// The memory that a worker lends. A worker on a GPU takes main memory, too: frames that wait, and outputs that are
/// retained for a replay. On a CPU all memory is main memory, and both are one ledger.
#[derive(Debug, Clone)]
pub(crate) struct Ledgers {
    /// Of the device that computes: weights, KV caches, workspace.
    pub(crate) device: Ledger,
    /// Main memory.
    pub(crate) host: Ledger,
    gpu: bool,
}

impl Ledgers {
    /// Nothing is lent yet.
    pub(crate) fn new(gpu: bool) -> Self {
        let device = Ledger::new(0);
        let host = if gpu { Ledger::new(0) } else { device.clone() };
        Self { device, host, gpu }
    }

    /// Lends what the allowance says.
    pub(crate) fn allow(&self, allowance: &Allowance) {
        self.host.set_limit(allowance.memory);
        if self.gpu {
            self.device.set_limit(allowance.gpu_memory);
        }
    }

    /// Whether one of them is over its limit.
    pub(crate) fn are_over(&self) -> bool {
        self.device.over() > 0 || self.host.over() > 0
    }

    /// Whether main memory is the device's.
    pub(crate) fn are_one(&self) -> bool {
        !self.gpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_limits::{Account, Reason, Share};

    fn allowance(memory: u64, gpu_memory: u64) -> Allowance {
        Allowance { cpu: Share::FULL, gpu: Share::FULL, memory, gpu_memory, reason: Reason::Starting }
    }

    #[test]
    fn on_a_gpu_each_memory_has_its_own_limit() {
        let ledgers = Ledgers::new(true);
        ledgers.allow(&allowance(10, 20));
        let _frames = ledgers.host.reserve(Account::Frames, 10).expect("it fits");
        let _kv = ledgers.device.reserve(Account::Kv, 20).expect("it fits");
        assert!(!ledgers.are_over());
        ledgers.allow(&allowance(9, 20));
        assert!(ledgers.are_over());
    }

    #[test]
    fn on_a_cpu_there_is_one_limit() {
        let ledgers = Ledgers::new(false);
        ledgers.allow(&allowance(10, 0));
        let _frames = ledgers.host.reserve(Account::Frames, 4).expect("it fits");
        assert_eq!(ledgers.device.usage().free(), 6);
    }
}
