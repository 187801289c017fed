//! A model's pipelines as the router sees them, and the choice among them.
//!
//! A model may have several pipelines, each on machines of its own. A request goes to the one with the least predicted
//! token time that has KV memory free; if none has, it waits for all of them at once. It stays there until its pipeline
//! is lost, or until one of the pipeline's machines leaves and another pipeline has KV memory for it.

use crate::{
    generate::{GenerateError, NotReady},
    model::Model,
    pipeline::{Pipeline, PipelineHealth, Prefix},
    prefix_cache::Lookup,
    published::Published,
};
use futures::future::select_all;
use gogrid_wire::Epoch;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// What the router needs of a model.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) model: Arc<Model>,
    /// The pipelines that take sessions.
    pub(crate) pipelines: Vec<Arc<Pipeline>>,
    /// What the model waits for if no pipeline takes sessions.
    pub(crate) reason: NotReady,
}

/// Every model that is known.
#[derive(Default)]
pub(crate) struct RouteTable {
    /// Those that are open, by name.
    pub(crate) open: BTreeMap<String, Route>,
    /// The names of those whose files are being read.
    pub(crate) opening: BTreeSet<String>,
    /// Whether the registry was read, so that others do not exist.
    pub(crate) is_complete: bool,
}

/// What the fleet publishes.
pub(crate) type Routes = Arc<RouteTable>;

impl RouteTable {
    /// A model's route.
    ///
    /// # Errors
    /// [`GenerateError::NotReady`] if its files are being read, else [`GenerateError::UnknownModel`].
    pub(crate) fn find(&self, model: &str) -> Result<Route, GenerateError> {
        if let Some(route) = self.open.get(model) {
            return Ok(route.clone());
        }
        let model = model.to_owned();
        if self.opening.contains(&model) {
            return Err(GenerateError::NotReady { model, reason: NotReady::Reading });
        }
        if !self.is_complete {
            return Err(GenerateError::NotReady { model, reason: NotReady::Starting });
        }
        Err(GenerateError::UnknownModel { model })
    }
}

/// A session's KV memory, reserved on every stage of a pipeline until this is dropped.
pub(crate) struct Reservation {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) kv: OwnedSemaphorePermit,
    /// What the stages have of the sequence already.
    pub(crate) prefix: Option<Prefix>,
}

impl Route {
    /// Pipelines that take sessions now, the one with the least predicted token time first.
    pub(crate) fn open(&self) -> Vec<Arc<Pipeline>> {
        let mut open: Vec<_> = self.pipelines.iter().filter(|pipeline| pipeline.open_for_sessions()).cloned().collect();
        open.sort_by_cached_key(|pipeline| pipeline.predicted_token_time());
        open
    }

    /// Whether a session may start now.
    pub(crate) fn is_open(&self) -> bool {
        self.pipelines.iter().any(|pipeline| pipeline.open_for_sessions())
    }

    /// Whether a session whose answer is constrained may start now.
    pub(crate) fn constrains(&self) -> bool {
        self.pipelines.iter().any(|pipeline| pipeline.open_for_sessions() && pipeline.constrains)
    }

    /// The longest sequence, in tokens, that an open pipeline can hold; `None` if none is open.
    pub(crate) fn kv_capacity(&self) -> Option<usize> {
        let open = self.pipelines.iter().filter(|pipeline| pipeline.open_for_sessions());
        let context = self.model.manifest.config.context_length;
        open.map(|pipeline| pipeline.kv_capacity.longest(context)).max()
    }
}

/// Tokens of an answer, for the choice of a pipeline: a usual one.
const ANSWER_TOKENS: u64 = 256;
/// Tokens of a prompt that take as long as one of the answer: a prompt's are computed many at a time.
const PROMPT_TOKENS: u64 = 16;

/// How long a pipeline may take for a prompt and a usual answer, in nanoseconds.
fn expected_time(pipeline: &Pipeline, lookup: Lookup<'_>) -> u64 {
    let missing = lookup.tokens.len().saturating_sub(pipeline.has_of(lookup)) as u64;
    pipeline.predicted_token_time().saturating_mul(ANSWER_TOKENS + missing / PROMPT_TOKENS)
}

/// Chooses a pipeline for one request, again whenever it has to move.
pub(crate) struct PipelineSelector {
    routes: Published<Routes>,
    model: String,
    /// The request's greatest length, in tokens.
    tokens: usize,
    /// Whether its answer is constrained.
    constrained: bool,
    /// How long a client may leave an event unread before its places are given to others.
    unread_within: Duration,
}

