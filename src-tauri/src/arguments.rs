//! What the app is started with.

use crate::join_link::{LinkError, OfferedCode};

/// Starts into the tray, without a window: what the entry for the login does.
pub(crate) const BACKGROUND: &str = "--background";

/// The arguments, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Whether to show the window.
    pub(crate) window: bool,
    /// What a link offers, or what is wrong with it.
    pub(crate) link: Option<Result<OfferedCode, LinkError>>,
}

impl Arguments {
    /// Reads them; the first is the program. The system passes a link as an argument of its own. What is neither is
    /// skipped: a start must not fail over an argument of a desktop that we do not know.
    pub(crate) fn read<T: AsRef<str>>(arguments: impl IntoIterator<Item = T>) -> Self {
        let mut read = Self { window: true, link: None };
        for argument in arguments.into_iter().skip(1) {
            match argument.as_ref() {
                BACKGROUND => read.window = false,
                link if link.starts_with("gogrid:") => read.link = Some(OfferedCode::of_link(link)),
                _ => {}
            }
        }
        // Who opens a link wants to see what comes of it.
        read.window |= read.link.is_some();
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain(&["app"], true, None)]
    #[case::background(&["app", "--background"], false, None)]
    #[case::unknown(&["app", "--psn_0_12345", "x"], true, None)]
    #[case::link(&["app", "gogrid://join/abc"], true, Some(true))]
    #[case::link_in_background(&["app", "--background", "gogrid://join/abc"], true, Some(true))]
    #[case::wrong_link(&["app", "gogrid://fly/abc"], true, Some(false))]
    #[case::a_program_named_so(&["gogrid://join/abc"], true, None)]
    fn they_are_read(#[case] arguments: &[&str], #[case] window: bool, #[case] link: Option<bool>) {
        let read = Arguments::read(arguments);
        assert_eq!(read.window, window);
        assert_eq!(read.link.map(|link| link.is_ok()), link);
    }
}
