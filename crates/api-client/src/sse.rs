//! Server-sent events from a byte stream that may be cut anywhere, even inside a character.
//!
//! Only `data` matters here; other fields and comments (keep-alives) are skipped. Lines end with LF or CR LF.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

/// The most bytes of one event. Chunks have some hundred bytes, and some thousand with log-probabilities. A server that
/// sends more is no coordinator.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Why a stream is none of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is too large.
    #[error("an event of more than {MAX_EVENT_BYTES} bytes came")]
    TooLarge,
    /// An event is no text.
    #[error("an event that is not UTF-8 came")]
    NoText,
}

/// Decodes events.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The incomplete line.
    line: Vec<u8>,
    /// The `data` lines of the incomplete event.
    data: Option<Vec<u8>>,
}

impl SseDecoder {
    /// Takes the next bytes, and returns the data of the events that they complete.
    ///
    /// # Errors
    /// When an event is too large or not UTF-8. The stream is unusable afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, SseError> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part);
            let bytes = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
            if bytes > MAX_EVENT_BYTES {
                return Err(SseError::TooLarge);
            }
            if part.ends_with(b"\n") {
                let mut line = std::mem::take(&mut self.line);
                line.pop();
                if line.ends_with(b"\r") {
                    line.pop();
                }
                events.extend(self.end_line(&line)?);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<String>, SseError> {
        if line.is_empty() {
            let data = self.data.take().map(String::from_utf8).transpose();
            return data.map_err(|_| SseError::NoText);
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": keep-alive\n\ndata: {\"text\":\"Tōkyō 🗼\"}\r\n\r\nevent: x\nid: 7\ndata:first\ndata:  second\n\ndata: [DONE]\n\ndata: cut";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() -> Result<(), SseError> {
        let expected = ["{\"text\":\"Tōkyō 🗼\"}", "first\n second", "[DONE]"];
        for size in 1..=STREAM.len() {
            let mut decoder = SseDecoder::default();
            let mut events = Vec::new();
            for bytes in STREAM.as_bytes().chunks(size) {
                events.extend(decoder.push(bytes)?);
            }
            assert_eq!(events, expected, "in pieces of {size} bytes");
        }
        Ok(())
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = SseDecoder::default();
        let piece = [b'x'; 4096];
        assert!((0..=MAX_EVENT_BYTES / piece.len()).any(|_| decoder.push(&piece).is_err()));

        let mut decoder = SseDecoder::default();
        assert!((0..MAX_EVENT_BYTES).any(|_| decoder.push(b"data: x\n").is_err()));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert!(SseDecoder::default().push(b"data: \xff\n\n").is_err());
    }
}
