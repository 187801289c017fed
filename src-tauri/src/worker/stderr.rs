use std::collections::VecDeque;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    task::JoinHandle,
    time::timeout,
};

/// The lines that are kept, more than an error with its sources or a panic has.
const LINES: usize = 40;
/// The longest line, in bytes; a longer one is split.
const MAX_LINE: u64 = 4096;
/// The deadline for the last lines after a program has ended. They are in the pipe already.
const LAST_LINES_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

/// The last lines of a program's standard error. It is read all the time, so that the program never blocks on the pipe.
#[derive(Debug)]
pub(super) struct StderrTail(JoinHandle<Vec<String>>);

impl StderrTail {
    pub(super) fn of(stderr: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self(tokio::spawn(read(stderr)))
    }

    /// The last lines, after the program has ended. Does not wait for a child of the program that still writes.
    pub(super) async fn lines(mut self) -> Vec<String> {
        match timeout(LAST_LINES_WITHIN, &mut self.0).await {
            Ok(lines) => lines.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

impl Drop for StderrTail {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(stderr: impl AsyncRead + Send + Unpin) -> Vec<String> {
    let mut stderr = BufReader::new(stderr);
    let mut kept = VecDeque::with_capacity(LINES);
    loop {
        let mut line = Vec::new();
        match (&mut stderr).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return kept.into(),
            Ok(_) => {}
        }
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut text = String::new();
        for number in 0..100 {
            text.push_str(&format!("line {number}\n"));
        }
        text.push_str(&"x".repeat(10_000));
        let lines = StderrTail::of(std::io::Cursor::new(text.into_bytes())).lines().await;
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines.iter().filter(|line| line.starts_with('x')).count(), 3);
        assert_eq!(lines[36], "line 99");
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_no_end() {
        let lines = StderrTail::of(std::io::Cursor::new(b"a\xff\nError: b\n".to_vec())).lines().await;
        assert_eq!(lines, ["a\u{fffd}", "Error: b"]);
    }
}
