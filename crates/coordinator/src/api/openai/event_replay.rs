//! A client that lost its connection gets the rest of its stream.
//!
//! Every completion has an id, in the header `x-request-id`. A streamed one that was asked for with the header
//! `x-gogrid-resume: 1` numbers its events (`id: REQUEST:NUMBER`), and is not cancelled when its connection closes: for
//! a minute, the same request with `last-event-id: REQUEST:NUMBER` and any body gets the events after that one. Others
//! see no change, and closing their connection cancels the work as ever.

use super::error::ApiError;
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

/// A client that is gone for longer has given up; what computes for it is needed by others.
pub(super) const RESUME_WITHIN: Duration = Duration::from_secs(60);
/// Events that are kept of a stream: some hundred bytes each. An answer that is further ahead of its client waits.
const EVENTS: usize = 1024;
/// Streams that are kept: with all of their events, some hundred megabytes. Further ones cannot be resumed.
const STREAMS: usize = 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RESUME: HeaderName = HeaderName::from_static("x-gogrid-resume");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The streams that may be resumed, by request.
#[derive(Clone)]
pub(super) struct Streams {
    kept: Arc<Mutex<HashMap<String, watch::Sender<Kept>>>>,
    within: Duration,
}

/// What is kept of a stream.
struct Kept {
    events: VecDeque<String>,
    /// The number of the first event that is kept; they are counted from 1.
    first: usize,
    /// The number of the event that the client gets next.
    next: usize,
    /// Clients so far. The last one counts; one before it ends when it looks.
    clients: usize,
    /// Since when no client is there.
    alone: Option<Instant>,
    ended: bool,
}

impl Kept {
    fn end(&self) -> usize {
        self.first + self.events.len()
    }

    fn push(&mut self, event: String) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(event);
    }
}

/// Serves completions: gives them ids, keeps those that may be resumed, and resumes them.
pub(super) async fn serve(State(streams): State<Streams>, request: Request, next: Next) -> Response {
    if let Some(last) = request.headers().get(LAST_EVENT_ID) {
        return streams.resume(last).unwrap_or_else(IntoResponse::into_response);
    }
    let id = format!("req-{:032x}", rand::random::<u128>());
    let keep = request.headers().get(RESUME).is_some_and(|value| value == "1");
    let mut response = next.run(request).await;
    if keep && is_stream(response.headers()) {
        response = streams.keep(&id, response);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

impl Streams {
    pub(super) fn new(within: Duration) -> Self {
        Self { kept: Arc::default(), within }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream from its client's connection, and serves the client from what is kept of it.
    fn keep(&self, id: &str, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let alone = Some(Instant::now());
        let kept = Kept { events: VecDeque::new(), first: 1, next: 1, clients: 0, alone, ended: false };
        let kept = watch::Sender::new(kept);
        {
            let mut all = self.lock();
            if all.len() >= STREAMS {
                return Response::from_parts(parts, body);
            }
            all.insert(id.to_owned(), kept.clone());
        }
        let (this, name, filled) = (self.clone(), id.to_owned(), kept.clone());
        tokio::spawn(async move {
            let abandoned = abandoned(filled.subscribe(), this.within);
            tokio::pin!(abandoned);
            tokio::select! {
                () = fill(&filled, body) => abandoned.await,
                // With the body, the work ends on every stage.
                () = &mut abandoned => {}
            }
            this.lock().remove(&name);
        });
        let mut served = read(id, kept, 1).into_response();
        served.headers_mut().extend(parts.headers);
        served
    }

    /// The rest of a stream, after an event that its client has.
    fn resume(&self, last: &HeaderValue) -> Result<Response, ApiError> {
        let last = last.to_str().unwrap_or_default();
        let (id, number) = last
            .rsplit_once(':')
            .and_then(|(id, number)| Some((id, number.parse::<usize>().ok()?)))
            .ok_or_else(|| ApiError::no_stream(last, "it is not of the form REQUEST:NUMBER"))?;
        let kept = self.lock().get(id).cloned();
        let gone = format!("streams are kept for {} s after their client is gone", self.within.as_secs());
        let kept = kept.ok_or_else(|| ApiError::no_stream(last, &gone))?;
        let (first, end) = (kept.borrow().first, kept.borrow().end());
        if number >= end {
            return Err(ApiError::no_stream(last, "no such event was sent"));
        }
        if number + 1 < first {
            return Err(ApiError::no_stream(last, &format!("only the last {EVENTS} events are kept")));
        }
        Ok(read(id, kept, number + 1).into_response())
    }
}

/// Keeps a stream's events until it ends, as far ahead of its client as there is room.
async fn fill(kept: &watch::Sender<Kept>, body: Body) {
    let mut events = body.into_data_stream();
    while let Some(Ok(event)) = events.next().await {
        // An event is a frame; comments, which keep a connection open, are made anew for each client.
        let Some(data) = std::str::from_utf8(&event).ok().and_then(|event| event.strip_prefix("data: ")) else {
            continue;
        };
        kept.send_modify(|kept| kept.push(data.trim_end().to_owned()));
        let room = kept.subscribe().wait_for(|kept| kept.end() - kept.next < EVENTS).await.is_ok();
        if !room {
            return;
        }
    }
    kept.send_modify(|kept| kept.ended = true);
}

/// Waits until a stream has had no client for so long.
async fn abandoned(mut kept: watch::Receiver<Kept>, within: Duration) {
    loop {
        let alone = kept.borrow_and_update().alone;
        let changed = kept.changed();
        let over = match alone {
            Some(since) => tokio::time::timeout_at(since + within, changed).await.is_err(),
            None => changed.await.is_err(),
        };
        if over {
            return;
        }
    }
}

/// A client of a stream; it is gone when this is dropped.
struct Client {
    kept: watch::Sender<Kept>,
    number: usize,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.kept.send_modify(|kept| {
            if kept.clients == self.number {
                kept.alone = Some(Instant::now());
            }
        });
    }
}

/// The events of a stream from one on.
fn read(
    id: &str,
    kept: watch::Sender<Kept>,
    next: usize,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let mut number = 0;
    kept.send_modify(|kept| {
        kept.clients += 1;
        (kept.alone, kept.next, number) = (None, next, kept.clients);
    });
    let (id, client) = (id.to_owned(), Client { kept, number });
    let events = stream::unfold(client, move |client| {
        let id = id.clone();
        async move {
            let mut changes = client.kept.subscribe();
            let news = |kept: &Kept| kept.clients != client.number || kept.next < kept.end() || kept.ended;
            drop(changes.wait_for(news).await.ok()?);
            let mut event = None;
            client.kept.send_modify(|kept| {
                let data = kept.next.checked_sub(kept.first).and_then(|at| kept.events.get(at));
                if let Some(data) = data.filter(|_| kept.clients == client.number) {
                    event = Some(Event::default().id(format!("{id}:{}", kept.next)).data(data));
                    kept.next += 1;
                }
            });
            event.map(|event| (Ok(event), client))
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(super::stream::KEEP_ALIVE))
}
