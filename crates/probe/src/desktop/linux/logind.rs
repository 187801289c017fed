use super::bus::{Bus, Kind};
use crate::periodic::Periodic;
use rustbus::wire::{ObjectPath, unmarshal::traits::Variant};
use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// People take seconds to log in, switch users and lock screens; an update costs a call for each session.
const INTERVAL: Duration = Duration::from_secs(5);
const SERVICE: &str = "org.freedesktop.login1";

/// A desktop with a logged-in user, shown on a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DesktopSession {
    pub(super) user: u32,
    /// Time since the desktop reported that it is idle; `None` if it did not. Many never do.
    pub(super) idle: Option<Duration>,
}

/// systemd's login manager (or elogind): the logged-in users, their sessions, and the idle desktops.
pub(super) struct Logind {
    bus: Bus,
    desktops: Periodic<Result<Vec<DesktopSession>, String>>,
}

impl Logind {
    pub(super) fn new() -> Self {
        Self { bus: Bus::new(Kind::System), desktops: Periodic::new(INTERVAL) }
    }

    /// The desktops that are on a screen.
    pub(super) fn desktops(&mut self, now: Instant) -> Result<Vec<DesktopSession>, String> {
        let bus = &mut self.bus;
        self.desktops.get(now, || {
            let list = [SERVICE, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "ListSessions"];
            let sessions = bus.call(now, list, &[], |answer| answer.body.parser().get::<Vec<Listed>>().ok())?;
            let mut desktops = vec![];
            for Listed { user, path, .. } in sessions {
                let get = [SERVICE, path.as_ref(), "org.freedesktop.DBus.Properties", "GetAll"];
                let session = bus.call(now, get, &["org.freedesktop.login1.Session"], |answer| {
                    Some(desktop(user, &answer.body.parser().get().ok()?))
                });
                match session {
                    Ok(session) => desktops.extend(session),
                    // Perhaps the session ended between the two calls.
                    Err(error) => {
                        let reason = String::from(error);
                        if !reason.contains("NoSuchSession") && !reason.contains("UnknownObject") {
                            return Err(reason);
                        }
                        bus.clear_failure();
                    }
                }
            }
            Ok(desktops)
        })
    }
}

/// An entry of the list of sessions; the order of its fields matters.
#[derive(rustbus::Signature, rustbus::Unmarshal)]
struct Listed {
    _id: String,
    user: u32,
    _name: String,
    _seat: String,
    path: ObjectPath<String>,
}

/// The session, if it is a desktop of a user (not a login screen) and on a screen.
fn desktop(user: u32, properties: &HashMap<&str, Variant>) -> Option<DesktopSession> {
    let text = |name: &str| properties.get(name)?.get::<String>().ok();
    let is_desktop = matches!(text("Type")?.as_str(), "x11" | "wayland" | "mir");
    if !is_desktop || text("Class")? != "user" || text("State")? != "active" {
        return None;
    }
    let hinted = properties.get("IdleHint")?.get::<bool>().ok()?;
    let since = Duration::from_micros(properties.get("IdleSinceHint")?.get::<u64>().ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(DesktopSession { user, idle: hinted.then(|| now.saturating_sub(since)) })
}
