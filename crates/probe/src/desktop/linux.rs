mod bus;
mod evidence;
mod logind;
mod mutter;
mod terminals;
mod x11;

use crate::periodic::Periodic;
use evidence::Evidence;
use gogrid_limits::Signal;
use logind::Logind;
use mutter::Mutter;
use rustix::time::{ClockId, clock_gettime};
use std::{
    env, fs,
    time::{Duration, Instant},
};
use terminals::Terminals;
use x11::X11;

/// A server starts in seconds.
const X11_SERVERS_INTERVAL: Duration = Duration::from_secs(5);

/// Linux has many desktops and no common interface, so every source is asked.
pub(crate) struct Desktop {
    /// Whether this process was started within a Wayland session.
    wayland: bool,
    x11: X11,
    mutter: Mutter,
    logind: Logind,
    terminals: Terminals,
    x11_servers: Periodic<bool>,
    /// Whether the user's desktop ever said when it was last used.
    idle_was_known: bool,
}

impl Desktop {
    pub(crate) fn new() -> Self {
        Self {
            wayland: env::var_os("WAYLAND_DISPLAY").is_some_and(|display| !display.is_empty()),
            x11: X11::new(),
            mutter: Mutter::new(),
            logind: Logind::new(),
            terminals: Terminals::new(),
            x11_servers: Periodic::new(X11_SERVERS_INTERVAL),
            idle_was_known: false,
        }
    }

    /// Time since the last key or pointer event, from the source that saw the newest.
    pub(crate) fn user_idle(&mut self, now: Instant) -> Signal<Duration> {
        let evidence = self.evidence(now);
        self.idle_was_known |= evidence.desktop_tells();
        match evidence.user_idle() {
            // A desktop that has told it can tell it.
            Signal::Absent(reason) if self.idle_was_known => Signal::Unknown(reason),
            idle => idle,
        }
    }

    /// The sources of input times, or why none is reliable.
    pub(crate) fn user_idle_source(&mut self, now: Instant) -> Result<String, String> {
        self.evidence(now).sources().map(|sources| sources.join(", "))
    }

    fn evidence(&mut self, now: Instant) -> Evidence {
        let boot = clock_gettime(ClockId::Boottime);
        Evidence {
            wayland: self.wayland,
            display_named: self.wayland || self.x11.is_named(),
            x11: self.x11.idle(now),
            mutter: self.mutter.idle(now),
            sessions: self.logind.desktops(now),
            terminals: self.terminals.idle(now),
            x11_servers: self.x11_servers.get(now, x11_servers),
            since_boot: Duration::from_secs(boot.tv_sec.unsigned_abs()),
            user: rustix::process::getuid().as_raw(),
        }
    }

    /// Whether the window in front covers the screen.
    pub(crate) fn full_screen(&mut self, now: Instant) -> Signal<bool> {
        self.covered(now).map(|(covered, _)| covered)
    }

    /// The source of window states, or why there is none.
    pub(crate) fn full_screen_source(&mut self, now: Instant) -> Result<String, String> {
        self.covered(now).into_result().map(|(_, source)| source.into())
    }

    /// Whether the window in front covers the screen, and the source.
    fn covered(&mut self, now: Instant) -> Signal<(bool, &'static str)> {
        const X11_WINDOWS: &str = "X11's window in front";
        match (self.wayland, self.x11.is_named().then(|| self.x11.full_screen(now))) {
            (false, Some(Ok(covered))) => return Signal::Known((covered, X11_WINDOWS)),
            (false, Some(Err(reason))) => return Signal::Unknown(reason),
            // Games and players mostly run in Xwayland. A yes from it is reliable, a no is not.
            (true, Some(Ok(true))) => return Signal::Known((true, X11_WINDOWS)),
            (true, _) => return Signal::absent("Wayland does not show other programs' windows"),
            (false, None) => {}
        }
        match self.logind.desktops(now) {
            Ok(desktops) if desktops.is_empty() => {
                Signal::Known((false, "login sessions (logind): no desktop is open"))
            }
            Ok(_) => Signal::unknown("a desktop is open, and this program was started outside it"),
            Err(_) if !self.x11_servers.get(now, x11_servers) => Signal::Known((false, "no display runs")),
            Err(reason) => Signal::Unknown(reason),
        }
    }
}

/// Whether any X server runs, ours or not.
fn x11_servers() -> bool {
    fs::read_dir("/tmp/.X11-unix").is_ok_and(|mut sockets| sockets.next().is_some())
}
