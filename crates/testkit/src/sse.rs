//! Server-sent events as OpenAI's API sends them: one JSON document per `data:` line, `[DONE]` at the end.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::VecDeque;

/// A streamed answer; dropping it closes the connection.
pub struct EventStream {
    response: reqwest::Response,
    lines: Lines,
    events: VecDeque<String>,
}

impl EventStream {
    /// Takes over a response that should be a stream.
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { response, lines: Lines::default(), events: VecDeque::new() }
    }

    /// The next event; `None` after `[DONE]`.
    ///
    /// # Errors
    /// When the connection ends before `[DONE]`, or an event is no JSON.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if event == "[DONE]" {
                    return Ok(None);
                }
                return serde_json::from_str(&event).map(Some).with_context(|| format!("not JSON: {event}"));
            }
            let Some(bytes) = self.response.chunk().await? else { bail!("the stream ended without [DONE]") };
            self.events.extend(self.lines.push(&bytes)?);
        }
    }

    /// Reads to the end, and puts the pieces of choice 0 together.
    ///
    /// # Errors
    /// As [`next`](Self::next), and when the stream carries an error.
    pub async fn answer(mut self) -> Result<Answer> {
        let mut answer = Answer::default();
        while let Some(event) = self.next().await? {
            answer.add(&event)?;
        }
        Ok(answer)
    }

    /// Reads events until at least this many carried text.
    ///
    /// # Errors
    /// As [`next`](Self::next), and when the answer ends before.
    pub async fn first_pieces(&mut self, count: usize) -> Result<Answer> {
        let mut answer = Answer::default();
        while answer.pieces < count {
            let event = self.next().await?.context("the answer ended before it was long enough")?;
            answer.add(&event)?;
        }
        Ok(answer)
    }
}

/// What a stream said of choice 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The whole text.
    pub text: String,
    /// Events that carried text.
    pub pieces: usize,
    /// Why it ended.
    pub finish_reason: Option<String>,
    /// Token counts, if they were asked for.
    pub usage: Option<Value>,
}

impl Answer {
    /// Adds one event of a chat or text completion.
    ///
    /// # Errors
    /// When the event is an error.
    pub fn add(&mut self, event: &Value) -> Result<()> {
        ensure!(event.get("error").is_none(), "the stream carries an error: {event}");
        if let Some(usage) = event.get("usage").filter(|usage| !usage.is_null()) {
            self.usage = Some(usage.clone());
        }
        let choices = event["choices"].as_array().context("an event has `choices`")?;
        for choice in choices.iter().filter(|choice| choice["index"] == 0) {
            let piece = choice["delta"]["content"].as_str().or_else(|| choice["text"].as_str()).unwrap_or("");
            self.text.push_str(piece);
            self.pieces += usize::from(!piece.is_empty());
            if let Some(reason) = choice["finish_reason"].as_str() {
                self.finish_reason = Some(reason.to_owned());
            }
        }
        Ok(())
    }
}

/// Cuts a byte stream into the payloads of `data:` lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8(line).context("a line of the stream is UTF-8")?;
            match line.trim_end() {
                "" => {}
                comment if comment.starts_with(':') => {}
                line => {
                    let data = line.strip_prefix("data:").with_context(|| format!("not a data line: {line}"))?;
                    events.push(data.trim_start().to_owned());
                }
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_in_two_stays_whole() {
        let mut lines = Lines::default();
        let text = "data: {\"a\":\"é\"}\n\n: beat\ndata: [DONE]\n\n".as_bytes();
        let cut = text.iter().position(|&byte| byte == 0xC3).unwrap() + 1;
        let mut events = lines.push(&text[..cut]).unwrap();
        assert!(events.is_empty());
        events.extend(lines.push(&text[cut..]).unwrap());
        assert_eq!(events, ["{\"a\":\"é\"}", "[DONE]"]);
    }
}
