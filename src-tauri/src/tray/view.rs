use super::words::{shortened, slowed, working};
use gogrid_limits::Reason;
use gogrid_panel_api::{AppState, KeyStore, Process, State, Status};

/// The shape of the icon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Icon {
    NotJoined,
    Connecting,
    Idle,
    Working,
    Throttled,
    Paused,
    Error,
}

/// The main action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Pause,
    Resume,
}

impl Action {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
        }
    }
}

/// What the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) icon: Icon,
    /// The state in words.
    pub(super) line: String,
    pub(super) action: Action,
    /// Whether a worker is there to take requests.
    pub(super) enabled: bool,
}

/// What the tray shows of the app's state.
pub(super) fn view(state: &AppState) -> View {
    let (icon, line) = match (&state.worker, &state.status) {
        (Process::Running { .. }, Some(status)) => icon_and_line(status),
        (Process::Running { .. } | Process::Starting, _) => (Icon::Connecting, "Starting".to_owned()),
        (Process::Waiting { died, .. }, _) => (Icon::Error, format!("The engine stopped: {died}")),
        (Process::Held { why }, _) if state.key_store == KeyStore::Opening => (Icon::Connecting, why.clone()),
        (Process::Held { why }, _) => (Icon::Error, why.clone()),
    };
    let paused = state.status.as_ref().is_some_and(is_paused);
    View {
        icon,
        line: shortened(&line),
        action: if paused { Action::Resume } else { Action::Pause },
        enabled: matches!(state.worker, Process::Running { .. }) && state.status.is_some(),
    }
}

fn icon_and_line(status: &Status) -> (Icon, String) {
    match status.state {
        State::NotJoined => (Icon::NotJoined, "Not joined to a grid yet".to_owned()),
        State::Connecting => (Icon::Connecting, connecting(status)),
        // It still computes; what matters is that it is about to stop.
        _ if status.pausing_after_answers && status.state != State::Paused => {
            (Icon::Working, "Pausing after the current answers".to_owned())
        }
        State::Idle => (Icon::Idle, "Ready, nothing to do".to_owned()),
        State::Working => (Icon::Working, working(&status.stages)),
        State::Throttled => (Icon::Throttled, slowed("Slowed down", status)),
        State::Stopped => (Icon::Paused, slowed("Stopped", status)),
        State::Paused => (Icon::Paused, status.reason.clone()),
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
    use rstest::rstest;

    #[rstest]
    #[case(State::NotJoined, "", Icon::NotJoined, "Not joined to a grid yet", Action::Pause)]
    #[case(State::Connecting, "", Icon::Connecting, "Connecting to Example", Action::Pause)]
    #[case(State::Idle, "Nothing to compute", Icon::Idle, "Ready, nothing to do", Action::Pause)]
    #[case(State::Working, "", Icon::Working, "Working: 12 layers of tiny", Action::Pause)]
    #[case(
        State::Throttled,
        "You are using the computer",
        Icon::Throttled,
        "Slowed down: you are using the computer",
        Action::Pause
    )]
    #[case(
        State::Stopped,
        "Outside the hours you lend",
        Icon::Paused,
        "Stopped: outside the hours you lend",
        Action::Pause
    )]
    #[case(State::Paused, "Paused until 14:30", Icon::Paused, "Paused until 14:30", Action::Resume)]
    #[case(State::Paused, "Paused until you resume", Icon::Paused, "Paused until you resume", Action::Resume)]
    fn a_worker_that_answers(
        #[case] state: State,
        #[case] reason: &str,
        #[case] icon: Icon,
        #[case] line: &str,
        #[case] action: Action,
    ) {
        let mut status = status(state, reason);
        status.stages = vec![stage("tiny", [0, 12])];
        let view = view(&app(running(), Some(status)));
        assert_eq!(view, View { icon, line: line.into(), action, enabled: true });
    }

    #[rstest]
    #[case::starting(Process::Starting, Icon::Connecting, "Starting")]
    #[case::not_heard_yet(running(), Icon::Connecting, "Starting")]
    #[case::died(
        Process::Waiting { died: "it was killed".into(), retry_in_ms: 500, times: 1 },
        Icon::Error,
        "The engine stopped: it was killed"
    )]
    #[case::held(Process::Held { why: "Choose where the key is kept".into() }, Icon::Error, "Choose where the key is kept")]
    fn without_a_worker_nothing_can_be_paused(#[case] worker: Process, #[case] icon: Icon, #[case] line: &str) {
        let view = view(&app(worker, None));
        assert_eq!(view, View { icon, line: line.into(), action: Action::Pause, enabled: false });
    }

    #[test]
    fn a_key_store_that_is_being_opened_is_no_error() {
        let mut state = app(Process::Held { why: "Waiting for the key store".into() }, None);
        state.key_store = KeyStore::Opening;
        assert_eq!(view(&state).icon, Icon::Connecting);
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