impl PipelineSelector {
    /// For a sequence of this model that reaches `tokens` tokens at most; where it is `constrained`, only pipelines whose
    /// stages all know that are chosen.
    pub(crate) fn new(
        routes: Published<Routes>,
        model: &str,
        tokens: usize,
        constrained: bool,
        unread_within: Duration,
    ) -> Self {
        Self { routes, model: model.to_owned(), tokens, constrained, unread_within }
    }

    pub(crate) fn unread_within(&self) -> Duration {
        self.unread_within
    }

    /// Reserves KV memory in the fastest pipeline that has it free, with `avoid` as the last choice; if none has it
    /// free, in the first one that gets it. `within` limits the wait for a pipeline, not for its memory. Where stages
    /// have the beginning of the sequence already, that counts as time saved. Cancel-safe.
    pub(crate) async fn reserve(
        &mut self,
        avoid: Option<Epoch>,
        within: Duration,
        lookup: Option<Lookup<'_>>,
    ) -> Result<Reservation, GenerateError> {
        let mut deadline = None;
        loop {
            let route = self.routes.observe().find(&self.model)?;
            let mut open = self.usable(&route);
            if let Some(lookup) = lookup {
                open.sort_by_cached_key(|pipeline| expected_time(pipeline, lookup));
            }
            open.sort_by_key(|pipeline| Some(pipeline.epoch) == avoid);
            if open.is_empty() {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + within);
                if !matches!(tokio::time::timeout_at(deadline, self.routes.changed()).await, Ok(Ok(()))) {
                    let model = self.model.clone();
                    return Err(match self.constrained && route.is_open() {
                        true => GenerateError::CannotConstrain { model },
                        false => GenerateError::NotReady { model, reason: route.reason },
                    });
                }
                continue;
            }
            for pipeline in &open {
                if let Some((kv, prefix)) = pipeline.try_reserve(self.tokens, lookup) {
                    return Ok(Reservation { pipeline: pipeline.clone(), kv, prefix });
                }
            }
            deadline = None;
            // A waiting request needs the memory now; a complete answer may never be asked for again.
            open.iter().for_each(|pipeline| pipeline.forget_prefixes());
            if let Some(reservation) = self.reserve_first_free(&open).await? {
                return Ok(reservation);
            }
        }
    }

    /// Waits for KV memory in all of these pipelines at once. `None` if the model's open pipelines changed meanwhile.
    async fn reserve_first_free(&self, open: &[Arc<Pipeline>]) -> Result<Option<Reservation>, GenerateError> {
        let waits = open.iter().map(|pipeline| Box::pin(pipeline.reserve_kv(self.tokens)));
        tokio::select! {
            biased;
            (kv, index, _) = select_all(waits) => {
                let kv = kv.map_err(|_| GenerateError::ShuttingDown)?;
                Ok(Some(Reservation { pipeline: open[index].clone(), kv, prefix: None }))
            }
            () = self.open_pipelines_changed(open) => Ok(None),
        }
    }

    /// Waits until other pipelines than these could hold the request.
    async fn open_pipelines_changed(&self, known: &[Arc<Pipeline>]) {
        let is_known = |pipeline: &Arc<Pipeline>| known.iter().any(|other| other.epoch == pipeline.epoch);
        let changed = |routes: &Routes| {
            let open = routes.open.get(&self.model).map(|route| self.usable(route)).unwrap_or_default();
            open.len() != known.len() || !open.iter().all(is_known)
        };
        if self.routes.clone().wait_for(changed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a session on this pipeline must move at once, giving up its token under way: the pipeline has
    /// stalled, and there is another one. Cancel-safe.
    pub(crate) async fn must_move_now(&self, pipeline: &Pipeline) {
        let stalled = |routes: &Routes| {
            pipeline.health() == PipelineHealth::Stalled
                && routes.open.get(&self.model).is_some_and(|route| !self.usable(route).is_empty())
        };
        if self.routes.clone().wait_for(stalled).await.is_err() {
            // The fleet's task has ended; what runs goes on.
            std::future::pending::<()>().await;
        }
    }

    /// Whether a session on this pipeline should move after its token: a machine of the pipeline leaves, and another
    /// pipeline has the KV memory free now.
    pub(crate) fn should_move(&self, pipeline: &Pipeline) -> bool {
        if pipeline.health() == PipelineHealth::Open {
            return false;
        }
        let routes = self.routes.current();
        let open = routes.open.get(&self.model).map(|route| self.usable(route)).unwrap_or_default();
        open.iter().any(|other| other.has_kv(self.tokens))
    }

    /// Open pipelines that can hold the request's greatest length, and constrain its answer if need be.
    fn usable(&self, route: &Route) -> Vec<Arc<Pipeline>> {
        let mut open = route.open();
        open.retain(|pipeline| pipeline.kv_capacity.holds(self.tokens));
        open.retain(|pipeline| pipeline.constrains || !self.constrained);
        open
    }
}
