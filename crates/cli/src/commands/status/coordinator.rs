use bytesize::ByteSize;
use gogrid_coordinator::status::{PipelineState, Status, WorkerState};
use std::fmt::Write;

/// The status for people.
pub(super) fn describe(status: &Status) -> String {
    let mut text = String::new();
    let sessions = (status.sessions, status.queue.waiting, status.queue.capacity);
    let _ = writeln!(text, "api      {}", status.api);
    let _ = writeln!(text, "sessions {} running, {} of {} waiting", sessions.0, sessions.1, sessions.2);
    for model in &status.models {
        let state = model.reason.as_ref().map_or_else(|| "ready".to_owned(), |reason| format!("waits: {reason}"));
        let _ = writeln!(text, "model    {} ({} layers, {}): {state}", model.name, model.layers, model.quant);
        for pipeline in &model.pipelines {
            let state = match pipeline.state {
                PipelineState::Ready => "ready",
                PipelineState::Building => "being built",
                PipelineState::Stopped => "stopped by an owner",
                PipelineState::Leaving => "leaving",
                PipelineState::Stalled => "stalled",
            };
            let _ = writeln!(text, "         pipeline {}: {state}, {} sessions", pipeline.epoch, pipeline.sessions);
            for stage in &pipeline.stages {
                let ([first, end], id) = (stage.layers, &stage.worker_id[..10]);
                let _ = writeln!(text, "         layers {first:>3} to {:<3} on {} ({id})", end - 1, stage.worker);
            }
        }
    }
    for worker in &status.workers {
        let state = match worker.state {
            WorkerState::Ready => "ready",
            WorkerState::Stopped => "stopped by its owner",
            WorkerState::Draining => "leaving",
            WorkerState::Offline => "offline",
        };
        let _ = writeln!(text, "worker   {} ({}) {state}", worker.name, &worker.id[..10]);
        if worker.state != WorkerState::Offline {
            let lent = ByteSize(worker.memory_bytes);
            let used: u64 = worker.stages.iter().map(|stage| stage.weights_bytes + stage.kv_used_bytes).sum();
            let (used, sessions) = (ByteSize(used), worker.sessions);
            let _ = writeln!(text, "         {}, {used} of {lent} in use, {sessions} sessions", worker.device);
            for spare in worker.stages.iter().filter(|stage| stage.spare) {
                let ([first, end], model) = (spare.layers, &spare.model);
                let _ = writeln!(text, "         keeps layers {first} to {} of {model} warm", end - 1);
            }
        }
    }
    text
}

/// The status in a line.
pub(super) fn line(status: &Status) -> String {
    let ready = status.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count();
    let served = status.models.iter().filter(|model| model.ready).count();
    let (workers, models, queue) = (status.workers.len(), status.models.len(), &status.queue);
    format!(
        "{ready} of {workers} workers and {served} of {models} models ready, {} sessions running, {} of {} waiting",
        status.sessions, queue.waiting, queue.capacity
    )
}
