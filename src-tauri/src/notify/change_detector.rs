use gogrid_panel_api::{AppState, Process, State, Status};

/// A change that may need the donor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The machine became a member of a grid.
    Joined { grid: String },
    /// It is no longer a member of any.
    Outside,
    /// Its GPU was lent and is no longer usable.
    GpuLost { why: String },
}

/// Compares each state with the one before.
#[derive(Debug, Default)]
pub(super) struct ChangeDetector {
    /// Whether the machine was a member of a grid; `None` before the first status.
    member: Option<bool>,
    gpu: bool,
}

impl ChangeDetector {
    /// The changes since the last state. While the worker does not answer, nothing counts as changed.
    pub(super) fn observe(&mut self, state: &AppState) -> Vec<Change> {
        let Some(status) = &state.status else { return Vec::new() };
        self.membership(status).into_iter().chain(self.gpu(&state.worker, status)).collect()
    }

    fn membership(&mut self, status: &Status) -> Option<Change> {
        let connection = status.connection.as_ref();
        let now = match (status.state, connection) {
            (State::NotJoined, _) | (_, None) => false,
            (_, Some(connection)) if connection.connected => true,
            // Connecting: a member at the start of the app, or a machine whose join code may still be refused.
            (_, Some(_)) => self.member.unwrap_or(true),
        };
        match (self.member.replace(now), now) {
            (Some(false), true) => {
                Some(Change::Joined { grid: connection.map(|to| to.grid.clone()).unwrap_or_default() })
            }
            (Some(true), false) => Some(Change::Outside),
            _ => None,
        }
    }

    fn gpu(&mut self, worker: &Process, status: &Status) -> Option<Change> {
        let now = status.machine.gpu_name.is_some();
        let lost = std::mem::replace(&mut self.gpu, now) && !now;
        lost.then(|| match worker {
            Process::Running { fallback: Some(why), .. } => Change::GpuLost { why: why.clone() },
            _ => Change::GpuLost { why: "The driver does not show it any more".to_owned() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, running, status};

    fn seen(states: impl IntoIterator<Item = AppState>) -> Vec<Change> {
        let mut changes = ChangeDetector::default();
        states.into_iter().flat_map(|state| changes.observe(&state)).collect()
    }

    fn says(state: State) -> AppState {
        app(running(), Some(status(state, "")))
    }

    fn silent() -> AppState {
        app(Process::Starting, None)
    }

    #[test]
    fn a_join_is_told_once_when_the_coordinator_is_reached() {
        let joined = Change::Joined { grid: "Example".into() };
        let states = [State::NotJoined, State::Connecting, State::Idle, State::Working].map(says);
        assert_eq!(seen(states), [joined]);
    }

    #[test]
    fn a_start_as_a_member_is_no_news() {
        assert_eq!(seen([silent(), says(State::Connecting), says(State::Idle)]), []);
        assert_eq!(seen([says(State::Idle), silent(), says(State::Connecting), says(State::Idle)]), []);
    }

    #[test]
    fn a_code_that_is_refused_is_no_news() {
        assert_eq!(seen([State::NotJoined, State::Connecting, State::NotJoined].map(says)), []);
    }

    #[test]
    fn a_machine_that_is_outside_now_is_asked_about() {
        assert_eq!(seen([State::Idle, State::NotJoined, State::NotJoined].map(says)), [Change::Outside]);
        assert_eq!(seen([State::Connecting, State::NotJoined].map(says)), [Change::Outside], "while it was off");
    }

    #[test]
    fn a_coordinator_that_is_away_is_no_news() {
        assert_eq!(seen([State::Idle, State::Connecting, State::Idle].map(says)), []);
    }

    #[test]
    fn a_gpu_that_is_lost_is_told_with_its_reason() {
        let mut with_gpu = status(State::Idle, "");
        with_gpu.machine.gpu_name = Some("RTX".into());
        let cuda = Process::Running { build: "cuda".into(), fallback: None };
        let before = app(cuda, Some(with_gpu));
        let fallen = Process::Running { build: "cpu".into(), fallback: Some("no CUDA device".into()) };
        let after = app(fallen, Some(status(State::Idle, "")));
        let lost = Change::GpuLost { why: "no CUDA device".into() };
        assert_eq!(seen([before.clone(), silent(), after.clone(), after]), [lost]);
        assert!(matches!(seen([before, says(State::Idle)])[..], [Change::GpuLost { .. }]));
    }
}
