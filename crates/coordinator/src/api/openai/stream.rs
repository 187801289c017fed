//! Streamed answers: server-sent events, `data: {…}` for each chunk and `data: [DONE]` at the end.
//!
//! The response's body owns the generations: if the client goes away, the server drops the body and with it the work.
//! An error after the first chunk has no status left to travel in. It is sent as `data: {"error": …}`, and the stream
//! ends without `[DONE]`.

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
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps nginx and other proxies from holding chunks back to fill their buffers.
const NO_PROXY_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// The response that sends these events.
pub(super) fn sse(events: impl Stream<Item = Result<Event, axum::Error>> + Send + 'static) -> Response {
    ([NO_PROXY_BUFFERING], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

/// The events of an answer. They are made one by one as the client reads.
pub(super) fn event_stream<F: Format>(
    choices: Choices,
    format: F,
    include_usage: bool,
) -> impl Stream<Item = Result<Event, axum::Error>> + Send + 'static {
    let mut writer = EventWriter { choices, format, include_usage, ready: VecDeque::new(), ended: false };
    for choice in 0..writer.choices.len() {
        let chunk = writer.format.begin(choice);
        writer.push(chunk);
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
    include_usage: bool,
    /// Events to send before the choices are read again: at first one per choice, then at most two.
    ready: VecDeque<Result<Event, axum::Error>>,
    ended: bool,
}

impl<F: Format> EventWriter<F> {
    async fn advance(&mut self) {
        match self.choices.next().await {
            Some(Ok((choice, ChoiceEvent::Token(token)))) => {
                let chunk = self.format.token(choice, &token);
                self.push(chunk);
            }
            Some(Ok((choice, ChoiceEvent::Done(completion)))) => {
                let (held_back, last) = self.format.done(choice, completion);
                self.push(held_back);
                self.push(Some(last));
            }
            Some(Err(error)) => self.fail(error),
            None => self.finish(),
        }
    }

    fn finish(&mut self) {
        if self.include_usage {
            let chunk = self.format.usage(self.choices.usage());
            self.push(Some(chunk));
        }
        self.ready.push_back(Ok(Event::default().data("[DONE]")));
        self.ended = true;
    }

    fn fail(&mut self, error: ApiError) {
        self.ready.push_back(Event::default().json_data(error.into_body()));
        self.ended = true;
    }

    fn push(&mut self, chunk: Option<F::Chunk>) {
        self.ready.extend(chunk.map(|chunk| Event::default().json_data(chunk)));
    }
}
