//! The router: admits requests and follows each one to its end.
//!
//! A request is checked, then waits in a bounded queue for a concurrency permit, then for KV memory of its greatest
//! length in one of its model's pipelines ([`route`](crate::route)), and then [`sequence`](crate::sequence) generates.
//! If the pipeline is lost, or one of its machines leaves, the request goes on over another pipeline from the tokens
//! that it has.
//!
//! Queues: at most `max_sessions` requests hold a permit, at most `queue_capacity` wait for one; any further one is
//! refused. An address has only a part of both ([`places`](crate::places)). Each request has one task and one channel of
//! [`EVENTS`]. The waits for KV memory are among the requests with a permit. A request whose client does not read gives
//! both up, and goes on from its tokens when the client reads again.

use crate::{
    answers::Answers,
    generate::{Event, GenerateError, GenerateRequest, GenerationService, ModelCard, ModelText},
    metrics::{Ended, Metrics},
    places::{Admission, Places},
    published::Published,
    route::{PipelineSelector, Route, Routes},
    sequence::{Outcome, Sequence},
};
use futures::future::BoxFuture;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Events that may wait for a slow client before its sequence waits too: a second or two of tokens.
const EVENTS: usize = 64;
/// How long a request that lost its machines waits for others.
const RECOVER_WITHIN: Duration = Duration::from_secs(30);
/// Pipelines that a request may lose without getting a token from any of them: a request that itself brings machines
/// down must not take down the whole fleet. Other requests on these pipelines lose them too, so a request is given up
/// only after `starves_after` besides.
const MAX_LOSSES: usize = 10;
/// Pipelines that may fail a request without giving it a token: the second one shows that it is the request's fault.
const MAX_FAILURES: usize = 2;
/// A request starves after this many losses without a token: others have had their turn meanwhile.
const STARVING_LOSSES: usize = 2;
/// How long requests that lost their pipeline wait while others starve, so that the starving ones are replayed first.
/// Long compared to the way to the pipeline, short compared to noticing that a machine is lost.
const YIELD_TO_STARVING: Duration = Duration::from_millis(100);
/// How long a new request waits for a model that is being placed.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// How long a sequence waits before it asks again for memory that a machine did not have: the time of some steps.
const RETRY_MEMORY_AFTER: Duration = Duration::from_millis(200);
/// What a client refused by a full queue is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the router allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Sequences generated at once.
    pub(crate) sessions: usize,
    /// The same for the requests of one address.
    pub(crate) sessions_per_address: usize,
    /// Requests that may wait.
    pub(crate) queue: usize,
    /// A request that loses one pipeline after the other without getting a token is not given up before this.
    pub(crate) starves_after: Duration,
    /// A client that leaves an event unread for this long loses its places until it reads.
    pub(crate) unread_within: Duration,
}

#[cfg(test)]
impl Bounds {
    /// The bounds of tests, which have no addresses.
    pub(crate) fn of(sessions: usize, timing: crate::fleet::Timing) -> Self {
        let crate::fleet::Timing { starves_after, suspect_after, .. } = timing;
        let unread_within = 6 * suspect_after;
        Self { sessions, sessions_per_address: sessions, queue: 64, starves_after, unread_within }
    }
}

/// A cheap handle on the router.
#[derive(Clone)]
pub(crate) struct Router {
    routes: Published<Routes>,
    places: Places,
    starving: Arc<AtomicUsize>,
    bounds: Bounds,
    tasks: TaskTracker,
    stop: CancellationToken,
    answers: Answers,
    metrics: Metrics,
}

