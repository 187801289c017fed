use super::logind::DesktopSession;
use gogrid_limits::Signal;
use std::time::Duration;

/// Input that is younger than this shows that somebody is there, wherever it was seen.
const RECENT: Duration = Duration::from_secs(600);

/// What the sources say about the user's input. The newest input counts. If a desktop is on a screen and no source sees its
/// input, the answer is unknown, however old the input of the other sources.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// Whether this process was started within a Wayland session: X11 then sees only some of the input.
    pub(super) wayland: bool,
    /// Whether the environment names a display.
    pub(super) display_named: bool,
    pub(super) x11: Result<Duration, String>,
    /// Absent if the desktop is not GNOME's.
    pub(super) mutter: Signal<Duration>,
    /// Desktops with a logged-in user, shown on a screen.
    pub(super) sessions: Result<Vec<DesktopSession>, String>,
    pub(super) terminals: Result<Duration, String>,
    /// Whether some X server runs.
    pub(super) x11_servers: bool,
    pub(super) since_boot: Duration,
    /// The user that this process runs as.
    pub(super) user: u32,
}

impl Evidence {
    /// The sources that gave an input time, or why they are not enough.
    pub(super) fn sources(&self) -> Result<Vec<&'static str>, String> {
        self.user_idle().into_result()?;
        let hinted = self.sessions.iter().flatten().any(|session| session.idle.is_some());
        let sources = [
            (self.x11.is_ok(), "X11 screen saver extension"),
            (self.mutter.known().is_some(), "GNOME (Mutter)"),
            (hinted, "login sessions (logind)"),
            (self.terminals.is_ok(), "terminals"),
        ];
        let known: Vec<_> = sources.into_iter().filter(|(known, _)| *known).map(|(_, source)| source).collect();
        Ok(if known.is_empty() { vec!["time since the start: nobody has logged in (logind)"] } else { known })
    }

    /// Whether the user's own desktop says when it was last used.
    pub(super) fn desktop_tells(&self) -> bool {
        let own_tells = if self.wayland { self.mutter.known().is_some() } else { self.x11.is_ok() };
        let hinted = |session: &DesktopSession| session.user == self.user && session.idle.is_some();
        own_tells || self.sessions.iter().flatten().any(hinted)
    }

    /// Time since the last input.
    pub(super) fn user_idle(&self) -> Signal<Duration> {
        let mutter = self.mutter.clone().into_result();
        let own_desktop = if self.wayland { &mutter } else { &self.x11 };
        let mut own_desktop_told = own_desktop.is_ok();
        let sources = [&self.x11, &mutter, &self.terminals];
        let mut known: Vec<_> = sources.into_iter().filter_map(|source| source.as_ref().ok()).copied().collect();
        for session in self.sessions.as_deref().unwrap_or_default() {
            let is_own = session.user == self.user;
            match session.idle {
                _ if is_own && own_desktop.is_ok() => {}
                Some(idle) => {
                    known.push(idle);
                    own_desktop_told |= is_own;
                }
                None if is_own && self.display_named => {}
                None => {
                    return Signal::unknown(format!(
                        "user {} has a desktop open that does not say when it was last used",
                        session.user
                    ));
                }
            }
        }
        if let Err(reason) = own_desktop
            && self.display_named
            && !own_desktop_told
        {
            return match known.into_iter().min() {
                _ if !self.wayland => Signal::Unknown(reason.clone()),
                Some(idle) if idle < RECENT => Signal::Known(idle),
                // GNOME tells it, even if not now.
                _ if self.mutter.why_absent().is_none() => Signal::Unknown(reason.clone()),
                // Of other desktops none does.
                _ => Signal::absent(format!("this Wayland desktop does not say when it was last used ({reason})")),
            };
        }
        match (&self.sessions, known.into_iter().min()) {
            (Err(reason), _) if !self.display_named && self.x11_servers => {
                Signal::unknown(format!("an X server runs, but this program was not told of it; {reason}"))
            }
            (_, Some(idle)) => Signal::Known(idle),
            // Nobody has logged in.
            (Ok(_), None) => Signal::Known(self.since_boot),
            (Err(reason), None) => Signal::unknown(
                sources
                    .into_iter()
                    .filter_map(|source| source.as_ref().err().map(String::as_str))
                    .chain([reason.as_str()])
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 1000;

    fn seconds(seconds: u64) -> Result<Duration, String> {
        Ok(Duration::from_secs(seconds))
    }

    fn nothing() -> Evidence {
        Evidence {
            wayland: false,
            display_named: false,
            x11: Err("no X11".into()),
            mutter: Signal::absent("no Mutter"),
            sessions: Err("no logind".into()),
            terminals: Err("no terminals".into()),
            x11_servers: false,
            since_boot: Duration::from_secs(99_999),
            user: ME,
        }
    }

    fn idle(evidence: &Evidence) -> Option<u64> {
        evidence.user_idle().known().map(Duration::as_secs)
    }

    #[test]
    fn without_any_source_all_reasons_are_told() {
        assert_eq!(nothing().user_idle(), Signal::unknown("no X11; no Mutter; no terminals; no logind"));
    }

    #[test]
    fn the_newest_input_counts() {
        let desktop = Evidence { display_named: true, x11: seconds(600), terminals: seconds(30), ..nothing() };
        assert_eq!(idle(&desktop), Some(30));
        assert_eq!(idle(&Evidence { terminals: seconds(900), ..desktop }), Some(600));
    }

    #[test]
    fn sources_are_those_that_told_something() {
        let desktop = Evidence { display_named: true, x11: seconds(600), terminals: seconds(30), ..nothing() };
        assert_eq!(desktop.sources().unwrap(), ["X11 screen saver extension", "terminals"]);
        let hinted = DesktopSession { user: ME, idle: Some(Duration::from_secs(700)) };
        let wayland = Evidence { wayland: true, display_named: true, sessions: Ok(vec![hinted]), ..nothing() };
        assert_eq!(wayland.sources().unwrap(), ["login sessions (logind)"]);
        let empty = Evidence { sessions: Ok(vec![]), ..nothing() };
        assert_eq!(empty.sources().unwrap(), ["time since the start: nobody has logged in (logind)"]);
        assert_eq!(nothing().sources(), Err("no X11; no Mutter; no terminals; no logind".into()));
    }

    #[test]
    fn a_display_that_does_not_answer_is_unknown_however_long_the_terminals_rest() {
        let desktop = Evidence { display_named: true, terminals: seconds(9000), ..nothing() };
        assert_eq!(desktop.user_idle(), Signal::unknown("no X11"));
        // X11 sees only part of what happens on Wayland.
        let wayland = Evidence { wayland: true, x11: seconds(9000), ..desktop };
        let reason = "this Wayland desktop does not say when it was last used (no Mutter)";
        assert_eq!(wayland.user_idle(), Signal::absent(reason));
        assert_eq!(idle(&Evidence { mutter: Signal::Known(Duration::from_secs(5)), ..wayland.clone() }), Some(5));
        // A GNOME that does not answer now has told it before, or will.
        let silent = Evidence { mutter: Signal::unknown("Mutter is silent"), ..wayland.clone() };
        assert_eq!(silent.user_idle(), Signal::unknown("Mutter is silent"));
        // A terminal in use shows that somebody is there; one at rest says nothing of the desktop.
        let typing = Evidence { terminals: seconds(30), ..wayland.clone() };
        assert_eq!((idle(&typing), typing.desktop_tells()), (Some(30), false));
        // logind's word is enough.
        let hinted = DesktopSession { user: ME, idle: Some(Duration::from_secs(700)) };
        assert_eq!(idle(&Evidence { sessions: Ok(vec![hinted]), ..wayland }), Some(700));
    }

    #[test]
    fn a_service_sees_desktops_through_logind_alone() {
        let service = Evidence { terminals: seconds(9000), sessions: Ok(vec![]), ..nothing() };
        assert_eq!(idle(&service), Some(9000));
        assert_eq!(idle(&Evidence { terminals: Err("none".into()), ..service.clone() }), Some(99_999));
        let open = Evidence { sessions: Ok(vec![DesktopSession { user: ME, idle: None }]), ..service };
        assert_eq!(idle(&open), None);
    }

    #[test]
    fn another_users_desktop_counts_beside_ones_own() {
        let mine = DesktopSession { user: ME, idle: None };
        let other = |idle| DesktopSession { user: 1001, idle };
        let desktop = Evidence { display_named: true, x11: seconds(600), ..nothing() };
        let with = |sessions| idle(&Evidence { sessions: Ok(sessions), ..desktop.clone() });
        assert_eq!(with(vec![mine.clone()]), Some(600));
        assert_eq!(with(vec![mine.clone(), other(Some(Duration::from_secs(400)))]), Some(400));
        assert_eq!(with(vec![mine, other(None)]), None);
    }

    #[test]
    fn an_x_server_that_nobody_told_of_may_have_a_user() {
        let blind = Evidence { terminals: seconds(9000), x11_servers: true, ..nothing() };
        assert_eq!(idle(&blind), None);
        assert_eq!(idle(&Evidence { sessions: Ok(vec![]), ..blind }), Some(9000));
    }
}
