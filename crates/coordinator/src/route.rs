//! A model's pipelines as the router sees them, and the choice among them.
//!
//! A model may have several pipelines, each on machines of its own. A request goes where a token of it is predicted to
//! take least time, and waits for room in all of them at once. It stays there until its pipeline is lost, or until a
//! machine of it is wanted back and another pipeline has room.

use crate::{
    fleet::Model,
    generate::GenerateError,
    pipeline::{Pipeline, Standing},
    published::Published,
};
use futures::future::select_all;
use gogrid_wire::Epoch;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// What the router needs of a model.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) model: Arc<Model>,
    /// The pipelines that take sessions.
    pub(crate) pipelines: Vec<Arc<Pipeline>>,
    /// What the model waits for when there is none.
    pub(crate) reason: String,
}

/// Every model's route, by name.
pub(crate) type Routes = Arc<BTreeMap<String, Route>>;

/// A place for a session: its pipeline, and the memory set aside for it there.
pub(crate) struct Place {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) room: OwnedSemaphorePermit,
}

impl Route {
    /// Pipelines that take sessions now, the one that is predicted to be fastest first.
    pub(crate) fn open(&self) -> Vec<Arc<Pipeline>> {
        let mut open: Vec<_> = self.pipelines.iter().filter(|pipeline| pipeline.open_for_sessions()).cloned().collect();
        open.sort_by_cached_key(|pipeline| pipeline.predicted());
        open
    }

    /// Whether a session may start now.
    pub(crate) fn is_open(&self) -> bool {
        self.pipelines.iter().any(|pipeline| pipeline.open_for_sessions())
    }

    /// The longest sequence that an open pipeline can hold, in tokens; `None` where none is open.
    pub(crate) fn capacity(&self) -> Option<usize> {
        self.pipelines.iter().filter(|pipeline| pipeline.open_for_sessions()).map(|pipeline| pipeline.capacity).max()
    }
}

/// What a request looks for.
pub(crate) struct Search {
    routes: Published<Routes>,
    model: String,
    /// Its longest length, in tokens.
    tokens: usize,
}

impl Search {
    pub(crate) fn new(routes: Published<Routes>, model: &str, tokens: usize) -> Self {
        Self { routes, model: model.to_owned(), tokens }
    }

    /// A place in the pipeline that is predicted to be fastest of those that have room, `avoid` last; where none has
    /// room, in the one that has it first. `within` is how long to wait for a pipeline, not for room in it. Cancel-safe.
    pub(crate) async fn place(&mut self, avoid: Option<Epoch>, within: Duration) -> Result<Place, GenerateError> {
        let mut until = None;
        loop {
            let route = self.routes.look().get(&self.model).cloned();
            let route = route.ok_or_else(|| GenerateError::UnknownModel { model: self.model.clone() })?;
            let mut open = self.fitting(&route);
            open.sort_by_key(|pipeline| Some(pipeline.epoch) == avoid);
            for pipeline in &open {
                if let Ok(room) = pipeline.try_room(self.tokens) {
                    return Ok(Place { pipeline: pipeline.clone(), room });
                }
            }
            if open.is_empty() {
                let until = *until.get_or_insert_with(|| Instant::now() + within);
                if !matches!(tokio::time::timeout_at(until, self.routes.changed()).await, Ok(Ok(()))) {
                    return Err(GenerateError::NotReady { model: self.model.clone(), reason: route.reason });
                }
                continue;
            }
            until = None;
            let epochs: Vec<Epoch> = open.iter().map(|pipeline| pipeline.epoch).collect();
            let rooms = open.iter().map(|pipeline| Box::pin(pipeline.room.clone().acquire_many_owned(self.permits())));
            let others = self.routes.clone();
            tokio::select! {
                biased;
                (room, at, _) = select_all(rooms) => {
                    let room = room.map_err(|_| GenerateError::ShuttingDown)?;
                    return Ok(Place { pipeline: open[at].clone(), room });
                }
                () = self.others_than(others, &epochs) => {}
            }
        }
    }

    /// Waits until a session on this pipeline should go on elsewhere at once, its token under way lost. Cancel-safe.
    pub(crate) async fn leaves_at_once(&self, pipeline: &Pipeline) {
        let mut routes = self.routes.clone();
        let stalled = |routes: &Routes| {
            pipeline.standing() == Standing::Stalled
                && routes.get(&self.model).is_some_and(|route| !self.fitting(route).is_empty())
        };
        if routes.wait_for(stalled).await.is_err() {
            // Nobody plans any more; what runs goes on.
            std::future::pending::<()>().await;
        }
    }

    /// Whether a session on this pipeline should go on elsewhere after its token: a machine is wanted back, and another
    /// pipeline has room now.
    pub(crate) fn leaves(&self, pipeline: &Pipeline) -> bool {
        if pipeline.standing() == Standing::Open {
            return false;
        }
        let routes = self.routes.now();
        let route = routes.get(&self.model);
        route.is_some_and(|route| self.fitting(route).iter().any(|p| p.room.available_permits() >= self.tokens))
    }

    fn fitting(&self, route: &Route) -> Vec<Arc<Pipeline>> {
        let mut open = route.open();
        open.retain(|pipeline| pipeline.capacity >= self.tokens);
        open
    }

    fn permits(&self) -> u32 {
        u32::try_from(self.tokens).unwrap_or(u32::MAX)
    }

    /// Waits until the model's open pipelines are others than these.
    async fn others_than(&self, mut routes: Published<Routes>, epochs: &[Epoch]) {
        let changed = |routes: &Routes| {
            let fitting = routes.get(&self.model).map(|route| self.fitting(route)).unwrap_or_default();
            fitting.len() != epochs.len() || fitting.iter().any(|pipeline| !epochs.contains(&pipeline.epoch))
        };
        if routes.wait_for(changed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
