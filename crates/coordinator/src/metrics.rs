//! Figures for Prometheus, at `/metrics` on the operator's listener. No figure has a label that a client chooses: a model's
//! and a machine's number is bounded, and nobody's text becomes a label.

use crate::status::{PipelineState, Status, WorkerState};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{fs, sync::Arc, time::Duration};

/// Buckets of the time to the first token, in seconds: a warm small model to a long prompt on slow machines.
const FIRST_TOKEN: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0];
/// Buckets of the time between tokens, in seconds: a GPU alone to a pause while machines are replaced.
const BETWEEN_TOKENS: [f64; 12] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 10.0, 30.0];

type Label = [(&'static str, &'static str); 1];
type Labelled = Family<Label, Counter>;

/// What is counted. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    requests: Labelled,
    refused: Labelled,
    tokens: Labelled,
    cached_tokens: Counter,
    first_token: Histogram,
    between_tokens: Histogram,
}

/// How a request ended that was let in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    Completed,
    /// Its client has gone.
    Cancelled,
    Failed,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Counts {
            requests: Family::default(),
            refused: Family::default(),
            tokens: Family::default(),
            cached_tokens: Counter::default(),
            first_token: Histogram::new(FIRST_TOKEN),
            between_tokens: Histogram::new(BETWEEN_TOKENS),
        }))
    }

    pub(crate) fn ended(&self, how: Ended) {
        let outcome = match how {
            Ended::Completed => "completed",
            Ended::Cancelled => "cancelled",
            Ended::Failed => "failed",
        };
        self.0.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Somebody was refused, for a cause of a fixed list.
    pub(crate) fn refused(&self, cause: &'static str) {
        self.0.refused.get_or_create(&[("cause", cause)]).inc();
    }

    pub(crate) fn prompt_tokens(&self, count: usize) {
        self.0.tokens.get_or_create(&[("kind", "prompt")]).inc_by(count as u64);
    }

    /// Tokens of a prompt that the stages had from an earlier request; [`Metrics::prompt_tokens`] counts them, too.
    pub(crate) fn cached_tokens(&self, count: usize) {
        self.0.cached_tokens.inc_by(count as u64);
    }

    /// A request's first token, so long after the request came.
    pub(crate) fn first_token(&self, after: Duration) {
        self.0.tokens.get_or_create(&[("kind", "completion")]).inc();
        self.0.first_token.observe(after.as_secs_f64());
    }

    /// A further token, so long after the one before.
    pub(crate) fn next_token(&self, after: Duration) {
        self.0.tokens.get_or_create(&[("kind", "completion")]).inc();
        self.0.between_tokens.observe(after.as_secs_f64());
    }

    /// Everything as text, in the OpenMetrics format.
    pub(crate) fn text(&self, status: &Status) -> String {
        let mut registry = Registry::with_prefix("gogrid");
        let Counts { requests, refused, tokens, cached_tokens, first_token, between_tokens } = &*self.0;
        registry.register("requests", "Requests that were let in, by how they ended", requests.clone());
        registry.register("refused", "Requests and connections that were refused, by cause", refused.clone());
        registry.register("tokens", "Tokens of prompts and answers", tokens.clone());
        let help = "Tokens of prompts that stages had from earlier requests";
        registry.register("prompt_tokens_cached", help, cached_tokens.clone());
        let (help, seconds) = ("From a request to its first token", Unit::Seconds);
        registry.register_with_unit("time_to_first_token", help, seconds, first_token.clone());
        let help = "Between two tokens of an answer";
        registry.register_with_unit("time_between_tokens", help, Unit::Seconds, between_tokens.clone());
        add_status(&mut registry, status);
        add_process(&mut registry);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// What there is now.
fn add_status(registry: &mut Registry, status: &Status) {
    let gauge = |value: usize| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge
    };
    registry.register("queue_waiting", "Requests that wait", gauge(status.queue.waiting));
    registry.register("queue_capacity", "Requests that may wait", gauge(status.queue.capacity));
    registry.register("sessions", "Sequences being generated", gauge(status.sessions));
    let machines = Family::<Label, Gauge>::default();
    for state in [WorkerState::Ready, WorkerState::Stopped, WorkerState::Draining, WorkerState::Offline] {
        let count = status.workers.iter().filter(|worker| worker.state == state).count();
        machines.get_or_create(&[("state", worker_state(state))]).set(count as i64);
    }
    registry.register("machines", "Members, by state", machines);
    let lent = status.workers.iter().filter(|worker| worker.state != WorkerState::Offline);
    let lent: u64 = lent.map(|worker| worker.memory_bytes).sum();
    let help = "Memory that connected machines lend";
    registry.register_with_unit("lent_memory", help, Unit::Bytes, gauge(usize::try_from(lent).unwrap_or(usize::MAX)));
    let pipelines = Family::<[(&'static str, String); 2], Gauge>::default();
    let ready = Family::<[(&'static str, String); 1], Gauge>::default();
    for model in &status.models {
        ready.get_or_create(&[("model", model.name.clone())]).set(i64::from(model.ready));
        for pipeline in &model.pipelines {
            let labels = [("model", model.name.clone()), ("state", pipeline_state(pipeline.state).to_owned())];
            pipelines.get_or_create(&labels).inc();
        }
    }
    registry.register("model_ready", "Whether a model can be asked now", ready);
    registry.register("pipelines", "Pipelines, by model and state", pipelines);
}

fn worker_state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Ready => "ready",
        WorkerState::Stopped => "stopped",
        WorkerState::Draining => "draining",
        WorkerState::Offline => "offline",
    }
}

fn pipeline_state(state: PipelineState) -> &'static str {
    match state {
        PipelineState::Ready => "ready",
        PipelineState::Building => "building",
        PipelineState::Stopped => "stopped",
        PipelineState::Leaving => "leaving",
        PipelineState::Stalled => "stalled",
    }
}

/// Descriptors and memory of this process, where Linux shows them.
fn add_process(registry: &mut Registry) {
    /// Linux counts resident memory in pages of this size on the machines that this runs on.
    const PAGE: i64 = 4096;
    let set = |value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        gauge
    };
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        registry.register("open_descriptors", "Files and sockets that this process has open", set(open.count() as i64));
    }
    let resident = fs::read_to_string("/proc/self/statm").ok();
    if let Some(pages) = resident.and_then(|text| text.split(' ').nth(1)?.parse::<i64>().ok()) {
        let help = "Resident memory of this process";
        registry.register_with_unit("resident_memory", help, Unit::Bytes, set(pages * PAGE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ModelStatus, PipelineStatus, QueueStatus};

    #[test]
    fn the_text_has_every_figure() {
        let metrics = Metrics::new();
        metrics.ended(Ended::Completed);
        metrics.ended(Ended::Failed);
        metrics.refused("rate_limit_exceeded");
        metrics.prompt_tokens(7);
        metrics.cached_tokens(5);
        metrics.first_token(Duration::from_millis(300));
        metrics.next_token(Duration::from_millis(15));
        let pipeline = PipelineStatus { epoch: 1, state: PipelineState::Ready, sessions: 1, stages: Vec::new() };
        let model = ModelStatus {
            name: "demo".into(),
            quant: "auto".into(),
            layers: 8,
            context_length: 1024,
            ready: true,
            reason: None,
            epoch: Some(1),
            stages: Vec::new(),
            replicas: 2,
            pipelines: vec![pipeline],
        };
        let queue = QueueStatus { waiting: 3, capacity: 256 };
        let status = Status { api: String::new(), workers: Vec::new(), models: vec![model], sessions: 1, queue };
        let text = metrics.text(&status);
        for line in [
            "gogrid_requests_total{outcome=\"completed\"} 1",
            "gogrid_refused_total{cause=\"rate_limit_exceeded\"} 1",
            "gogrid_tokens_total{kind=\"prompt\"} 7",
            "gogrid_tokens_total{kind=\"completion\"} 2",
            "gogrid_prompt_tokens_cached_total 5",
            "gogrid_time_to_first_token_seconds_bucket{le=\"0.5\"} 1",
            "gogrid_time_between_tokens_seconds_count 1",
            "gogrid_queue_waiting 3",
            "gogrid_machines{state=\"offline\"} 0",
            "gogrid_model_ready{model=\"demo\"} 1",
            "gogrid_pipelines{model=\"demo\",state=\"ready\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
