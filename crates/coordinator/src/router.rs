//! The router: admits requests and follows each one to its end.
//!
//! A request is checked, then waits for a place in a bounded queue, then for KV memory of its longest length in one of
//! its model's pipelines ([`route`](crate::route)), and then [`sequence`](crate::sequence) generates. When the pipeline
//! is lost on the way, or a machine of it is wanted back, the request goes on over another pipeline from the tokens that
//! it has, at once where there is one.

use crate::{
    api::openai::Backend,
    fleet::Timing,
    generate::{Event, GenerateError, GenerateRequest, ModelCard},
    published::Published,
    route::{Route, Routes, Search},
    sequence::{Outcome, Sequence},
};
use futures::future::BoxFuture;
use gogrid_model::TextModel;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Events that may wait for a slow client before its sequence waits too.
const EVENTS: usize = 64;
/// How long a request that lost its machines waits for others.
const RECOVER_WITHIN: Duration = Duration::from_secs(30);
/// Pipelines that a request may lose without a token from any of them: one that itself brings machines down must not
/// take the whole fleet with it. Other requests lose these pipelines too: they get [`Timing::starves_after`] besides.
const LOSSES: usize = 10;
/// Pipelines that may fail a request without a token from any of them: the second shows that it is the request's fault.
const FAILURES: usize = 2;
/// Losses without a token after which a request starves: others have had their turn meanwhile.
const STARVES: usize = 2;
/// How long requests that lost their pipeline wait while others starve, so that these are replayed first: long beside
/// the way to the pipeline, short beside what missing a machine takes.
const STARVING_FIRST: Duration = Duration::from_millis(100);
/// How long a new request waits for a model that is being placed.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// How long a sequence waits for memory that a machine has not got, before it asks again: the time of some steps.
const ROOM_AGAIN: Duration = Duration::from_millis(200);
/// What a client refused by a full queue is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A cheap handle on the router.
#[derive(Clone)]
pub(crate) struct Router {
    routes: Published<Routes>,
    lanes: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    starving: Arc<AtomicUsize>,
    queue_capacity: usize,
    timing: Timing,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One of those that are counted, such as a place in the queue; dropping it gives it back.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Router {
    /// `stop`: no new requests any more.
    pub(crate) fn new(
        routes: Published<Routes>,
        max_sessions: usize,
        queue_capacity: usize,
        timing: Timing,
        stop: CancellationToken,
    ) -> Self {
        Self {
            routes,
            lanes: Arc::new(Semaphore::new(max_sessions)),
            waiting: Arc::default(),
            starving: Arc::default(),
            queue_capacity,
            timing,
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Requests in the queue, and how many it takes.
    pub(crate) fn queue(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.queue_capacity)
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
        let route = self.routes.now().get(model).cloned();
        route.ok_or_else(|| GenerateError::UnknownModel { model: model.to_owned() })
    }

    /// Checks a request and gives it a lane or a place in the queue.
    fn admit(&self, request: &GenerateRequest) -> Result<(Sequence, Admission), GenerateError> {
        if self.stop.is_cancelled() {
            return Err(GenerateError::ShuttingDown);
        }
        let route = self.route(&request.model)?;
        let sequence = Sequence::new(request, &route.model)?;
        if let Some(available) = route.capacity().filter(|&available| available < sequence.longest()) {
            return Err(GenerateError::TooLarge { needed: sequence.longest(), available });
        }
        if let Ok(lane) = self.lanes.clone().try_acquire_owned() {
            return Ok((sequence, Admission::Lane(lane)));
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Counted(self.waiting.clone());
        if ahead >= self.queue_capacity {
            return Err(GenerateError::QueueFull { waiting: ahead, retry_after: RETRY_AFTER });
        }
        Ok((sequence, Admission::Queued(place)))
    }

    /// Follows one request to its end.
    async fn run(
        &self,
        mut sequence: Sequence,
        admission: Admission,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), GenerateError> {
        let _lane = match admission {
            Admission::Lane(lane) => lane,
            Admission::Queued(place) => {
                let lane = self.lanes.clone().acquire_owned().await.map_err(|_| GenerateError::ShuttingDown)?;
                drop(place);
                lane
            }
        };
        let mut search = Search::new(self.routes.clone(), sequence.model(), sequence.longest());
        let mut within = READY_WITHIN;
        let mut avoid = None;
        let mut progress = Progress::new(&sequence);
        loop {
            let place = match search.place(avoid, within).await {
                Ok(place) => place,
                Err(GenerateError::NotReady { .. }) if within == RECOVER_WITHIN => {
                    return Err(GenerateError::PipelineLost { delivered: sequence.emitted() });
                }
                Err(error) => return Err(error),
            };
            let epoch = place.pipeline.epoch;
            let outcome = sequence.run(place, &search, events).await;
            within = RECOVER_WITHIN;
            progress.note(&sequence);
            match outcome {
                Outcome::Finished => return Ok(()),
                Outcome::Moved => {}
                Outcome::NotRetained => sequence.begin_anew(),
                Outcome::Lost => {
                    progress.lost(self.timing.starves_after, &self.starving)?;
                    if progress.starving.is_none() && self.starving.load(Ordering::Relaxed) > 0 {
                        tokio::time::sleep(STARVING_FIRST).await;
                    }
                }
                Outcome::Failed(error) => {
                    let elsewhere = self.route(sequence.model())?.open().iter().any(|other| other.epoch != epoch);
                    progress.failures += 1;
                    if !elsewhere || progress.failures >= FAILURES {
                        return Err(error);
                    }
                    tracing::warn!(%epoch, %error, "a pipeline failed a request, which goes on over another");
                    avoid = Some(epoch);
                }
                Outcome::HandedBack => {
                    progress.handed_back()?;
                    avoid = Some(epoch);
                    tokio::time::sleep(ROOM_AGAIN).await;
                }
            }
        }
    }
}

/// What befell a request since its last token. As long as it gets on in between, it may be moved again and again.
struct Progress {
    emitted: usize,
    since: Instant,
    losses: usize,
    starving: Option<Counted>,
    failures: usize,
    handed_back: Option<Instant>,
}

impl Progress {
    fn new(sequence: &Sequence) -> Self {
        Self {
            emitted: sequence.emitted(),
            since: Instant::now(),
            losses: 0,
            starving: None,
            failures: 0,
            handed_back: None,
        }
    }

    fn note(&mut self, sequence: &Sequence) {
        if sequence.emitted() > self.emitted {
            *self = Self::new(sequence);
        }
    }

    fn lost(&mut self, starves_after: Duration, starving: &Arc<AtomicUsize>) -> Result<(), GenerateError> {
        self.losses += 1;
        if self.losses == STARVES {
            starving.fetch_add(1, Ordering::Relaxed);
            self.starving = Some(Counted(starving.clone()));
        }
        self.unless(self.losses >= LOSSES && self.since.elapsed() > starves_after)
    }

    fn handed_back(&mut self) -> Result<(), GenerateError> {
        let since = *self.handed_back.get_or_insert_with(Instant::now);
        self.unless(since.elapsed() > RECOVER_WITHIN)
    }

    fn unless(&self, over: bool) -> Result<(), GenerateError> {
        if over { Err(GenerateError::PipelineLost { delivered: self.emitted }) } else { Ok(()) }
    }
}

enum Admission {
    Lane(OwnedSemaphorePermit),
    Queued(Counted),
}

impl Backend for Router {
    fn models(&self) -> Vec<ModelCard> {
        let routes = self.routes.now();
        let card = |route: &Route| ModelCard {
            name: route.model.name.clone(),
            created: route.model.created,
            context_length: route.model.manifest.config.context_length,
            ready: route.is_open(),
        };
        routes.values().map(card).collect()
    }

    fn text(&self, model: &str) -> Result<Arc<TextModel>, GenerateError> {
        Ok(self.route(model)?.model.text.clone())
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<mpsc::Receiver<Event>, GenerateError>> {
        Box::pin(async move {
            let (sequence, admission) = self.admit(&request)?;
            let (events, receiver) = mpsc::channel(EVENTS);
            let this = self.clone();
            self.tasks.spawn(async move {
                let closed = events.clone();
                let result = tokio::select! {
                    biased;
                    result = this.run(sequence, admission, &events) => result,
                    // The client is gone; dropping the sequence closes its session on every stage.
                    () = closed.closed() => Ok(()),
                };
                if let Err(error) = result {
                    drop(events.send(Event::Failed(error)).await);
                }
            });
            Ok(receiver)
        })
    }
}
