use std::path::PathBuf;

/// What `--json` prints: the field names are a contract.
const STATUS_JSON: &str = "\
Fields of --json, of a coordinator:
  api        base address of the API
  sessions   sequences being generated
  queue      requests that wait: waiting, and how many may: capacity
  workers    members: id, name, state (ready, stopped, draining or offline), device, memory_bytes, sessions, and
             stages: model, layers (the first, and the one after the last), epoch, quant (null until loaded),
             weights_bytes, kv_used_bytes, kv_budget_bytes, sessions, spare (true where it only waits to take a
             lost one's place), measured (layer_ms, head_ms, prompt_layer_ms: once they are known)
  models     name, quant, layers, context_length, ready, reason (what it waits for, or null), epoch (or null) and
             stages in order (layers, worker, worker_id) of its first pipeline, replicas (pipelines that it may have),
             and pipelines: epoch, state (ready, building, stopped, leaving or stalled), sessions, stages

Fields of --json, of a worker (shares of a device are in thousandths, loads between 0 and 1):
  id, name, device
  state         not_joined, connecting, idle, working, throttled, stopped or paused
  reason        why, in a sentence
  pausing_after_answers  whether it pauses once the answers under way are over
  connection    null before it has joined, or coordinator (its id), grid (its name), connected, problem (why not)
  about         what the grid says of itself (null before it has): owner, contact, purpose, models (a line each; texts
                are empty where it does not say), answers_today (of the whole grid), and api (null, or url, which is
                null where this machine does not reach it, and local: on the coordinator's machine alone)
  left          the grid that was left and may be joined again without a code: grid, until_ms; else null
  machine       cores, memory, gpu_name, gpu_memory, disk (bytes; null where not known)
  allowance     what it may take now: cpu, gpu, memory and gpu_memory (bytes), reason (kind, and what that kind has)
  usage         what it takes now: cpu, gpu (null without one), tokens_per_second, and of the memory ledger
                ledger_bytes, weights_bytes, kv_bytes, workspace_bytes, limit_bytes
  limits        as of `gogrid limits show --json`: key, value, changed, help, default, managed (null, or bound and
                hidden), and no_signal (why the rule is off on this machine, or null)
  managed_by    who bounds the limits, or null
  sample        the latest sample of the machine (null before the first), each signal known, unknown or absent (with why):
                cpu (total, own), memory (total, available, own, pressure), gpu (null, or load, memory_total,
                memory_used, memory_own, celsius, watts), cpu_celsius, cpu_watts, power (mains, or battery: charge),
                user_idle (secs, nanos), full_screen, programs
  stages        model, layers (the first, and the one after the last), epoch, loaded, weights_bytes, kv_bytes, sessions,
                blocked (waits for the next stage's machine)
  sessions      sessions with a KV cache here
  contribution  since it was started: tokens, slices, throttled, busy_seconds, waited_seconds, and of the last minute
                slice_p99_ms, divisible_slice_p99_ms (of slices that could have been cut), longest_slice_ms
  today         the work of this day: date, tokens, active_seconds, energy_wh, metered_wh, running_seconds
  levers        what the system was asked for to keep it in the background, and to its own files: name, result (Ok or
                Err, with a text)";

#[derive(Debug, clap::Args)]
#[command(after_long_help = STATUS_JSON)]
pub(crate) struct StatusArgs {
    /// The folder of a coordinator or a worker that runs.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// As JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
    /// Again and again until Ctrl-C: on a terminal in place, elsewhere a line each; with --json an object a line.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Every name in a JSON document.
    fn names(value: &Value) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                fields.iter().flat_map(|(name, value)| [vec![name.clone()], names(value)].concat()).collect()
            }
            Value::Array(values) => values.iter().flat_map(names).collect(),
            _ => Vec::new(),
        }
    }

    /// The two parts of the help: a coordinator's fields, and a worker's.
    fn parts() -> (&'static str, &'static str) {
        STATUS_JSON.split_once("\n\n").expect("two parts")
    }

    fn names_all(help: &str, value: &Value) {
        let words: Vec<&str> = help.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for name in names(value) {
            assert!(words.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn help_names_every_field_of_a_workers_status() {
        let status: gogrid_panel_api::Status =
            serde_json::from_str(include_str!("../../../panel-api/tests/status.json")).expect("a status");
        names_all(parts().1, &serde_json::to_value(&status).expect("a status is JSON"));
    }

    #[test]
    fn help_names_every_field_of_a_coordinators_status() {
        use gogrid_coordinator::status::{
            HeldStage, MeasuredStage, ModelStatus, PipelineState, PipelineStatus, PlacedStage, QueueStatus, Status,
            WorkerState, WorkerStatus,
        };
        let text = String::new;
        let held = HeldStage {
            model: text(),
            layers: [0, 1],
            epoch: 1,
            quant: None,
            weights_bytes: 0,
            kv_used_bytes: 0,
            kv_budget_bytes: 0,
            sessions: 0,
            spare: true,
            measured: Some(MeasuredStage { layer_ms: 1.0, head_ms: None, prompt_layer_ms: None }),
        };
        let worker = WorkerStatus {
            id: text(),
            name: text(),
            state: WorkerState::Ready,
            device: text(),
            memory_bytes: 0,
            sessions: 0,
            stages: vec![held],
        };
        let stages = vec![PlacedStage { layers: [0, 1], worker: text(), worker_id: text() }];
        let state = PipelineState::Ready;
        let pipeline = PipelineStatus { epoch: 1, state, sessions: 0, stages: stages.clone() };
        let model = ModelStatus {
            name: text(),
            quant: text(),
            layers: 1,
            context_length: 1,
            ready: true,
            reason: None,
            epoch: None,
            stages,
            replicas: 1,
            pipelines: vec![pipeline],
        };
        let queue = QueueStatus { waiting: 0, capacity: 0 };
        let status = Status { api: text(), workers: vec![worker], models: vec![model], sessions: 0, queue };
        names_all(parts().0, &serde_json::to_value(&status).expect("a status is JSON"));
    }
}