/// Counts one request for as long as it lives.
struct CountGuard(Arc<AtomicUsize>);

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Router {
    /// After `stop` there are no new requests.
    pub(crate) fn new(routes: Published<Routes>, bounds: Bounds, stop: CancellationToken) -> Self {
        let places = Places::new(bounds.sessions, bounds.sessions_per_address, bounds.queue);
        let (starving, answers) = (Arc::default(), Answers::default());
        let metrics = Metrics::new();
        Self { routes, places, starving, bounds, tasks: TaskTracker::new(), stop, answers, metrics }
    }

    /// Requests in the queue, and its capacity.
    pub(crate) fn queue(&self) -> (usize, usize) {
        (self.places.waiting(), self.bounds.queue)
    }

    /// Counts the answers that were completed.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Counts what becomes of requests.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Requests that were admitted and have not ended.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until every request in flight has ended. Cancel-safe.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn route(&self, model: &str) -> Result<Route, GenerateError> {
        self.routes.current().find(model)
    }

    /// Checks a request and gives it a permit or a place in the queue.
    async fn admit(&self, request: &GenerateRequest) -> Result<(Sequence, Admission), GenerateError> {
        if self.stop.is_cancelled() {
            return Err(GenerateError::ShuttingDown);
        }
        let route = self.route(&request.model)?;
        let mut sequence = Sequence::new(request, &route.model, self.metrics.clone())?;
        if let Some(available) = route.kv_capacity().filter(|&available| available < sequence.max_length()) {
            return Err(GenerateError::TooLarge { needed: sequence.max_length(), available });
        }
        if let Some(constraint) = &request.constraint {
            if route.is_open() && !route.constrains() {
                return Err(GenerateError::CannotConstrain { model: request.model.clone() });
            }
            sequence.constrain(constraint).await?;
        }
        let admission = self.places.admit(&request.requester);
        let admission = admission.map_err(|waiting| GenerateError::QueueFull { waiting, retry_after: RETRY_AFTER })?;
        Ok((sequence, admission))
    }

    fn completed(&self) -> Ended {
        self.answers.count();
        Ended::Completed
    }

    /// Follows one request to its end.
    async fn run(
        &self,
        mut sequence: Sequence,
        admission: Admission,
        events: &mpsc::Sender<Event>,
    ) -> Result<Ended, GenerateError> {
        let requester = admission.requester().clone();
        let mut place = admission.place().await.ok_or(GenerateError::ShuttingDown)?;
        place.served().add(sequence.prompt());
        sequence.count_in(place.served());
        self.metrics.prompt_tokens(sequence.prompt());
        let Bounds { unread_within, starves_after, .. } = self.bounds;
        let mut selector = PipelineSelector::new(
            self.routes.clone(),
            sequence.model(),
            sequence.max_length(),
            sequence.is_constrained(),
            unread_within,
        );
        let mut within = READY_WITHIN;
        let mut avoid = None;
        let mut setbacks = RetryState::new(&sequence);
        loop {
            let reservation = match selector.reserve(avoid, within, sequence.lookup()).await {
                Ok(reservation) => reservation,
                Err(GenerateError::NotReady { .. }) if within == RECOVER_WITHIN => {
                    return Err(GenerateError::PipelineLost { delivered: sequence.emitted() });
                }
                Err(error) => return Err(error),
            };
            let epoch = reservation.pipeline.epoch;
            let outcome = sequence.run(reservation, &selector, events).await;
            within = RECOVER_WITHIN;
            setbacks.forget_if_progressed(&sequence);
            match outcome {
                Outcome::Finished => return Ok(self.completed()),
                Outcome::Gone => return Ok(Ended::Cancelled),
                Outcome::Refused(error) => return Err(error),
                Outcome::Moved => {}
                Outcome::NotRetained => sequence.forget_retained(),
                Outcome::Unread => {
                    drop(place);
                    match sequence.wait_until_read(events).await {
                        Some(Outcome::Finished) => return Ok(self.completed()),
                        Some(_) => return Ok(Ended::Cancelled),
                        None => {}
                    }
                    place = self.places.place(&requester).await.ok_or(GenerateError::ShuttingDown)?;
                    sequence.count_in(place.served());
                }
                Outcome::Lost => {
                    setbacks.lost(starves_after, &self.starving)?;
                    if setbacks.starving.is_none() && self.starving.load(Ordering::Relaxed) > 0 {
                        tokio::time::sleep(YIELD_TO_STARVING).await;
                    }
                }
                Outcome::Failed(error) => {
                    setbacks.failures += 1;
                    let elsewhere = self.route(sequence.model())?.open().iter().any(|other| other.epoch != epoch);
                    if !elsewhere || setbacks.failures >= MAX_FAILURES {
                        return Err(error);
                    }
                    tracing::warn!(%epoch, %error, "a pipeline failed a request, which goes on over another");
                    avoid = Some(epoch);
                }
                Outcome::OutOfMemory => {
                    setbacks.out_of_memory()?;
                    avoid = Some(epoch);
                    tokio::time::sleep(RETRY_MEMORY_AFTER).await;
                }
            }
        }
    }
}

