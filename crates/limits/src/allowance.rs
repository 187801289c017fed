use crate::{Reason, Share};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What the worker may take right now. Never more than the limits say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Allowance {
    /// Part of all cores' time.
    pub cpu: Share,
    /// Part of the GPU's time; 0 without a GPU.
    pub gpu: Share,
    /// Main memory, in bytes.
    #[ts(type = "number")]
    pub memory: u64,
    /// GPU memory, in bytes; 0 without a GPU.
    #[ts(type = "number")]
    pub gpu_memory: u64,
    /// The rule that takes most.
    pub reason: Reason,
}

/// What the tray shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All that the limits lend.
    Working,
    /// Less than that, but not nothing.
    Throttled,
    /// Nothing, because of a rule or the schedule.
    Stopped,
    /// Nothing, because the donor paused.
    Paused,
}

impl Allowance {
    /// Whether nothing may be computed at all.
    pub const fn is_stopped(&self) -> bool {
        self.cpu.is_zero() && self.gpu.is_zero()
    }

    /// What the tray shows.
    pub const fn state(&self) -> State {
        match self.reason {
            Reason::Paused { .. } => State::Paused,
            _ if self.is_stopped() => State::Stopped,
            Reason::Free => State::Working,
            _ => State::Throttled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(50, 60, Reason::Free, State::Working)]
    #[case(10, 15, Reason::InUse, State::Throttled)]
    #[case(0, 15, Reason::InUse, State::Throttled)]
    #[case(0, 0, Reason::InUse, State::Stopped)]
    #[case(0, 0, Reason::Paused { until: None }, State::Paused)]
    fn the_tray_sees_what_is_left_and_who_took_it(
        #[case] cpu: u8,
        #[case] gpu: u8,
        #[case] reason: Reason,
        #[case] state: State,
    ) {
        let (cpu, gpu) = (Share::from_percent(cpu), Share::from_percent(gpu));
        assert_eq!(Allowance { cpu, gpu, memory: 1, gpu_memory: 1, reason }.state(), state);
    }
}
