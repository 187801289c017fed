//! The command line. Names and flags are a contract.

use crate::chat::ChatOptions;
use bytesize::ByteSize;
use clap::{Parser, Subcommand};
use gogrid_model::{DeviceSpec, Quant};
use jiff::SignedDuration;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// GoGrid turns idle machines into one language-model service.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A coordinator and workers on this machine, with a small model that is part of this program.
    Demo(DemoArgs),
    /// Runs a coordinator: the API, and what workers join.
    Coordinator(CoordinatorArgs),
    /// Lends this machine to a coordinator.
    Worker(WorkerArgs),
    /// Prints a join code for new workers.
    Invite(InviteArgs),
    /// Models that a coordinator serves.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Shows a coordinator's workers, models, stages, sessions and queue.
    Status(StatusArgs),
    /// A chat in the terminal with any coordinator.
    Chat(ChatArgs),
    /// Measures on this machine: parity with a reference, quality of weight types, speed of pipelines.
    #[command(subcommand)]
    Bench(BenchCommand),
}

impl Command {
    /// Whether the log shows warnings only, since the screen is for people.
    pub(crate) fn quiet(&self) -> bool {
        !matches!(self, Self::Coordinator(_) | Self::Worker(_))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Worker processes; the model's eight layers are split over all of them.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) workers: u32,
    /// Asks this, prints the answer and ends.
    #[arg(long)]
    pub(crate) prompt: Option<String>,
    /// Weight type; `none` computes in f32 on a CPU.
    #[arg(long)]
    pub(crate) quant: Option<Quant>,
    /// What computes: cpu, cuda:N or metal; given several times, the workers take them in turn.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Vec<DeviceSpec>,
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = COORDINATOR_TOML)]
pub(crate) struct CoordinatorArgs {
    /// Folder of its identity, members, models and settings (coordinator.toml).
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Address of the API; 127.0.0.1:8080 when neither this nor coordinator.toml says otherwise.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Stops when standard input closes, so that it never outlives the program that started it.
    #[arg(long)]
    pub(crate) parent: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Folder of its identity, membership and weights.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Join code, needed once; `-` reads it from standard input.
    #[arg(long, value_name = "CODE|-")]
    pub(crate) join: Option<String>,
    /// Memory to lend for weights and KV caches; half of the device's memory when not given.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) memory: Option<ByteSize>,
    /// What computes: cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// Stops when standard input closes, so that it never outlives the program that started it.
    #[arg(long)]
    pub(crate) parent: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InviteArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// How many machines the code lets in.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) uses: u32,
    /// How long the code is good for: 30m, 1h, 2d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) expires: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Adds a Hugging Face folder or a GGUF file, or replaces the model of that name.
    Add(ModelAddArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelAddArgs {
    /// A Hugging Face model folder, or a GGUF file.
    #[arg(value_name = "FOLDER_OR_GGUF")]
    pub(crate) path: PathBuf,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The name that requests use; the last part of the path when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Split into at least this many stages, even where fewer machines would do.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) stages: usize,
    /// Weight type: none, q8_0, q4_0, q4_1, q5_0, q5_1, q4k, q5k, q6k. When not given, CPUs run 16-bit models as q8_0.
    #[arg(long, value_name = "Q")]
    pub(crate) quant: Option<Quant>,
}

/// What `--json` prints: the field names are a contract.
const STATUS_JSON: &str = "\
Fields of --json:
  api        base address of the API
  sessions   sequences being generated
  queue      requests that wait: waiting, and how many may: capacity
  workers    members: id, name, state (ready, draining or offline), device, memory_bytes, sessions, and
             stages: model, layers (the first, and the one after the last), epoch, quant (null until loaded),
             weights_bytes, kv_used_bytes, kv_budget_bytes, sessions
  models     name, quant, layers, context_length, ready, reason (what it waits for, or null), epoch (or null), and
             stages in order: layers, worker, worker_id";

/// What the coordinator reads from its folder beside the command line.
const COORDINATOR_TOML: &str = "\
Keys of coordinator.toml, all of them optional; the command line counts first:
  listen          address of the API, \"127.0.0.1:8080\"
  link_listen     UDP address of the links with workers, \"0.0.0.0:7450\"
  weights_listen  TCP address from which workers fetch weights, \"0.0.0.0:7451\"
  queue_capacity  requests that may wait before others are refused with status 429, 256
  max_sessions    sequences that are generated at once, 64";

#[derive(Debug, clap::Args)]
#[command(after_long_help = STATUS_JSON)]
pub(crate) struct StatusArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// As JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// The coordinator's API.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The model; the first that is ready when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compares a model with a reference computed in f32, for every way of cutting few layers and some of many.
    ///
    /// Prints the largest error of layer states and logits per cut, relative to the reference's largest value. Exits
    /// with 1 where one is over the bound.
    Parity(ParityArgs),
    /// Asks the demo model questions that its training never showed, with each weight type: right answers, bytes, tok/s.
    Quality(QualityArgs),
    /// Times one process without links against workers with links: prefill, decode, overhead per hop, peak memory.
    ///
    /// Every process computes with all cores; CANDLE_NUM_THREADS and RAYON_NUM_THREADS say otherwise for all of them.
    Pipeline(PipelineArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ParityArgs {
    /// A folder with config.json and model.safetensors, or a GGUF file.
    #[arg(value_name = "FOLDER")]
    pub(crate) model: PathBuf,
    /// The reference: safetensors with input_ids, hidden.0 and so on, hidden.final, logits and greedy;
    /// FOLDER/reference.safetensors when not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) reference: Option<PathBuf>,
    /// What computes: cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// Weight type.
    #[arg(long, default_value = "none")]
    pub(crate) quant: Quant,
    /// The largest relative error that is accepted.
    #[arg(long, default_value_t = 1e-4)]
    pub(crate) bound: f32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QualityArgs {
    /// What computes: cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// Weight type; can be given several times, all types when not given.
    #[arg(long)]
    pub(crate) quant: Vec<Quant>,
    /// Asks only the first so many of the 1000 questions.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) questions: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PipelineArgs {
    /// The model; both when not given. 1.1b is a Llama shape with random weights, made for the occasion (2.2 GB in the
    /// folder for temporary files, and as much for each pipeline's workers).
    #[arg(long)]
    pub(crate) model: Vec<BenchModel>,
    /// Workers of a pipeline; can be given several times, 1, 2 and 4 when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) workers: Vec<u32>,
    /// What computes: cpu, cuda:N or metal; given several times, the workers take them in turn, and the process without
    /// links takes the first.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Vec<DeviceSpec>,
    /// Weight type.
    #[arg(long, default_value = "q8_0")]
    pub(crate) quant: Quant,
    /// Tokens of the prompt.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) prompt: u32,
    /// Tokens to generate.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=512))]
    pub(crate) tokens: u32,
    /// Rounds, in each of which everything is timed once; medians are shown.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
}

/// A model to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BenchModel {
    /// The demo model, 6.8 million parameters.
    Demo,
    /// A Llama shape of 1.1 billion parameters.
    #[value(name = "1.1b")]
    Random,
}

impl From<ChatArgs> for ChatOptions {
    fn from(args: ChatArgs) -> Self {
        Self { url: args.url, model: args.model, temperature: None }
    }
}

fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize =
        text.parse().map_err(|_| "a size is a number with a unit, such as 512MiB or 4GiB".to_owned())?;
    let least = ByteSize::mib(1);
    if size < least { Err(format!("memory must be at least {least}")) } else { Ok(size) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration =
        text.parse().map_err(|_| "a duration is a number with a unit, such as 30m, 1h or 2d".to_owned())?;
    parsed.try_into().map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// Every name in a JSON document.
    fn names(value: &serde_json::Value) -> Vec<String> {
        match value {
            serde_json::Value::Object(fields) => {
                fields.iter().flat_map(|(name, value)| [vec![name.clone()], names(value)].concat()).collect()
            }
            serde_json::Value::Array(values) => values.iter().flat_map(names).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn help_names_every_field_of_the_status() {
        use gogrid_coordinator::status::{
            HeldStage, ModelStatus, PlacedStage, QueueStatus, Status, WorkerState, WorkerStatus,
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
        let model = ModelStatus {
            name: text(),
            quant: text(),
            layers: 1,
            context_length: 1,
            ready: true,
            reason: None,
            epoch: None,
            stages: vec![PlacedStage { layers: [0, 1], worker: text(), worker_id: text() }],
        };
        let queue = QueueStatus { waiting: 0, capacity: 0 };
        let status = Status { api: text(), workers: vec![worker], models: vec![model], sessions: 0, queue };
        let words: Vec<&str> = STATUS_JSON.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for name in names(&serde_json::to_value(status).expect("a status is JSON")) {
            assert!(words.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn sizes_and_durations_have_units() {
        assert_eq!(memory("4GiB"), Ok(ByteSize::gib(4)));
        assert!(memory("lots").is_err() && memory("7").is_err());
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        assert!(duration("-1h").is_err() && duration("soon").is_err());
    }
}
