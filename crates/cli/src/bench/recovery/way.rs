use crate::args::RecoveryWay as Way;

/// Stages of a pipeline: the fewest that have a link between machines.
pub(super) const STAGES: usize = 2;

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Anew => "killed, all anew",
            Self::Retained => "killed, the rest kept",
            Self::Spare => "killed, warm spare",
            Self::Replica => "killed, replica",
            Self::LeavesReplica => "leaves, replica",
            Self::LeavesSpare => "leaves, warm spare",
        }
    }

    /// The longest accepted pause in seconds, for a prompt whose prefill takes this long; `None` where no pause is
    /// promised.
    pub(super) fn bar(self, prefill: f64) -> Option<f64> {
        match self {
            Self::Anew | Self::Retained => None,
            Self::Spare | Self::Replica => Some(1.0 + prefill),
            Self::LeavesReplica | Self::LeavesSpare => Some(0.15 + prefill),
        }
    }

    pub(super) fn pipelines(self) -> usize {
        if matches!(self, Self::Replica | Self::LeavesReplica) { 2 } else { 1 }
    }

    /// The machines of all pipelines, or one more than a single pipeline needs.
    pub(super) fn workers(self) -> usize {
        if self.pipelines() == 1 { STAGES + 1 } else { 2 * STAGES }
    }

    pub(super) fn has_spare(self) -> bool {
        matches!(self, Self::Spare | Self::LeavesSpare)
    }

    /// The pipelines that the model may have. A spare is kept warm only when a further pipeline is allowed but does not
    /// fit.
    pub(super) fn replicas(self) -> usize {
        if self.has_spare() { 2 } else { self.pipelines() }
    }

    /// Whether the machine is asked to leave, not killed.
    pub(super) fn leaves(self) -> bool {
        matches!(self, Self::LeavesReplica | Self::LeavesSpare)
    }
}
