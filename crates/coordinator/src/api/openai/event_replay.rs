//! A client that lost its connection gets the rest of its stream.
//!
//! Every completion has an id, in the header `x-request-id`. A streamed one that was requested with the header
//! `x-gogrid-resume: 1` numbers its events (`id: REQUEST:NUMBER`) and is not cancelled when its connection closes: for
//! a minute, a request to the same path with `last-event-id: REQUEST:NUMBER`, whatever its body, gets the events after
//! that one. Without the header, closing the connection cancels the work.
//!
//! ```text
//! generations ─▶ fill (one task per stream) ─▶ StoredStream (bounded) ─▶ replay ─▶ the newest client
//! ```
//!
//! `fill` reads the generations no further than [`MAX_EVENTS`] or [`MAX_BYTES`] ahead of the client, and no longer than
//! [`READ_AHEAD_FOR`] after it has gone; the router then gives their places to others. There are at most
//! [`MAX_STREAMS`] stored streams, so all of them take at most 256 MiB, and one event each beyond that.

use crate::api::common::{
    error::ApiError,
    request_id::{self, REQUEST_ID},
    stream::KEEP_ALIVE,
};
use crate::keys::Caller;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE},
    middleware::Next,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// A client that is away for longer has given up; others need what computes for it.
pub(in crate::api) const REPLAY_WITHIN: Duration = Duration::from_secs(60);
/// How long a stream without a client is read ahead: that is a lost connection. After that what computes it is to serve
/// others, until the client is back.
const READ_AHEAD_FOR: Duration = Duration::from_secs(10);
/// Events stored of one stream: one per token, so most answers are stored completely.
const MAX_EVENTS: usize = 1024;
/// Bytes stored of one stream. An event takes some 250 bytes, and 2 KiB with twenty alternatives to its token.
const MAX_BYTES: usize = 256 << 10;
/// Streams stored at once. Any further one is served as if it had not asked for replay.
const MAX_STREAMS: usize = 1024;

const STORE: HeaderName = HeaderName::from_static("x-gogrid-resume");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The stored streams, by request id.
#[derive(Clone)]
pub(in crate::api) struct StoredStreams {
    streams: Arc<Mutex<HashMap<String, watch::Sender<StoredStream>>>>,
    /// How long a stream is stored without a client.
    replay_within: Duration,
}

/// The stored part of one stream. Events are numbered from 1.
struct StoredStream {
    /// The key that it was asked for with; empty without one. Only with it the stream is replayed.
    owner: String,
    events: VecDeque<String>,
    /// Bytes of `events`.
    bytes: usize,
    /// The number of the first event in `events`.
    first: usize,
    /// The number of the event that the client gets next.
    next: usize,
    /// Clients so far. Only the newest one is served; an older one ends at its next event.
    clients: usize,
    /// Since when there is no client.
    alone_since: Option<Instant>,
    ended: bool,
}

impl StoredStream {
    fn new(owner: String) -> Self {
        let alone_since = Some(Instant::now());
        Self { owner, events: VecDeque::new(), bytes: 0, first: 1, next: 1, clients: 0, alone_since, ended: false }
    }

    /// The number of the event after the last one.
    fn end(&self) -> usize {
        self.first + self.events.len()
    }

    /// Whether another event is to be read.
    fn wants_more(&self) -> bool {
        self.has_room() && self.alone_since.is_none_or(|since| since.elapsed() < READ_AHEAD_FOR)
    }

    /// Whether another event may be stored.
    fn has_room(&self) -> bool {
        self.events.len() <= MAX_EVENTS && self.bytes <= MAX_BYTES
    }

    fn push(&mut self, event: String) {
        self.bytes += event.len();
        self.events.push_back(event);
        self.drop_read_events();
    }

    /// The next event for the client, with its number.
    fn take_next(&mut self) -> Option<(usize, String)> {
        let number = self.next;
        let event = self.events.get(number.checked_sub(self.first)?)?.clone();
        self.next += 1;
        self.drop_read_events();
        Some((number, event))
    }

    /// Makes room by dropping the oldest events, but none that the client has not read.
    fn drop_read_events(&mut self) {
        while !self.has_room() && self.first < self.next {
            let oldest = self.events.pop_front();
            self.bytes -= oldest.map_or(0, |event| event.len());
            self.first += 1;
        }
    }
}

