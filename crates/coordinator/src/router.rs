//! The router: admits requests and follows each one to its end.
//!
//! A request is checked, then waits for a place in a bounded queue, then for KV memory of its longest length in its
//! model's pipeline, and then [`sequence`](crate::sequence) generates. When the pipeline is lost on the way, the
//! request waits for the next one and goes on there from the tokens that it has.

use crate::{
    api::openai::Backend,
    fleet::{Route, Routes},
    generate::{Event, GenerateError, GenerateRequest, ModelCard},
    pipeline::Pipeline,
    sequence::{Outcome, Sequence},
};
use futures::future::BoxFuture;
use gogrid_model::TextModel;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Events that may wait for a slow client before its sequence waits too.
const EVENTS: usize = 64;
/// How long a request that lost its machines waits for others.
const RECOVER_WITHIN: Duration = Duration::from_secs(30);
/// How long a new request waits for a model that is being placed.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// How long a sequence waits for memory that a machine has not got, before it asks again: the time of some steps.
const ROOM_AGAIN: Duration = Duration::from_millis(200);
/// What a client refused by a full queue is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A cheap handle on the router.
#[derive(Clone)]
pub(crate) struct Router {
    routes: watch::Receiver<Routes>,
    lanes: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    queue_capacity: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A place in the queue; dropping it gives it back.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Router {
    /// `stop`: no new requests any more.
    pub(crate) fn new(
        routes: watch::Receiver<Routes>,
        max_sessions: usize,
        queue_capacity: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            routes,
            lanes: Arc::new(Semaphore::new(max_sessions)),
            waiting: Arc::default(),
            queue_capacity,
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Requests in the queue, and how many it takes.
    pub(crate) fn queue(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.queue_capacity)
    }

    /// Waits until every request in flight has ended. Cancel-safe.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn route(&self, model: &str) -> Result<Route, GenerateError> {
        let route = self.routes.borrow().get(model).cloned();
        route.ok_or_else(|| GenerateError::UnknownModel { model: model.to_owned() })
    }

    /// Checks a request and gives it a lane or a place in the queue.
    fn admit(&self, request: &GenerateRequest) -> Result<(Sequence, Admission), GenerateError> {
        if self.stop.is_cancelled() {
            return Err(GenerateError::ShuttingDown);
        }
        let route = self.route(&request.model)?;
        let sequence = Sequence::new(request, &route.model)?;
        if let Some(pipeline) = &route.pipeline {
            sequence.check_room(pipeline)?;
        }
        if let Ok(lane) = self.lanes.clone().try_acquire_owned() {
            return Ok((sequence, Admission::Lane(lane)));
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Waiting(self.waiting.clone());
        if ahead >= self.queue_capacity {
            return Err(GenerateError::QueueFull { waiting: ahead, retry_after: RETRY_AFTER });
        }
        Ok((sequence, Admission::Queued(place)))
    }

    /// A pipeline for the model, or why there is none in time.
    async fn pipeline(&self, model: &str, within: Duration) -> Result<Arc<Pipeline>, GenerateError> {
        let mut routes = self.routes.clone();
        let usable = |routes: &Routes| {
            let route = routes.get(model);
            route.is_none() || route.is_some_and(|r| r.pipeline.as_ref().is_some_and(|p| p.open_for_sessions()))
        };
        let _: Result<_, _> = tokio::time::timeout(within, routes.wait_for(usable)).await;
        let route = self.route(model)?;
        route
            .pipeline
            .filter(|pipeline| pipeline.open_for_sessions())
            .ok_or(GenerateError::NotReady { model: model.to_owned(), reason: route.reason })
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
        let mut within = READY_WITHIN;
        let mut handed_back: Option<(usize, Instant)> = None;
        loop {
            let pipeline = match self.pipeline(sequence.model(), within).await {
                Ok(pipeline) => pipeline,
                Err(GenerateError::NotReady { .. }) if within == RECOVER_WITHIN => {
                    return Err(GenerateError::PipelineLost { delivered: sequence.emitted() });
                }
                Err(error) => return Err(error),
            };
            sequence.check_room(&pipeline)?;
            match sequence.run(&pipeline, events).await? {
                Outcome::Finished => return Ok(()),
                Outcome::Lost => within = RECOVER_WITHIN,
                Outcome::HandedBack => {
                    // As long as it gets on in between, the sequence may be handed back again and again.
                    let since = match handed_back {
                        Some((emitted, since)) if emitted == sequence.emitted() => since,
                        _ => Instant::now(),
                    };
                    if since.elapsed() > RECOVER_WITHIN {
                        return Err(GenerateError::PipelineLost { delivered: sequence.emitted() });
                    }
                    handed_back = Some((sequence.emitted(), since));
                    tokio::time::sleep(ROOM_AGAIN).await;
                }
            }
        }
    }
}

enum Admission {
    Lane(OwnedSemaphorePermit),
    Queued(Waiting),
}

impl Backend for Router {
    fn models(&self) -> Vec<ModelCard> {
        let routes = self.routes.borrow();
        let card = |route: &Route| ModelCard {
            name: route.model.name.clone(),
            created: route.model.created,
            context_length: route.model.manifest.config.context_length,
            ready: route.pipeline.as_ref().is_some_and(|pipeline| pipeline.open_for_sessions()),
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
