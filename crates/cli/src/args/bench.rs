use crate::bench::engine;
use clap::Subcommand;
use gogrid_compute::bench::Shape;
use gogrid_model::{DeviceSpec, Quant, WeightType};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compares a model with a reference computed in f32, for every way of cutting few layers and some of many.
    ///
    /// Prints the largest error of layer states and logits per cut, relative to the reference's largest value. Exits
    /// with 1 where one is over the bound.
    Parity(ParityArgs),
    /// Times one process: prefill and decode by shape, weight type, batch and context.
    ///
    /// On random weights in the shape of a Llama, which it makes itself. "Of copy" is the part of the memory's bandwidth,
    /// as a copy shows it, that a decode step took for weights, keys and values.
    Engine(EngineArgs),
    /// Asks the demo model questions that its training never showed, with each weight type: right answers, bytes,
    /// tok/s.
    Quality(QualityArgs),
    /// Times one process without links against workers with links: prefill, decode, overhead per hop, peak memory.
    ///
    /// Every process computes with all cores; CANDLE_NUM_THREADS and RAYON_NUM_THREADS say otherwise for all of them.
    Pipeline(PipelineArgs),
    /// Measures what the machine's user notices of a worker: how exactly its limits hold, and how soon it yields.
    ///
    /// Starts a coordinator and a worker with a Llama shape of 1.1 billion parameters and random weights, and keeps it
    /// busy with four answers at a time. A row for each promise: what was measured, the bar, and whether it was met.
    Neighbour(NeighbourArgs),
    /// Takes a machine away in the middle of an answer, and times the pause that its client notices.
    ///
    /// A pipeline of two workers, one of which is killed or asked to leave; with another machine that has to load its
    /// stage, or has it in memory, or with another pipeline. The pause is the longest wait between two tokens from that
    /// moment on.
    Recovery(RecoveryArgs),
    /// Counts how often greedy text forks although nothing was lost: after a replay, and in a batch.
    ///
    /// Answers alone, again in batches of eight, and again from after each fifth of them, as a replay does: prompt and
    /// tokens are taken in at once. Where two tokens are almost equally likely, the rounding may decide.
    Rounding(RoundingArgs),
    /// How soon the second turn of a conversation answers, whose beginning the workers still have.
    Prefix(PrefixArgs),
    /// The picture of another program on the GPU, for `bench neighbour`: a kernel of some milliseconds, 60 times a
    /// second.
    #[command(hide = true)]
    Frames(FramesArgs),
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
pub(crate) struct EngineArgs {
    /// As JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
    /// What computes: cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// The shape: 30m, 0.5b, 1.1b or 8b; can be given several times.
    #[arg(long, default_value = "30m", value_parser = engine::shape)]
    pub(crate) shape: Vec<Shape>,
    /// Weight type, f32 and f16 and bf16 too; can be given several times.
    #[arg(long, default_value = "q8_0", value_parser = engine::weights)]
    pub(crate) weights: Vec<WeightType>,
    /// Sequences that decode together; can be given several times.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    pub(crate) batch: Vec<usize>,
    /// Tokens of each sequence before decoding begins; can be given several times.
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=131_072))]
    pub(crate) context: Vec<usize>,
    /// Decode steps, of which the median counts.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=4096))]
    pub(crate) steps: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QualityArgs {
    /// What computes: cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// Weight type; can be given several times, all types when not given.
    #[arg(long)]
    pub(crate) quant: Vec<Quant>,
    /// Asks only the first N of the 1000 questions.
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

#[derive(Debug, clap::Args)]
pub(crate) struct PrefixArgs {
    /// The model; both when not given.
    #[arg(long)]
    pub(crate) model: Vec<BenchModel>,
    /// Workers of a pipeline; can be given several times, 1 and 2 when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) workers: Vec<u32>,
    /// What computes: cpu, cuda:N or metal; given several times, the workers take them in turn.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Vec<DeviceSpec>,
    /// Weight type.
    #[arg(long, default_value = "q8_0")]
    pub(crate) quant: Quant,
    /// Tokens of the first turn; each further one has 64 more.
    #[arg(long, value_name = "N", default_value_t = 768, value_parser = clap::value_parser!(u32).range(64..=32_000))]
    pub(crate) prompt: u32,
    /// Conversations of two turns; medians are shown.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RecoveryArgs {
    /// As JSON, for scripts: costs, and rows with their raw figures.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exits with 1 where a bar was missed.
    #[arg(long)]
    pub(crate) check: bool,
    /// The model; both when not given.
    #[arg(long)]
    pub(crate) model: Vec<BenchModel>,
    /// How the machine goes, and what is there instead; can be given several times, all ways when not given.
    #[arg(long)]
    pub(crate) way: Vec<RecoveryWay>,
    /// What computes: cpu, cuda:N or metal; given several times, the workers take them in turn.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: Vec<DeviceSpec>,
    /// Tokens of the prompt; can be given several times, 128 and 768 when not given. The demo model takes up to 768.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=7900))]
    pub(crate) prompt: Vec<u32>,
    /// Threads that each worker computes with on a CPU; one when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Machines to take away for each row.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
}

/// How a machine goes, and what is there instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecoveryWay {
    /// Killed; a third machine loads its stage, and all is computed again.
    Anew,
    /// Killed; a third machine loads its stage, and the stage that is left keeps what it has. Tells also what keeping
    /// costs an answer that is not disturbed.
    #[value(name = "kept")]
    #[serde(rename = "kept")]
    Retained,
    /// Killed; a third machine has its stage in memory already.
    Spare,
    /// Killed, and there is another pipeline.
    Replica,
    /// Asked to leave, and there is another pipeline.
    LeavesReplica,
    /// Asked to leave; a third machine has its stage in memory already.
    LeavesSpare,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RoundingArgs {
    /// As JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
    /// The model; both when not given.
    #[arg(long)]
    pub(crate) model: Vec<BenchModel>,
    /// Weight type; can be given several times, none and q8_0 when not given.
    #[arg(long)]
    pub(crate) quant: Vec<Quant>,
    /// What computes: cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// Tokens of an answer at most.
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(5..=1024))]
    pub(crate) tokens: usize,
    /// Answers, each of which is replayed four times.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub(crate) answers: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NeighbourArgs {
    /// As JSON, for scripts: device, cores, and the rows with their raw figures.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exits with 1 where a bar was missed. A row that could not be measured does not count.
    #[arg(long)]
    pub(crate) check: bool,
    /// Only these rows, by name or number; all of them when not given.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    pub(crate) rows: Vec<NeighbourRow>,
    /// What computes: cpu or cuda:N. The GPU rows need a GPU.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceSpec,
    /// Windows of a second for each limit, with each way of limiting. With less than 30, counts of other rows shrink in
    /// proportion; fewer than 20 are for trying things out.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..=3600))]
    pub(crate) windows: u32,
}

