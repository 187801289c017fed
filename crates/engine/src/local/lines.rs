use gogrid_panel_api::MAX_REQUEST;
use std::time::Duration;
use tokio::{
    io::{self, AsyncBufReadExt, AsyncRead, BufReader},
    time::{Instant, timeout_at},
};

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// The line has more bytes than a request has; the rest of it is skipped.
    TooLong,
    /// The line was begun and not ended in time: what follows is no whole line.
    Unfinished,
}

/// Lines of a client. No more of a line is in memory than a request may have.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    /// The time that a line has.
    within: Duration,
    line: Vec<u8>,
    begun: Option<Instant>,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, within: Duration) -> Self {
        Self { reader: BufReader::new(reader), within, line: Vec::new(), begun: None, skipping: false }
    }

    /// The next line; `None` when the client has gone, even in the middle of a line. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = match self.begun {
                None => self.reader.fill_buf().await?,
                Some(begun) => match timeout_at(begun + self.within, self.reader.fill_buf()).await {
                    Ok(chunk) => chunk?,
                    Err(_) => return Ok(Some(Line::Unfinished)),
                },
            };
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let too_long = !self.skipping && self.line.len() + part.len() > MAX_REQUEST;
            let skipped = self.skipping || too_long;
            if !skipped {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                (self.begun, self.skipping) = (None, false);
            } else {
                self.begun.get_or_insert_with(Instant::now);
                self.skipping = skipped;
            }
            if too_long {
                self.line = Vec::new();
                return Ok(Some(Line::TooLong));
            }
            if end.is_some() && !skipped {
                return Ok(Some(Line::Whole(std::mem::take(&mut self.line))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const LONG: Duration = Duration::from_secs(60);

    async fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(bytes, LONG);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            all.push(line);
        }
        all
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[tokio::test]
    async fn a_line_is_what_was_ended() {
        assert_eq!(lines(b"").await, []);
        assert_eq!(lines(b"a\n\nbc\nhalf").await, [whole("a"), whole(""), whole("bc")]);
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_a_request_and_not_a_byte_longer() {
        let (fits, over) = ("x".repeat(MAX_REQUEST), "x".repeat(MAX_REQUEST + 1));
        let sent = format!("{fits}\n{over}\nafter\n{fits}{fits}{fits}\nafter that\n");
        let seen = lines(sent.as_bytes()).await;
        assert_eq!(seen, [whole(&fits), Line::TooLong, whole("after"), Line::TooLong, whole("after that")]);
    }

    #[tokio::test]
    async fn a_line_has_its_time_and_silence_between_lines_has_none() {
        let (mut client, worker) = tokio::io::duplex(64);
        let mut lines = Lines::new(worker, Duration::ZERO);
        assert!(futures::poll!(Box::pin(lines.next())).is_pending(), "nothing was begun");
        client.write_all(b"whole\n").await.expect("written");
        assert_eq!(lines.next().await.expect("readable"), Some(whole("whole")));
        assert!(futures::poll!(Box::pin(lines.next())).is_pending(), "it was ended");
        client.write_all(b"half").await.expect("written");
        assert_eq!(lines.next().await.expect("readable"), Some(Line::Unfinished));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let (mut client, worker) = tokio::io::duplex(64);
        let mut lines = Lines::new(worker, LONG);
        client.write_all(b"in two ").await.expect("written");
        assert!(futures::poll!(Box::pin(lines.next())).is_pending());
        client.write_all(b"parts\n").await.expect("written");
        assert_eq!(lines.next().await.expect("readable"), Some(whole("in two parts")));
    }
}
