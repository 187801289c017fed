//! Answers in pieces: server-sent events, `data: {…}` for each chunk and `data: [DONE]` at the end.
//!
//! The response's body owns the generations. When the client goes away the server drops the body, and with it the work.
//! An error after the first chunk has no status left to travel in; it is sent as `data: {"error": …}`, and the stream ends
//! without `[DONE]`.

use super::{
    answers::{Answers, Step},
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

/// How often a comment is sent while no token comes, as during a long prefill: half of the 30 s after which the more
/// impatient proxies and clients take a silent connection for dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Keeps nginx and its kin from holding chunks back to fill their buffers.
const NO_PROXY_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// The response that sends `answers` as they come.
pub(super) fn respond<F: Format>(answers: Answers, format: F, include_usage: bool) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    ([NO_PROXY_BUFFERING], Sse::new(events(answers, format, include_usage)).keep_alive(keep_alive)).into_response()
}

fn events<F: Format>(
    answers: Answers,
    format: F,
    include_usage: bool,
) -> impl Stream<Item = Result<Event, axum::Error>> + Send + 'static {
    let mut state = Sending { answers, format, include_usage, ready: VecDeque::new(), ended: false };
    for choice in 0..state.answers.choices() {
        let chunk = state.format.begin(choice);
        state.push(chunk);
    }
    stream::unfold(state, |mut state| async move {
        while state.ready.is_empty() && !state.ended {
            state.step().await;
        }
        state.ready.pop_front().map(|event| (event, state))
    })
}

struct Sending<F> {
    answers: Answers,
    format: F,
    include_usage: bool,
    /// Events to send before the next step; bounded by the events of one step, and at first by the choices.
    ready: VecDeque<Result<Event, axum::Error>>,
    ended: bool,
}

impl<F: Format> Sending<F> {
    async fn step(&mut self) {
        match self.answers.next().await {
            Some(Ok((choice, Step::Token(token)))) => {
                let chunk = self.format.token(choice, &token);
                self.push(chunk);
            }
            Some(Ok((choice, Step::Done(completion)))) => {
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
            let chunk = self.format.usage(self.answers.usage());
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
