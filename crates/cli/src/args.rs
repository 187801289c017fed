//! The command line. Its names and flags are a contract.

mod bench;
mod key;
mod lending;
mod plan;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use bench::{
    BenchCommand, BenchModel, EngineArgs, FramesArgs, NeighbourArgs, NeighbourRow, ParityArgs, PipelineArgs,
    PrefixArgs, QualityArgs, RecoveryArgs, RecoveryWay, RoundingArgs,
};
pub(crate) use key::{AuditArgs, KeyCommand, KeyCreateArgs, KeyRevokeArgs, UsageArgs};
pub(crate) use lending::{LimitsCommand, PauseArgs, ResumeArgs};
pub(crate) use plan::PlanArgs;
pub(crate) use status::StatusArgs;

use crate::{chat::ChatOptions, logs::Log};
use bytesize::ByteSize;
use clap::{Parser, Subcommand, builder::FalseyValueParser};
use gogrid_coordinator::chat::ToolFormat;
use gogrid_limits::Preset;
use gogrid_model::{DeviceSpec, Quant};
use jiff::{Span, SpanRelativeTo};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

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
    /// Prints a join code for new workers; lists and revokes those that were made.
    Invite(InviteArgs),
    /// Keys with which clients use a coordinator's API.
    #[command(subcommand)]
    Key(KeyCommand),
    /// What each key used, day by day.
    Usage(UsageArgs),
    /// What operators changed, which machines came and went, and who was refused.
    Audit(AuditArgs),
    /// Models that a coordinator serves.
    #[command(subcommand)]
    Model(ModelCommand),
    /// The token with which `gogrid model add hf:…` asks a hub for models that need one.
    #[command(subcommand)]
    Hub(HubCommand),
    /// Machines that may join a coordinator.
    #[command(subcommand)]
    Member(MemberCommand),
    /// Shows a coordinator's workers, models, stages, sessions and queue; or what a worker does, and why.
    Status(StatusArgs),
    /// Shows where a coordinator's models would go, how fast they would be and why; changes nothing.
    Plan(PlanArgs),
    /// What a worker on this machine lends, and when.
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// Stops a worker's computing, until it is resumed or for a time.
    Pause(PauseArgs),
    /// Ends a worker's pause.
    Resume(ResumeArgs),
    /// A chat in the terminal with any coordinator.
    Chat(ChatArgs),
    /// Measures on this machine: parity with a reference, quality of weight types, speed of pipelines, limits.
    #[command(subcommand)]
    Bench(BenchCommand),
}

impl Command {
    /// The data folder of a program that runs for long.
    pub(crate) fn service_folder(&self) -> Option<&Path> {
        match self {
            Self::Coordinator(args) => Some(&args.data),
            Self::Worker(args) => Some(&args.data),
            _ => None,
        }
    }

    /// Where the log of this command goes.
    pub(crate) fn log(&self) -> Log<'_> {
        match self {
            Self::Coordinator(args) => Log::Service { name: "coordinator", data: &args.data },
            Self::Worker(args) => Log::Service { name: "worker", data: &args.data },
            _ => Log::Screen,
        }
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
    /// Settings file of what to lend and when (TOML, keys as of `gogrid limits set`).
    #[arg(long, value_name = "FILE")]
    pub(crate) limits: Option<PathBuf>,
    /// What to lend where no limits were set: quiet, balanced or full.
    #[arg(long, value_name = "NAME", default_value = Preset::Full.name(), value_parser = preset)]
    pub(crate) preset: Preset,
    /// The machine's name, for people; its host name when not given.
    #[arg(long, value_parser = machine_name)]
    pub(crate) name: Option<String>,
    /// Computes whole batches instead of slices, for `bench neighbour`, which shows what slices gain.
    #[arg(long, hide = true)]
    pub(crate) whole_batches: bool,
    /// Keeps the user's rights, which the worker gives up on Linux, for a GPU's driver that needs more than it is left.
    #[arg(long, env = "GOGRID_NO_SANDBOX", value_parser = FalseyValueParser::new())]
    pub(crate) no_sandbox: bool,
    /// For a program that starts a worker: stops when standard input closes, so that it never outlives that program.
    /// The first line of standard input is JSON: {"key": the machine's secret key in hexadecimal, "join": a code}, both
    /// optional. Without a key the worker keeps one of its own. Without a code it also runs while the machine is a
    /// member of no grid.
    #[arg(long, conflicts_with = "join")]
    pub(crate) parent: bool,
}

