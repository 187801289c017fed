mod format;
mod machine;

use super::screen::{Screen, View};
use anyhow::{Result, bail};
use bytesize::ByteSize;
use format::{count, percent, short};
use gogrid_panel_api::{Connection, Request, Response, Stage, State, Status};
use gogrid_panel_client::{ANSWER_TIMEOUT, WorkerClient};
use machine::MachineSummary;
use std::{
    fmt::{Display, Write},
    time::Duration,
};

pub(super) async fn run(mut worker: WorkerClient, screen: &Screen, follow: Option<Duration>) -> Result<()> {
    let Some(every) = follow else {
        show(screen, &worker.status().await?)?;
        return Ok(());
    };
    let every_ms = u32::try_from(every.as_millis())?;
    worker.send(&Request::Follow { every_ms }).await?;
    loop {
        match worker.next_within(every + ANSWER_TIMEOUT).await? {
            Response::Status(status) if show(screen, &status)? => {}
            Response::Status(_) => return Ok(()),
            _ => bail!("the worker does not tell its state"),
        }
    }
}

fn show(screen: &Screen, status: &Status) -> Result<bool> {
    Ok(screen.show(&View { json: status, text: describe(status), line: line(status) })?)
}

/// What the worker does and why.
pub(crate) fn sentence(status: &Status) -> String {
    let Status { reason, .. } = status;
    let mut text = match status.state {
        State::NotJoined => format!("member of no grid: {reason}"),
        State::Connecting => format!("connecting: {reason}"),
        State::Idle => format!("idle: {reason}"),
        State::Working => format!("working: {reason}"),
        State::Throttled => format!("throttled: {reason}"),
        State::Stopped => format!("stopped: {reason}"),
        // The reason says that it is paused.
        State::Paused => reason.clone(),
    };
    if status.pausing_after_answers {
        text.push_str("; pauses once the answers under way are over");
    }
    text
}

/// The state in a line.
fn line(status: &Status) -> String {
    let (allowance, usage) = (&status.allowance, &status.usage);
    let mut text = format!("{}: CPU {} of {}", sentence(status), percent(usage.cpu), allowance.cpu);
    if let Some(gpu) = usage.gpu {
        let _ = write!(text, ", GPU {} of {}", percent(gpu), allowance.gpu);
    }
    let (used, limit) = (ByteSize(usage.ledger_bytes), ByteSize(usage.limit_bytes));
    let _ = write!(text, ", memory {used} of {limit}, {:.1} tok/s", usage.tokens_per_second);
    let _ = write!(text, ", {}", count(status.sessions.into(), "session"));
    text
}

/// The state for people, on one screen.
fn describe(status: &Status) -> String {
    let mut table = Table::default();
    table.row("worker", format!("{} ({}) on {}", status.name, short(&status.id), status.device));
    table.row("state", sentence(status));
    table.row("grid", grid(status.connection.as_ref()));
    table.row("may take", allowance(status));
    table.row("takes", usage(status));
    table.row("memory", ledger(status));
    match &status.sample {
        None => table.row("machine", "not looked at yet"),
        Some(sample) => {
            let machine = MachineSummary::of(sample);
            table.row("machine", machine.known.join(", "));
            if !machine.unknown.is_empty() {
                table.row("unknown", machine.unknown.join("; "));
            }
        }
    }
    for held in &status.stages {
        table.row("stage", stage(held));
    }
    table.row("sessions", status.sessions);
    table.row("done", contribution(status));
    for lever in &status.levers {
        if let Err(why) = &lever.result {
            table.row("not set", format!("{}: {why}", lever.name));
        }
    }
    table.text
}

fn stage(stage: &Stage) -> String {
    let Stage { model, epoch, layers: [first, end], .. } = stage;
    let last = end.saturating_sub(1);
    let holds = if stage.loaded {
        let (weights, kv) = (ByteSize(stage.weights_bytes), ByteSize(stage.kv_bytes));
        let blocked = if stage.blocked { ", blocked: the next stage's machine takes nothing now" } else { "" };
        format!("weights {weights}, KV caches {kv}, {}{blocked}", count(stage.sessions.into(), "session"))
    } else {
        "loading".to_owned()
    };
    format!("{model} layers {first} to {last}, epoch {epoch}: {holds}")
}

fn grid(connection: Option<&Connection>) -> String {
    let Some(Connection { coordinator, grid, connected, problem }) = connection else { return "none".to_owned() };
    let connected = if *connected { "connected to" } else { "not connected to" };
    let problem = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    let name = if grid.is_empty() { String::new() } else { format!("{grid}, ") };
    format!("{connected} {name}coordinator {}{problem}", short(coordinator))
}

/// The allowance against the limits, as these are set.
fn allowance(status: &Status) -> String {
    let allowed = &status.allowance;
    let limit = |key: &str| {
        let setting = status.limits.iter().find(|setting| setting.key == key);
        setting.map_or_else(String::new, |setting| format!(" (limit {})", setting.value))
    };
    let mut text =
        format!("CPU {}{}, memory {}{}", allowed.cpu, limit("cpu"), ByteSize(allowed.memory), limit("memory"));
    if status.usage.gpu.is_some() {
        let memory = ByteSize(allowed.gpu_memory);
        let _ = write!(text, ", GPU {}{}, GPU memory {memory}{}", allowed.gpu, limit("gpu"), limit("gpu-memory"));
    }
    text
}

fn usage(status: &Status) -> String {
    let usage = &status.usage;
    let mut text = format!("CPU {}", percent(usage.cpu));
    if let Some(gpu) = usage.gpu {
        let _ = write!(text, ", GPU {}", percent(gpu));
    }
    let _ = write!(text, ", {:.1} tok/s", usage.tokens_per_second);
    text
}

fn ledger(status: &Status) -> String {
    let usage = &status.usage;
    let [all, limit] = [usage.ledger_bytes, usage.limit_bytes].map(ByteSize);
    let [weights, kv, workspace] = [usage.weights_bytes, usage.kv_bytes, usage.workspace_bytes].map(ByteSize);
    format!("{all} of {limit}: weights {weights}, KV caches {kv}, workspace {workspace}")
}

fn contribution(status: &Status) -> String {
    let done = &status.contribution;
    let (tokens, slices) = (count(done.tokens, "token"), count(done.slices, "slice"));
    format!(
        "{tokens} in {slices}, {:.1} s of computing; {} waited {:.1} s for the limits; longest of the last minute {:.1} ms, 99 % within {:.1} ms",
        done.busy_seconds, done.throttled, done.waited_seconds, done.longest_slice_ms, done.slice_p99_ms
    )
}

/// Rows, each with its name on the left.
#[derive(Default)]
struct Table {
    text: String,
}

impl Table {
    fn row(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{name:<8} {value}");
    }
}

#[cfg(test)]
mod tests;
