mod stream;

use crate::periodic::Periodic;
use std::{
    env,
    time::{Duration, Instant},
};
use stream::{DeadlineStream, connect};
use x11rb::{
    connection::Connection,
    errors::ReplyError,
    protocol::{
        screensaver::ConnectionExt as _,
        xproto::{Atom, AtomEnum, ConnectionExt as _, Window},
    },
    rust_connection::RustConnection,
};

/// How often a missing or hanging server is tried again: rarely enough to cost nothing.
const RETRY: Duration = Duration::from_secs(5);
/// Three to five round trips of some 20 µs each.
const FULL_SCREEN_INTERVAL: Duration = Duration::from_millis(500);

/// The X server named by `DISPLAY`.
pub(super) struct X11 {
    display: Option<String>,
    client: Option<Client>,
    failed: Option<(Instant, String)>,
    full_screen: Periodic<Result<bool, String>>,
}

/// An open connection.
struct Client {
    connection: RustConnection<DeadlineStream>,
    root: Window,
    active_window: Atom,
    state: Atom,
    state_full_screen: Atom,
}

impl X11 {
    pub(super) fn new() -> Self {
        let display = env::var("DISPLAY").ok().filter(|display| !display.is_empty());
        Self { display, client: None, failed: None, full_screen: Periodic::new(FULL_SCREEN_INTERVAL) }
    }

    /// Whether the environment names a server.
    pub(super) fn is_named(&self) -> bool {
        self.display.is_some()
    }

    /// Time since the last key or pointer event that the server saw.
    pub(super) fn idle(&mut self, now: Instant) -> Result<Duration, String> {
        self.ask(now, Client::idle)
    }

    /// Whether the window in front covers the screen.
    pub(super) fn full_screen(&mut self, now: Instant) -> Result<bool, String> {
        let mut covers = std::mem::replace(&mut self.full_screen, Periodic::new(FULL_SCREEN_INTERVAL));
        let covered = covers.get(now, || self.ask(now, Client::full_screen));
        self.full_screen = covers;
        covered
    }

    fn ask<T>(&mut self, now: Instant, question: impl FnOnce(&Client) -> Result<T, ReplyError>) -> Result<T, String> {
        let display = self.display.as_deref().ok_or("no X11 display is named")?;
        if let Some((at, reason)) = &self.failed
            && now.saturating_duration_since(*at) < RETRY
        {
            return Err(reason.clone());
        }
        // Dropped after a failure: a late answer would be taken for the answer to a later question.
        let answer = match self.client.take().map_or_else(|| Client::new(display), Ok) {
            Ok(client) => question(&client).map(|answer| (answer, client)).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        match answer {
            Ok((answer, client)) => {
                (self.client, self.failed) = (Some(client), None);
                Ok(answer)
            }
            Err(reason) => {
                let reason = format!("X server {display}: {reason}");
                self.failed = Some((now, reason.clone()));
                Err(reason)
            }
        }
    }
}

impl Client {
    fn new(display: &str) -> Result<Self, String> {
        let (connection, screen) = connect(display)?;
        let root = connection.setup().roots.get(screen).ok_or("the screen does not exist")?.root;
        let atoms = || -> Result<_, ReplyError> {
            let version = connection.screensaver_query_version(1, 0)?;
            let ask = |name: &str| connection.intern_atom(false, name.as_bytes());
            let (active, state, full) =
                (ask("_NET_ACTIVE_WINDOW")?, ask("_NET_WM_STATE")?, ask("_NET_WM_STATE_FULLSCREEN")?);
            version.reply()?;
            Ok((active.reply()?.atom, state.reply()?.atom, full.reply()?.atom))
        };
        let (active_window, state, state_full_screen) = atoms().map_err(|error| error.to_string())?;
        Ok(Self { connection, root, active_window, state, state_full_screen })
    }

    fn idle(&self) -> Result<Duration, ReplyError> {
        let info = self.connection.screensaver_query_info(self.root)?.reply()?;
        Ok(Duration::from_millis(info.ms_since_user_input.into()))
    }

    /// If a window manager says which window is in front, that window's state decides. Otherwise (no manager, or a game
    /// that bypasses it) a window that has the keyboard focus and is as large as the screen counts.
    fn full_screen(&self) -> Result<bool, ReplyError> {
        let active =
            self.connection.get_property(false, self.root, self.active_window, AtomEnum::WINDOW, 0, 1)?.reply()?;
        match active.value32().and_then(|mut windows| windows.next()).filter(|window| *window != x11rb::NONE) {
            Some(window) => gone(self.has_full_screen_state(window)),
            None => gone(self.focus_covers_screen()),
        }
    }

    fn has_full_screen_state(&self, window: Window) -> Result<bool, ReplyError> {
        // Windows have a handful of states.
        let states = self.connection.get_property(false, window, self.state, AtomEnum::ATOM, 0, 32)?.reply()?;
        Ok(states.value32().is_some_and(|mut states| states.any(|state| state == self.state_full_screen)))
    }

    fn focus_covers_screen(&self) -> Result<bool, ReplyError> {
        let focus = self.connection.get_input_focus()?.reply()?.focus;
        // No focus, or focus follows the pointer.
        if focus <= 1 || focus == self.root {
            return Ok(false);
        }
        let (window, root) = (self.connection.get_geometry(focus)?, self.connection.get_geometry(self.root)?);
        let (window, root) = (window.reply()?, root.reply()?);
        Ok(window.width >= root.width && window.height >= root.height)
    }
}

/// A window that disappeared between two questions covers nothing.
fn gone(answer: Result<bool, ReplyError>) -> Result<bool, ReplyError> {
    match answer {
        Err(ReplyError::X11Error(_)) => Ok(false),
        other => other,
    }
}
