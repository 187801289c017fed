use super::words::{shortened, slowed, working};
use gogrid_limits::Reason;
use gogrid_panel_api::{AppState, Mark, Process, State, Status};

/// The main action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Pause,
    Resume,
    /// Open the window where a grid is joined.
    Join,
}

impl Action {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Join => "Join…",
        }
    }
}

/// What the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) mark: Mark,
    /// The state in words.
    pub(super) line: String,
    pub(super) action: Action,
    /// Whether a worker is there to take requests.
    pub(super) enabled: bool,
}

impl View {
    /// Whether there is something to pause for a while.
    pub(super) fn can_pause(&self) -> bool {
        self.enabled && self.action != Action::Join
    }
}

/// What the tray shows of the app's state.
pub(super) fn view(state: &AppState) -> View {
    let line = match (&state.worker, &state.status) {
        (Process::Running { .. }, Some(status)) => line(status),
        (Process::Running { .. } | Process::Starting, _) => "Starting".to_owned(),
        (Process::Waiting { died, .. }, _) => format!("The engine stopped: {died}"),
        (Process::Held { why }, _) => why.clone(),
    };
    let action = match &state.status {
        Some(status) if is_paused(status) => Action::Resume,
        Some(status) if status.state == State::NotJoined => Action::Join,
        _ => Action::Pause,
    };
    View {
        mark: Mark::of(state),
        line: shortened(&line),
        action,
        enabled: matches!(state.worker, Process::Running { .. }) && state.status.is_some(),
    }
}

fn line(status: &Status) -> String {
    match status.state {
        State::NotJoined => "Not joined to a grid yet".to_owned(),
        State::Connecting => connecting(status),
        _ if status.pausing_after_answers && status.state != State::Paused => {
            "Pausing after the current answers".to_owned()
        }
        State::Idle => "Ready, nothing to do".to_owned(),
        State::Working => working(&status.stages),
        State::Throttled => slowed("Slowed down", status),
        State::Stopped => slowed("Stopped", status),
        State::Paused => status.reason.clone(),
    }
}

/// Covers machines without a grid too, whose state does not say that they are paused.
fn is_paused(status: &Status) -> bool {
    status.state == State::Paused || matches!(status.allowance.reason, Reason::Paused { .. })
}

fn connecting(status: &Status) -> String {
    match status.connection.as_ref().map(|connection| connection.grid.as_str()) {
        None | Some("") => "Connecting to the grid".to_owned(),
        Some(grid) => format!("Connecting to {grid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, running, stage, status};
    use gogrid_panel_api::KeyStore;
    use rstest::rstest;

    #[rstest]
    #[case(State::NotJoined, "", Mark::NotJoined, "Not joined to a grid yet", Action::Join)]
    #[case(State::Connecting, "", Mark::Connecting, "Connecting to Example", Action::Pause)]
    #[case(State::Idle, "Nothing to compute", Mark::Idle, "Ready, nothing to do", Action::Pause)]
    #[case(State::Working, "", Mark::Working, "Working: a part of tiny", Action::Pause)]
    #[case(
        State::Throttled,
        "You are using the computer",
        Mark::Throttled,
        "Slowed down: you are using the computer",
        Action::Pause
    )]
    #[case(
        State::Stopped,
        "Outside the hours you lend",
        Mark::Paused,
        "Stopped: outside the hours you lend",
        Action::Pause
    )]
    #[case(State::Paused, "Paused until 14:30", Mark::Paused, "Paused until 14:30", Action::Resume)]
    #[case(State::Paused, "Paused until you resume", Mark::Paused, "Paused until you resume", Action::Resume)]
    fn a_worker_that_answers(
        #[case] state: State,
        #[case] reason: &str,
        #[case] mark: Mark,
        #[case] line: &str,
        #[case] action: Action,
    ) {
        let mut status = status(state, reason);
        status.stages = vec![stage("tiny", [0, 12])];
        let view = view(&app(running(), Some(status)));
        assert_eq!(view, View { mark, line: line.into(), action, enabled: true });
    }

    #[rstest]
    #[case::starting(Process::Starting, Mark::Connecting, "Starting")]
    #[case::not_heard_yet(running(), Mark::Connecting, "Starting")]
    #[case::died(
        Process::Waiting { died: "it was killed".into(), retry_in_ms: 500, times: 1 },
        Mark::Error,
        "The engine stopped: it was killed"
    )]
    #[case::held(Process::Held { why: "Choose where the key is kept".into() }, Mark::Error, "Choose where the key is kept")]
    fn without_a_worker_nothing_can_be_paused(#[case] worker: Process, #[case] mark: Mark, #[case] line: &str) {
        let view = view(&app(worker, None));
        assert_eq!(view, View { mark, line: line.into(), action: Action::Pause, enabled: false });
    }

    #[test]
    fn a_key_store_that_is_being_opened_is_no_error() {
        let mut state = app(Process::Held { why: "Waiting for the key store".into() }, None);
        state.key_store = KeyStore::Opening;
        assert_eq!(view(&state).mark, Mark::Connecting);
    }

    #[test]
    fn a_coming_pause_is_told() {
        let mut status = status(State::Working, "");
        status.pausing_after_answers = true;
        let view = view(&app(running(), Some(status)));
        assert_eq!((view.line.as_str(), view.action), ("Pausing after the current answers", Action::Pause));
    }

    #[test]
    fn a_machine_without_a_grid_can_be_paused_and_resumed() {
        let mut status = status(State::NotJoined, "");
        status.allowance.reason = Reason::Paused { until: None };
        let view = view(&app(running(), Some(status)));
        assert_eq!((view.line.as_str(), view.action), ("Not joined to a grid yet", Action::Resume));
    }

    #[test]
    fn a_grid_whose_name_is_not_known_yet() {
        let mut status = status(State::Connecting, "");
        status.connection = None;
        assert_eq!(view(&app(running(), Some(status))).line, "Connecting to the grid");
    }
}