/// A coordinator's folder, and nothing else.
#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct InviteArgs {
    #[command(subcommand)]
    pub(crate) command: Option<InviteCommand>,
    #[command(flatten)]
    pub(crate) new: Option<NewInviteArgs>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InviteCommand {
    /// Join codes that are still good, by their ids: the codes themselves are not stored.
    List(FolderArgs),
    /// Makes a join code useless.
    Revoke(InviteRevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct InviteRevokeArgs {
    /// The code's id, as `gogrid invite list` shows it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewInviteArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// How many machines the code lets in.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) uses: u32,
    /// A group that the machines become members of; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Vec<String>,
    /// How long the code is good for: 30m, 1h, 2d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) expires: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Adds a model from a folder, a file, a hub or a URL, or replaces the model of that name.
    Add(ModelAddArgs),
    /// What is in a Hugging Face folder or a GGUF file, whether it would run, and if not, why.
    Inspect(ModelInspectArgs),
    /// The models that are served or wait for machines.
    List(FolderArgs),
    /// Stops serving a model; its files stay.
    Remove(ModelRemoveArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct HubArgs {
    /// The hub: Hugging Face's, or a mirror of it.
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT", default_value = gogrid_hub::DEFAULT_HUB)]
    pub(crate) hub: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Asks for the hub's token and keeps it in the system's key store. `HF_TOKEN` in the environment counts first.
    Login(HubArgs),
    /// Takes the token out of the key store.
    Logout(HubArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelInspectArgs {
    /// The file (of several parts any one), or the folder.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelRemoveArgs {
    /// The name that requests use.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// The machines on the allow list.
    List(FolderArgs),
    /// Takes a machine off the allow list. A running coordinator cuts it off at once.
    #[command(visible_alias = "revoke")]
    Remove(MemberRemoveArgs),
    /// Gives a machine a name to show instead of its own, from its next connection on.
    Rename(MemberRenameArgs),
    /// Puts a machine into groups, and out of all others.
    Group(MemberGroupArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct MemberGroupArgs {
    /// The machine's name or id, as `gogrid status` shows them.
    #[arg(value_name = "NAME_OR_ID")]
    pub(crate) member: String,
    /// The groups; none takes it out of all.
    #[arg(value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MemberRenameArgs {
    /// The machine's name or id, as `gogrid status` shows them.
    #[arg(value_name = "NAME_OR_ID")]
    pub(crate) member: String,
    /// Its new name.
    #[arg(value_name = "NEW_NAME")]
    pub(crate) name: String,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MemberRemoveArgs {
    /// The machine's name or id, as `gogrid status` shows them.
    #[arg(value_name = "NAME_OR_ID")]
    pub(crate) member: String,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ModelAddArgs {
    /// A Hugging Face model folder or a GGUF file: a path, hf:OWNER/NAME, hf:OWNER/NAME:FILE_OR_QUANT (either may have
    /// @REVISION after NAME), or the URL of a .gguf. What comes from elsewhere goes into the coordinator's folder, below
    /// models.
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The name that requests use; the last part of the path when not given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Split into at least this many stages, even where fewer machines would do.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) stages: usize,
    /// Pipelines of it at once, at most: each is whole, on machines of its own, and takes over when another is lost.
    #[arg(long, value_name = "N", default_value_t = gogrid_coordinator::DEFAULT_REPLICAS)]
    pub(crate) replicas: usize,
    /// A group whose machines may serve it; may be given several times. All machines when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Vec<String>,
    /// Weight type: none, q8_0, q4_0, q4_1, q5_0, q5_1, q4k, q5k, q6k. When not given, CPUs run 16-bit models as q8_0.
    #[arg(long, value_name = "Q")]
    pub(crate) quant: Option<Quant>,
    /// How the model writes calls of tools: hermes, qwen3-coder, llama3, mistral, deepseek, glm, harmony, gemma, granite.
    /// When not given, its chat template tells.
    #[arg(long, value_name = "FORMAT", value_parser = tool_format)]
    pub(crate) tools: Option<ToolFormat>,
}

fn tool_format(name: &str) -> Result<ToolFormat, String> {
    let names = || ToolFormat::ALL.map(|(_, name)| name).join(", ");
    ToolFormat::named(name).ok_or_else(|| format!("it must be one of {}", names()))
}

/// The help about the settings that the coordinator reads from its folder.
const COORDINATOR_TOML: &str = "\
Keys of coordinator.toml, all of them optional; the command line counts first:
  name            the grid's name, which donors see, \"GoGrid\"
  listen          address of the API, \"127.0.0.1:8080\"
  link_listen     UDP address of the links with workers, \"0.0.0.0:7450\"
  weights_listen  TCP address from which workers of an older version fetch weights, \"0.0.0.0:7451\"
  operator_listen loopback address of the operator's API and figures, \"127.0.0.1:0\": any free port
  queue_capacity  requests that may wait before others are refused with status 429, 256
  max_sessions    sequences that are generated at once, 64
  max_sessions_per_address      the same for one address; this machine itself may have all, 48
  max_connections               connections to the API at once, 512
  max_connections_per_address   the same from one address; this machine itself may have all, 384
  client_stall_seconds          a client that takes nothing for so long is closed, and its work ends, 10
  allowed_hosts                 names under which clients reach the API, besides addresses and localhost, []
  allowed_origins               origins whose web pages may use the API, such as \"https://chat.example\", []
  tls_cert, tls_key             certificate chain and private key of the API, PEM files, read again when they change
  trusted_proxies               addresses of proxies whose X-Forwarded-For is believed, []
  keep_sessions   whether what is left of a lost pipeline keeps its sessions' KV caches for a minute, true";

#[derive(Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// The coordinator's API.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The model; the first that is ready when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

impl From<ChatArgs> for ChatOptions {
    fn from(args: ChatArgs) -> Self {
        Self { url: args.url, model: args.model, temperature: None }
    }
}

fn preset(text: &str) -> Result<Preset, String> {
    text.parse().map_err(|_| "it is none of quiet, balanced and full".to_owned())
}

/// The longest name in bytes, short enough for lists.
const LONGEST_NAME: usize = 60;

fn machine_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control);
    if fits {
        Ok(name.to_owned())
    } else {
        Err(format!("a name has 1 to {LONGEST_NAME} bytes and no control characters"))
    }
}

fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize =
        text.parse().map_err(|_| "a size is a number with a unit, such as 512MiB or 4GiB".to_owned())?;
    let least = ByteSize::mib(1);
    if size < least { Err(format!("memory must be at least {least}")) } else { Ok(size) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: Span =
        text.parse().map_err(|_| "a duration is a number with a unit, such as 30m, 1h or 2d".to_owned())?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| "months and years have no fixed length: give days or less".to_owned())?;
    duration.try_into().map_err(|_| "a duration cannot be negative".to_owned())
}
