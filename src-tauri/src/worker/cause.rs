//! The cause of a worker's end, in words for the donor.

use std::process::ExitStatus;

/// What our programs print before a fatal error.
const FATAL: &str = "Error: ";
/// What a program of another version prints if it does not know an argument.
const USAGE: &str = "error: ";
/// What Rust prints at a panic.
const PANIC: &str = "panicked at ";
/// The longest text, in characters; more does not fit beside the icon.
const LONGEST: usize = 300;

/// The program's last error if it printed one, or else what the system says.
pub(super) fn cause(status: Option<ExitStatus>, last_lines: &[String]) -> String {
    let words = last_error(last_lines).unwrap_or_else(|| match status {
        Some(status) => ended(status),
        None => "it cannot be seen any more".to_owned(),
    });
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", words[..end].trim_end()),
        None => words,
    }
}

fn last_error(lines: &[String]) -> Option<String> {
    let at = lines
        .iter()
        .rposition(|line| [FATAL, USAGE].iter().any(|start| line.starts_with(start)) || line.contains(PANIC))?;
    let [first, rest @ ..] = &lines[at..] else { return None };
    if let Some(error) = first.strip_prefix(USAGE) {
        return Some(error.trim().to_owned());
    }
    match first.strip_prefix(FATAL) {
        // The error and its sources, one on each line.
        Some(error) => {
            let sources = rest.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && *line != "Caused by:");
            Some(std::iter::once(error.trim()).chain(sources).collect::<Vec<_>>().join(": "))
        }
        None => rest.first().map(|message| format!("it crashed: {}", message.trim())),
    }
}

#[cfg(unix)]
fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => "it was killed, by somebody or because memory ran out (signal 9)".to_owned(),
        Some(signal) => format!("it was ended by signal {signal}"),
        None => ended_with_code(status),
    }
}

#[cfg(windows)]
fn ended(status: ExitStatus) -> String {
    ended_with_code(status)
}

fn ended_with_code(status: ExitStatus) -> String {
    match status.code() {
        Some(0) => "it ended by itself".to_owned(),
        Some(code) => format!("it ended with code {code}"),
        None => "it ended".to_owned(),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::process::ExitStatusExt;

    /// Exit statuses as of `waitpid`: a signal in the low bits, a code above.
    const KILLED: i32 = 9;
    const CODE_1: i32 = 1 << 8;

    #[rstest]
    #[case::no_words(0, &[], "it ended by itself")]
    #[case::a_code(CODE_1, &["2026-11-25T04:00:00Z  INFO gogrid: hello"], "it ended with code 1")]
    #[case::killed(KILLED, &["…"], "it was killed, by somebody or because memory ran out (signal 9)")]
    #[case::aborted(6, &[], "it was ended by signal 6")]
    #[case::fatal(CODE_1, &["log", "Error: the folder is in use"], "the folder is in use")]
    #[case::with_sources(
        CODE_1,
        &["Error: no CUDA device", "", "Caused by:", "    the driver is too old"],
        "no CUDA device: the driver is too old"
    )]
    #[case::panic(
        101 << 8,
        &["thread 'main' panicked at src/main.rs:3:5:", "index out of bounds", "note: run with `RUST_BACKTRACE=1`"],
        "it crashed: index out of bounds"
    )]
    #[case::other_version(
        2 << 8,
        &["error: unexpected argument '--parent' found", "", "Usage: gogrid worker"],
        "unexpected argument '--parent' found"
    )]
    #[case::the_last_counts(CODE_1, &["Error: first", "Error: second"], "second")]
    fn it_is_told_in_words(#[case] status: i32, #[case] lines: &[&str], #[case] says: &str) {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(cause(Some(ExitStatus::from_raw(status)), &lines), says);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let told = cause(None, &[format!("Error: {}", "ä".repeat(LONGEST + 1))]);
        assert_eq!(told.chars().count(), LONGEST + 2);
        assert!(told.ends_with('…'));
    }
}