/// A row, or rows that are measured in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum NeighbourRow {
    /// CPU time under a limit, in windows of a second.
    #[value(alias = "1")]
    CpuLimit,
    /// The same with cpulimit and a control group, and the speed under each.
    #[value(alias = "2")]
    OtherLimiters,
    /// Tokens per second of CPU time under a limit, against none.
    #[value(alias = "3")]
    Efficiency,
    /// Device time of one slice.
    #[value(alias = "4")]
    Slices,
    /// From the command to pause until nothing is computed.
    #[value(alias = "5")]
    Pause,
    /// From another program's load, or the user's input, to the lowest allowance.
    #[value(alias = "6")]
    Yield,
    /// Another program's latency beside the worker.
    #[value(alias = "7")]
    Latency,
    /// CPU time with nothing to do.
    #[value(alias = "8")]
    Idle,
    /// Answers under changing limits.
    #[value(alias = "9")]
    Changes,
    /// The GPU's time and memory under limits, and another program's frames.
    #[value(alias = "10")]
    Gpu,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FramesArgs {
    /// The GPU: cuda:N.
    #[arg(long)]
    pub(crate) device: DeviceSpec,
    /// Frames to draw.
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub(crate) frames: u32,
    /// Multiplications of a frame, as an earlier run found and printed them; found again when not given.
    #[arg(long, value_name = "N")]
    pub(crate) kernels: Option<u32>,
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