/// Middleware of the completions: gives each request an id, stores streams that ask for it, and replays stored ones.
pub(super) async fn replay_layer(State(streams): State<StoredStreams>, request: Request, next: Next) -> Response {
    let owner = request.extensions().get::<Caller>().map(|caller| caller.name().to_owned()).unwrap_or_default();
    if let Some(last) = request.headers().get(LAST_EVENT_ID) {
        return streams.replay_after(last, &owner).unwrap_or_else(IntoResponse::into_response);
    }
    let id = request_id::new();
    let store = request.headers().get(STORE).is_some_and(|value| value == "1");
    let mut response = next.run(request).await;
    if store && is_stream(response.headers()) {
        response = streams.store(&id, owner, response);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

impl StoredStreams {
    pub(in crate::api) fn new(replay_within: Duration) -> Self {
        Self { streams: Arc::default(), replay_within }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<StoredStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream from its client's connection, and serves the client from what is stored.
    fn store(&self, id: &str, owner: String, response: Response) -> Response {
        let stored = watch::Sender::new(StoredStream::new(owner));
        {
            let mut streams = self.lock();
            if streams.len() >= MAX_STREAMS {
                return response;
            }
            streams.insert(id.to_owned(), stored.clone());
        }
        let (parts, body) = response.into_parts();
        tokio::spawn(self.clone().keep(id.to_owned(), stored.clone(), body));
        let mut served = replay(id, stored, 1).into_response();
        served.headers_mut().extend(parts.headers);
        served
    }

    /// Stores a stream until it has had no client for too long. Dropping `body` then ends the work on every stage.
    async fn keep(self, id: String, stored: watch::Sender<StoredStream>, body: Body) {
        let abandoned = abandoned(stored.subscribe(), self.replay_within);
        tokio::pin!(abandoned);
        tokio::select! {
            () = fill(&stored, body) => abandoned.await,
            () = &mut abandoned => {}
        }
        self.lock().remove(&id);
    }

    /// The rest of a stream, after an event that its client has.
    fn replay_after(&self, last: &HeaderValue, owner: &str) -> Result<Response, ApiError> {
        let last = last.to_str().unwrap_or_default();
        let (id, number) =
            parse_event_id(last).ok_or_else(|| ApiError::no_stream(last, "it is not of the form REQUEST:NUMBER"))?;
        let stored = self.lock().get(id).filter(|stored| stored.borrow().owner == owner).cloned().ok_or_else(|| {
            let seconds = self.replay_within.as_secs();
            ApiError::no_stream(last, &format!("streams are kept for {seconds} s after their client is gone"))
        })?;
        let (first, end) = (stored.borrow().first, stored.borrow().end());
        if number >= end {
            return Err(ApiError::no_stream(last, "no such event was sent"));
        }
        if number + 1 < first {
            let kept = format!("only the last {MAX_EVENTS} events or {} KiB are kept", MAX_BYTES >> 10);
            return Err(ApiError::no_stream(last, &kept));
        }
        Ok(replay(id, stored, number + 1).into_response())
    }
}

/// The request and the number of `REQUEST:NUMBER`.
fn parse_event_id(id: &str) -> Option<(&str, usize)> {
    let (request, number) = id.rsplit_once(':')?;
    Some((request, number.parse().ok()?))
}

/// Stores a stream's events until it ends, as far ahead of its client as there is room.
async fn fill(stored: &watch::Sender<StoredStream>, body: Body) {
    let mut frames = body.into_data_stream();
    while let Some(Ok(frame)) = frames.next().await {
        // One frame is one event. Keep-alive comments are left out: each client gets its own.
        let Some(data) = std::str::from_utf8(&frame).ok().and_then(|frame| frame.strip_prefix("data: ")) else {
            continue;
        };
        stored.send_modify(|stream| stream.push(data.trim_end().to_owned()));
        if stored.subscribe().wait_for(StoredStream::wants_more).await.is_err() {
            return;
        }
    }
    stored.send_modify(|stream| stream.ended = true);
}

/// Waits until a stream has had no client for this long.
async fn abandoned(mut stored: watch::Receiver<StoredStream>, replay_within: Duration) {
    loop {
        let alone_since = stored.borrow_and_update().alone_since;
        let changed = stored.changed();
        let over = match alone_since {
            Some(since) => tokio::time::timeout_at(since + replay_within, changed).await.is_err(),
            None => changed.await.is_err(),
        };
        if over {
            return;
        }
    }
}

/// A client that reads a stored stream; it is gone when this is dropped.
struct Client {
    stored: watch::Sender<StoredStream>,
    number: usize,
}

impl Client {
    /// Becomes the newest client of a stream, from the event `next` on.
    fn attach(stored: watch::Sender<StoredStream>, next: usize) -> Self {
        let mut number = 0;
        stored.send_modify(|stream| {
            stream.clients += 1;
            (stream.alone_since, stream.next, number) = (None, next, stream.clients);
        });
        Self { stored, number }
    }

    /// Waits for the next event; `None` at the stream's end, or if a newer client came.
    async fn next_event(&self) -> Option<(usize, String)> {
        let is_ready =
            |stream: &StoredStream| stream.clients != self.number || stream.next < stream.end() || stream.ended;
        drop(self.stored.subscribe().wait_for(is_ready).await.ok()?);
        let mut event = None;
        self.stored.send_modify(|stream| {
            if stream.clients == self.number {
                event = stream.take_next();
            }
        });
        event
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stored.send_modify(|stream| {
            if stream.clients == self.number {
                stream.alone_since = Some(Instant::now());
            }
        });
    }
}

/// The events of a stored stream, from the event `next` on.
fn replay(
    id: &str,
    stored: watch::Sender<StoredStream>,
    next: usize,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let id: Arc<str> = id.into();
    let events = stream::unfold(Client::attach(stored, next), move |client| {
        let id = id.clone();
        async move {
            let (number, data) = client.next_event().await?;
            Some((Ok(Event::default().id(format!("{id}:{number}")).data(data)), client))
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads everything that is there.
    fn drain(stream: &mut StoredStream) -> Vec<usize> {
        std::iter::from_fn(|| stream.take_next()).map(|(number, _)| number).collect()
    }

    #[test]
    fn a_stream_stores_no_more_than_its_limits_and_loses_nothing_unread() {
        for (size, limit) in [(1, MAX_EVENTS), (MAX_BYTES / 8, 8)] {
            let mut stream = StoredStream::new(String::new());
            while stream.has_room() {
                stream.push("x".repeat(size));
            }
            assert_eq!(stream.events.len(), limit + 1, "one event beyond the limit, all of them unread");
            assert_eq!(drain(&mut stream), (1..=limit + 1).collect::<Vec<_>>());
            assert_eq!((stream.first, stream.bytes), (2, limit * size), "the oldest one went, since it was read");

            // A client comes back for events that are still stored while another event is on its way.
            stream.next = 2;
            stream.push("x".repeat(size));
            assert_eq!(drain(&mut stream), (2..=limit + 2).collect::<Vec<_>>());
        }
    }
}