/// What went wrong for a request since its last token. A request that gets tokens in between may move any number of
/// times.
struct RetryState {
    /// Tokens that it had then.
    emitted: usize,
    since: Instant,
    losses: usize,
    /// Counts the request among the starving ones.
    starving: Option<CountGuard>,
    failures: usize,
    out_of_memory_since: Option<Instant>,
}

impl RetryState {
    fn new(sequence: &Sequence) -> Self {
        Self {
            emitted: sequence.emitted(),
            since: Instant::now(),
            losses: 0,
            starving: None,
            failures: 0,
            out_of_memory_since: None,
        }
    }

    fn forget_if_progressed(&mut self, sequence: &Sequence) {
        if sequence.emitted() > self.emitted {
            *self = Self::new(sequence);
        }
    }

    fn lost(&mut self, starves_after: Duration, starving: &Arc<AtomicUsize>) -> Result<(), GenerateError> {
        self.losses += 1;
        if self.losses == STARVING_LOSSES {
            starving.fetch_add(1, Ordering::Relaxed);
            self.starving = Some(CountGuard(starving.clone()));
        }
        self.give_up_if(self.losses >= MAX_LOSSES && self.since.elapsed() > starves_after)
    }

    fn out_of_memory(&mut self) -> Result<(), GenerateError> {
        let since = *self.out_of_memory_since.get_or_insert_with(Instant::now);
        self.give_up_if(since.elapsed() > RECOVER_WITHIN)
    }

    fn give_up_if(&self, hopeless: bool) -> Result<(), GenerateError> {
        if hopeless { Err(GenerateError::PipelineLost { delivered: self.emitted }) } else { Ok(()) }
    }
}

impl GenerationService for Router {
    fn models(&self) -> Vec<ModelCard> {
        let routes = self.routes.current();
        let card = |route: &Route| ModelCard {
            name: route.model.name.clone(),
            created: route.model.created,
            context_length: route.model.manifest.config.context_length,
            ready: route.is_open(),
        };
        routes.open.values().map(card).collect()
    }

    fn text(&self, model: &str) -> Result<ModelText, GenerateError> {
        let model = self.route(model)?.model;
        let context_length = model.manifest.config.context_length;
        Ok(ModelText { text: model.text.clone(), context_length, tools: model.tools })
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<mpsc::Receiver<Event>, GenerateError>> {
        Box::pin(async move {
            let (sequence, admission) = self.admit(&request).await?;
            let (events, receiver) = mpsc::channel(EVENTS);
            let this = self.clone();
            self.tasks.spawn(async move {
                let closed = events.clone();
                let result = tokio::select! {
                    biased;
                    result = this.run(sequence, admission, &events) => result,
                    // The client is gone. Dropping the sequence closes its session on every stage.
                    () = closed.closed() => Ok(Ended::Cancelled),
                };
                this.metrics.ended(*result.as_ref().unwrap_or(&Ended::Failed));
                if let Err(error) = result {
                    drop(events.send(Event::Failed(error)).await);
                }
            });
            Ok(receiver)
        })
    }
}
