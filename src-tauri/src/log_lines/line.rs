use crate::redact::Redactor;
use gogrid_panel_api::LogLine;

/// How severe a line is, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// The level that a log writes like this.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "ERROR" => Self::Error,
            "WARN" => Self::Warn,
            "INFO" => Self::Info,
            "DEBUG" => Self::Debug,
            "TRACE" => Self::Trace,
            _ => return None,
        })
    }
}

/// The lines of a log: `TIME LEVEL REST`. A line without these continues the message of the line before it, and has its
/// level.
pub(super) fn lines(text: &str, redactor: &Redactor) -> Vec<(LogLine, Level)> {
    let mut before = (String::new(), String::new(), Level::Info);
    text.lines()
        .map(|line| {
            let text = match parts(line) {
                Some((at, word, level, rest)) => {
                    before = (at.to_owned(), word.to_owned(), level);
                    rest
                }
                None => line,
            };
            let (at, level, severity) = before.clone();
            (LogLine { at, level, text: redactor.redact(text) }, severity)
        })
        .collect()
}

fn parts(line: &str) -> Option<(&str, &str, Level, &str)> {
    let (at, rest) = line.split_once(' ')?;
    let (word, rest) = rest.trim_start().split_once(' ')?;
    let is_time = at.len() >= 20 && at.ends_with('Z') && at.as_bytes().get(10) == Some(&b'T');
    is_time.then_some(())?;
    Some((at, word, Level::of(word)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_level_and_text_are_told_apart() {
        let text = "2026-11-25T04:30:00.123456Z  INFO gogrid_desktop: started\n\
                    2026-11-25T04:30:01.123456Z ERROR gogrid_desktop: panicked at src/x.rs:\nindex out of bounds\n";
        let lines = lines(text, &Redactor::default());
        let told: Vec<_> = lines.iter().map(|(line, _)| (&line.at[11..19], &*line.level, &*line.text)).collect();
        assert_eq!(
            told,
            [
                ("04:30:00", "INFO", "gogrid_desktop: started"),
                ("04:30:01", "ERROR", "gogrid_desktop: panicked at src/x.rs:"),
                ("04:30:01", "ERROR", "index out of bounds"),
            ]
        );
        assert_eq!(lines[2].1, Level::Error);
    }

    #[test]
    fn what_is_no_line_of_a_log_is_kept_as_text() {
        for text in ["", "x", "hello world INFO", "2026 INFO x", "ä ö ü"] {
            let lines = lines(text, &Redactor::default());
            assert!(lines.iter().all(|(line, _)| line.at.is_empty() && line.text == text), "{lines:?}");
        }
    }

    #[test]
    fn secrets_are_cut_out() {
        let text = format!("2026-11-25T04:30:00.123456Z  INFO a: key {}", "0a".repeat(32));
        assert_eq!(lines(&text, &Redactor::default())[0].0.text, "a: key [key]");
    }
}
