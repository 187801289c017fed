use jiff::Zoned;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Moves the cursor to the upper left corner.
const HOME: &str = "\x1b[H";
/// Clears the rest of the line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears the screen below.
const CLEAR_BELOW: &str = "\x1b[J";

/// A status in each of its forms.
pub(super) struct View<'a, T> {
    /// For scripts.
    pub(super) json: &'a T,
    /// For people, on several lines.
    pub(super) text: String,
    /// For people, on one.
    pub(super) line: String,
}

/// How a status is shown on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Screen {
    /// As JSON, indented.
    Json,
    /// As JSON, one object a line.
    JsonLines,
    /// As text, one after another.
    Text,
    /// As one line of text with the time.
    Lines,
    /// As text that replaces the one before.
    Repainted,
}

impl Screen {
    pub(super) fn new(json: bool, follow: bool) -> Self {
        match (json, follow) {
            (true, false) => Self::Json,
            (true, true) => Self::JsonLines,
            (false, false) => Self::Text,
            (false, true) if io::stdout().is_terminal() => Self::Repainted,
            (false, true) => Self::Lines,
        }
    }

    /// Shows a status. Returns `false` if the output is closed, as by `| head`.
    pub(super) fn show<T: Serialize>(self, view: &View<'_, T>) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        match self.write(&mut out, view).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write<T: Serialize>(self, out: &mut impl Write, view: &View<'_, T>) -> io::Result<()> {
        match self {
            Self::Json => writeln!(out, "{}", serde_json::to_string_pretty(view.json)?),
            Self::JsonLines => writeln!(out, "{}", serde_json::to_string(view.json)?),
            Self::Text => write!(out, "{}", plain(&view.text)),
            Self::Lines => writeln!(out, "{} {}", Zoned::now().strftime("%H:%M:%S"), plain(&view.line)),
            Self::Repainted => {
                let text = plain(&view.text).replace('\n', &format!("{CLEAR_LINE}\n"));
                write!(out, "{HOME}{text}{CLEAR_BELOW}")
            }
        }
    }
}

/// The text without control characters, because names come from other machines.
fn plain(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(screen: Screen) -> String {
        let view = View { json: &[1, 2], text: "a\x1b[31m\nb\n".into(), line: "c\x07".into() };
        let mut out = Vec::new();
        screen.write(&mut out, &view).expect("memory can be written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_state_is_shown_as_was_asked_for_and_never_obeyed() {
        assert_eq!(shown(Screen::new(true, false)), "[\n  1,\n  2\n]\n");
        assert_eq!(shown(Screen::new(true, true)), "[1,2]\n");
        assert_eq!(shown(Screen::new(false, false)), "a[31m\nb\n");
        assert_eq!(shown(Screen::Repainted), "\x1b[Ha[31m\x1b[K\nb\x1b[K\n\x1b[J");
        let line = shown(Screen::Lines);
        assert!(line.ends_with(" c\n") && line.len() == "12:34:56 c\n".len(), "{line:?}");
    }
}
