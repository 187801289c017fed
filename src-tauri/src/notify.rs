//! Notifications, only of what needs the donor. Each kind can be turned off.

mod change_detector;

use crate::{app_state::AppStateStore, worker::WorkerCommands};
use change_detector::{Change, ChangeDetector};
use gogrid_panel_api::{Event, EventKind, Notify, Request, Response};
use tauri::{AppHandle, Wry};
use tauri_plugin_notification::NotificationExt;

/// A message that needs the donor.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Notification {
    Joined { grid: String },
    Revoked { reason: String },
    GpuLost { why: String },
}

/// Follows the app's state and notifies, until the app ends.
pub(crate) async fn follow(app: AppHandle<Wry>, app_state: AppStateStore, commands: WorkerCommands) {
    let mut states = app_state.subscribe();
    let mut changes = ChangeDetector::default();
    while states.changed().await.is_ok() {
        let observed = changes.observe(&states.borrow_and_update());
        for change in observed {
            let Some(notification) = notification(change, &commands).await else { continue };
            if app_state.read(|state| wanted(&notification, &state.settings.notify)) {
                show(&app, &notification);
            }
        }
    }
}

/// The notification of a change, if it needs one. The worker's record says whether the machine left or was revoked.
async fn notification(change: Change, commands: &WorkerCommands) -> Option<Notification> {
    match change {
        Change::Joined { grid } => Some(Notification::Joined { grid }),
        Change::GpuLost { why } => Some(Notification::GpuLost { why }),
        Change::Outside => match commands.ask(Request::Events { after_ms: None }).await {
            Ok(Response::Events(events)) => revoked(&events),
            _ => None,
        },
    }
}

/// The notification of a revocation, if that was the latest change of membership.
fn revoked(events: &[Event]) -> Option<Notification> {
    events.iter().rev().find_map(|event| match &event.what {
        EventKind::Revoked { reason } => Some(Some(Notification::Revoked { reason: reason.clone() })),
        EventKind::Left | EventKind::Joined => Some(None),
        _ => None,
    })?
}

const fn wanted(notification: &Notification, notify: &Notify) -> bool {
    match notification {
        Notification::Joined { .. } => notify.joined,
        Notification::Revoked { .. } => notify.revoked,
        Notification::GpuLost { .. } => notify.gpu_lost,
    }
}

fn title_and_body(notification: &Notification) -> (String, String) {
    match notification {
        Notification::Joined { grid } if grid.is_empty() => ("This computer joined a grid".into(), QUIET.into()),
        Notification::Joined { grid } => (format!("This computer joined {grid}"), QUIET.into()),
        Notification::Revoked { reason } => {
            ("The grid does not let this computer in any more".into(), sentence(reason))
        }
        Notification::GpuLost { why } => ("The graphics card cannot be used any more".into(), sentence(why)),
    }
}

const QUIET: &str = "It helps when you do not need it. Pause it in the tray whenever you like.";

/// The text as a sentence, with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).chain(['.']).collect(),
        None => String::new(),
    }
}

fn show(app: &AppHandle<Wry>, notification: &Notification) {
    let (title, body) = title_and_body(notification);
    tracing::info!("notification: {title}");
    if let Err(error) = app.notification().builder().title(title).body(body).show() {
        tracing::warn!("no notification can be shown: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn event(what: EventKind) -> Event {
        Event { at_ms: 0, what }
    }

    fn revocation() -> EventKind {
        EventKind::Revoked { reason: "not a member".into() }
    }

    #[rstest]
    #[case::revoked(vec![EventKind::Joined, EventKind::Connected, revocation(), EventKind::Disconnected], true)]
    #[case::left(vec![revocation(), EventKind::Joined, EventKind::Left], false)]
    #[case::nothing_known(vec![EventKind::Connected], false)]
    fn only_a_revocation_is_told(#[case] happenings: Vec<EventKind>, #[case] told: bool) {
        let events: Vec<_> = happenings.into_iter().map(event).collect();
        assert_eq!(revoked(&events).is_some(), told);
    }

    #[test]
    fn each_kind_can_be_turned_off() {
        let all = [
            Notification::Joined { grid: String::new() },
            Notification::Revoked { reason: String::new() },
            Notification::GpuLost { why: String::new() },
        ];
        let on = Notify::default();
        let off = [
            Notify { joined: false, ..Notify::default() },
            Notify { revoked: false, ..Notify::default() },
            Notify { gpu_lost: false, ..Notify::default() },
        ];
        for (number, notification) in all.iter().enumerate() {
            assert!(wanted(notification, &on));
            for (other, off) in off.iter().enumerate() {
                assert_eq!(wanted(notification, off), number != other);
            }
        }
    }

    #[test]
    fn the_words_are_sentences() {
        let (title, body) = title_and_body(&Notification::Revoked { reason: "this machine is not a member".into() });
        assert_eq!(title, "The grid does not let this computer in any more");
        assert_eq!(body, "This machine is not a member.");
        assert_eq!(title_and_body(&Notification::Joined { grid: "Example".into() }).0, "This computer joined Example");
        assert_eq!(sentence(" "), "");
    }
}
