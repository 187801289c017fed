use gogrid_limits::Signal;
use std::{
    io,
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    System::SystemInformation::GetTickCount,
    UI::{
        Input::KeyboardAndMouse::{GetLastInputInfo, LASTINPUTINFO},
        Shell::{QUNS_BUSY, QUNS_PRESENTATION_MODE, QUNS_RUNNING_D3D_FULL_SCREEN, SHQueryUserNotificationState},
    },
};

/// The desktop of the Windows session that this process runs in.
pub(crate) struct Desktop;

impl Desktop {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Time since the last key or pointer event of this session.
    pub(crate) fn user_idle(&mut self, _now: Instant) -> Signal<Duration> {
        let mut last = LASTINPUTINFO { cbSize: size_of::<LASTINPUTINFO>() as u32, dwTime: 0 };
        #[expect(unsafe_code, reason = "std has no input times; the place is ours and holds its size")]
        let known = unsafe { GetLastInputInfo(&raw mut last) } != 0;
        if !known {
            return Signal::unknown(format!("the last input cannot be read: {}", io::Error::last_os_error()));
        }
        #[expect(unsafe_code, reason = "the clock of the last input; takes nothing and cannot fail")]
        let now = unsafe { GetTickCount() };
        // The clock starts again after 49.7 days.
        Signal::Known(Duration::from_millis(now.wrapping_sub(last.dwTime).into()))
    }

    /// The source of input times, or why there is none.
    pub(crate) fn user_idle_source(&mut self, now: Instant) -> Result<String, String> {
        self.user_idle(now).into_result().map(|_| "Windows' time of the last input".into())
    }

    /// The source of window states, or why there is none.
    pub(crate) fn full_screen_source(&mut self, now: Instant) -> Result<String, String> {
        self.full_screen(now).into_result().map(|_| "Windows' notification state".into())
    }

    /// Whether the shell holds back its notifications because a program fills the screen.
    pub(crate) fn full_screen(&mut self, _now: Instant) -> Signal<bool> {
        let mut state = 0;
        #[expect(unsafe_code, reason = "std has no shell; the place is ours")]
        let result = unsafe { SHQueryUserNotificationState(&raw mut state) };
        match state {
            _ if result < 0 => Signal::unknown(format!("the shell does not answer (error {result:#x})")),
            QUNS_BUSY | QUNS_RUNNING_D3D_FULL_SCREEN | QUNS_PRESENTATION_MODE => Signal::Known(true),
            // A locked screen belongs to no program.
            _ => Signal::Known(false),
        }
    }
}
