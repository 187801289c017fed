use gogrid_limits::{Allowance, Reason, State, Usage};
use gogrid_wire::control::StopReason;

/// What the coordinator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lent {
    /// Memory for weights and KV caches, in bytes.
    pub(crate) memory: u64,
    /// Why no new work is taken, where none is.
    pub(crate) stopped: Option<StopReason>,
    /// Whether what it has is computed.
    pub(crate) computes: bool,
}

/// Why nothing is computed at this allowance, as far as others are told: its own reason says what the owner does, and
/// stays on the machine.
pub(crate) fn stop_reason(allowance: &Allowance) -> StopReason {
    match (&allowance.reason, allowance.state()) {
        (Reason::Starting, _) => StopReason::Unavailable,
        (_, State::Paused) => StopReason::Paused,
        _ => StopReason::Limited,
    }
}

/// Memory for weights and KV caches, in bytes: the ledger's limit without the device's runtime, and without what is kept
/// back for a step's intermediate results and for frames that wait (batches are cut so that they fit).
pub(crate) fn lent(usage: &Usage) -> u64 {
    const PART: u64 = 16;
    const MOST: u64 = 256 << 20;
    usage.limit.saturating_sub(usage.runtime).saturating_sub((usage.limit / PART).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_limits::{Share, SignalKind};

    #[test]
    fn nobody_learns_what_the_owner_does() {
        let reason = |reason| {
            let (cpu, gpu) = (Share::ZERO, Share::ZERO);
            stop_reason(&Allowance { cpu, gpu, memory: 0, gpu_memory: 0, reason })
        };
        for limited in [
            Reason::InUse,
            Reason::FullScreen,
            Reason::Program { name: "blender".into() },
            Reason::OutsideSchedule,
            Reason::Battery { charge: Share::FULL },
            Reason::Unknown { signal: SignalKind::UserIdle, why: "no display found".into() },
        ] {
            assert_eq!(reason(limited), StopReason::Limited);
        }
        assert_eq!(reason(Reason::Paused { until: None }), StopReason::Paused);
        assert_eq!(reason(Reason::Starting), StopReason::Unavailable);
    }
}
