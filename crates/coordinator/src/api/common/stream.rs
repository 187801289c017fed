//! Streamed answers: server-sent events, `data: {…}` for each chunk, with names where the API has them.
//!
//! The response's body owns the generations: if the client goes away, the server drops the body and with it the work.
//! An error after the first chunk has no status left to travel in. It is sent as an event, with which the stream ends.

use super::{
    choices::{ChoiceEvent, Choices},
    error::ApiError,
    format::Format,
};
use axum::{
    http::HeaderName,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, stream};
use std::{collections::VecDeque, time::Duration};

/// How often a comment is sent while no token comes, as during a long prefill: half of the 30 s after which impatient
/// proxies and clients take a silent connection for dead.
pub(in crate::api) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps nginx and other proxies from holding chunks back to fill their buffers.
const NO_PROXY_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// The response that sends these events.
pub(in crate::api) fn sse(events: impl Stream<Item = Result<Event, axum::Error>> + Send + 'static) -> Response {
    ([NO_PROXY_BUFFERING], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

/// The events of an answer. They are made one by one as the client reads.
pub(in crate::api) fn event_stream<F: Format>(
    choices: Choices,
    format: F,
) -> impl Stream<Item = Result<Event, axum::Error>> + Send + 'static {
    let mut writer = EventWriter { choices, format, ready: VecDeque::new(), ended: false };
    for choice in 0..writer.choices.len() {
        let chunks = writer.format.begin(choice, writer.choices.counts());
        writer.push(chunks);
    }
    stream::unfold(writer, |mut writer| async move {
        while writer.ready.is_empty() && !writer.ended {
            writer.advance().await;
        }
        writer.ready.pop_front().map(|event| (event, writer))
    })
}

struct EventWriter<F> {
    choices: Choices,
    format: F,
    /// Events to send before the choices are read again: at first one per choice, then those of one token.
    ready: VecDeque<Result<Event, axum::Error>>,
    ended: bool,
}

impl<F: Format> EventWriter<F> {
    async fn advance(&mut self) {
        match self.choices.next().await {
            Some(Ok((choice, ChoiceEvent::Token(token, parts)))) => {
                let chunks = self.format.token(choice, &token, parts);
                self.push(chunks);
            }
            Some(Ok((choice, ChoiceEvent::Done(parts, ending)))) => {
                let chunks = self.format.done(choice, parts, ending);
                self.push(chunks);
            }
            Some(Err(error)) => self.fail(&error),
            None => self.finish(),
        }
    }

    fn finish(&mut self) {
        let chunks = self.format.end(self.choices.counts());
        self.push(chunks);
        self.ready.extend(F::LAST.map(|last| Ok(Event::default().data(last))));
        self.ended = true;
    }

    fn fail(&mut self, error: &ApiError) {
        let (name, data) = self.format.error(error);
        self.ready.push_back(event(name).json_data(data));
        self.ended = true;
    }

    fn push(&mut self, chunks: Vec<F::Chunk>) {
        self.ready.extend(chunks.into_iter().map(|chunk| event(F::name(&chunk)).json_data(chunk)));
    }
}

fn event(name: Option<&'static str>) -> Event {
    name.map_or_else(Event::default, |name| Event::default().event(name))
}
