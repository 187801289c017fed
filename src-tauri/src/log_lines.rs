//! The logs for the page: the newest lines that match a filter, redacted.

mod line;
mod tail;

use crate::{folders::Folders, logging, redact::Redactor};
use gogrid_panel_api::{LogFilter, LogLine, RequestError};
use line::{Level, lines};
use std::path::Path;

/// The most lines that the page gets, more than anybody reads.
const NEWEST: usize = 500;
/// The prefix of the worker's log files.
const WORKER: &str = "worker";

/// The newest lines that match, oldest first.
///
/// # Errors
/// When the filter names an unknown log or level.
pub(crate) fn read(folders: &Folders, filter: &LogFilter, redactor: &Redactor) -> Result<Vec<LogLine>, RequestError> {
    let (folder, name): (&Path, &str) = match filter.of.as_str() {
        "app" => (&folders.logs, logging::NAME),
        "worker" => (&folders.worker_logs, WORKER),
        other => return Err(RequestError::new(Some("of"), format!("`{other}` is no log: `app` or `worker`"))),
    };
    let level = Level::of(&filter.level.to_uppercase()).ok_or_else(|| {
        RequestError::new(Some("level"), format!("`{}` is no level: `error`, `warn`, `info` or `debug`", filter.level))
    })?;
    let text = filter.text.to_lowercase();
    Ok(newest(folder, name, NEWEST, redactor, |line, is| {
        is <= level && (text.is_empty() || line.text.to_lowercase().contains(&text))
    }))
}

/// The last lines of both logs, for a report.
pub(crate) fn last(folders: &Folders, most: usize, redactor: &Redactor) -> [(&'static str, Vec<LogLine>); 2] {
    let all = |folder: &Path, name| newest(folder, name, most, redactor, |_, _| true);
    [("app", all(&folders.logs, logging::NAME)), ("worker", all(&folders.worker_logs, WORKER))]
}

fn newest(
    folder: &Path,
    name: &str,
    most: usize,
    redactor: &Redactor,
    fits: impl Fn(&LogLine, Level) -> bool,
) -> Vec<LogLine> {
    let mut found: Vec<LogLine> = Vec::new();
    for text in tail::newest_first(folder, name) {
        let fit = lines(&text, redactor).into_iter().filter(|(line, level)| fits(line, *level)).map(|(line, _)| line);
        let mut older: Vec<_> = fit.collect();
        let room = most - found.len();
        older.drain(..older.len().saturating_sub(room));
        older.append(&mut found);
        found = older;
        if found.len() == most {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn logs() -> (TempDir, Folders) {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::make(folder.path()).unwrap();
        fs::create_dir_all(&folders.worker_logs).unwrap();
        let write = |name: &str, text: &str| fs::write(folders.logs.join(name), text).unwrap();
        write("app.2026-11-24.log", "2026-11-24T10:00:00.1Z  INFO a: first\n2026-11-24T10:00:01.1Z  WARN a: second\n");
        write("app.2026-11-25.log", "2026-11-25T10:00:00.1Z DEBUG a: third\n2026-11-25T10:00:01.1Z ERROR a: fourth\n");
        write("other.2026-11-25.log", "2026-11-25T10:00:00.1Z ERROR a: of something else\n");
        (folder, folders)
    }

    fn texts(folders: &Folders, of: &str, level: &str, text: &str) -> Vec<String> {
        let filter = LogFilter { text: text.into(), level: level.into(), of: of.into() };
        let lines = read(folders, &filter, &Redactor::default()).unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_come_oldest_first_over_all_days() {
        let (_folder, folders) = logs();
        assert_eq!(texts(&folders, "app", "debug", ""), ["a: first", "a: second", "a: third", "a: fourth"]);
        assert_eq!(texts(&folders, "app", "warn", ""), ["a: second", "a: fourth"]);
        assert_eq!(texts(&folders, "app", "debug", "FIRST"), ["a: first"]);
        assert!(texts(&folders, "worker", "debug", "").is_empty());
    }

    #[test]
    fn only_the_newest_are_kept() {
        let (_folder, folders) = logs();
        let lines = newest(&folders.logs, "app", 3, &Redactor::default(), |_, _| true);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a: second", "a: third", "a: fourth"]);
    }

    #[test]
    fn a_filter_that_is_none_is_refused_by_its_field() {
        let (_folder, folders) = logs();
        for (of, level, field) in [("system", "info", "of"), ("../x", "info", "of"), ("app", "loud", "level")] {
            let filter = LogFilter { text: String::new(), level: level.into(), of: of.into() };
            assert_eq!(read(&folders, &filter, &Redactor::default()).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
