use gogrid_coordinator::DryFleet;
use std::path::PathBuf;

/// What `--json` prints, and what `--machines` reads; both are contracts.
fn formats() -> String {
    const JSON: &str = "\
Fields of --json, a list of models:
  model, error (why it has no place, or null), ms_per_token and ms_per_prompt_token (of one request alone),
  beyond_best_percent (by how much more than the least possible the plan may cost), binding (why this many machines, and
  no more), worth_moving (whether a coordinator that serves the model would gain enough; null when it does not serve
  it), replicas (further pipelines by their machines, four at most)
  stages     in order: machine, layers (the first, and the one after the last), weights_bytes, kv_bytes, kv_tokens,
             workspace_bytes, headroom_bytes, ms_per_token
  spares     machines for a lost stage, those whose loss costs most first: stage (from 0), machine, weights_bytes";
    format!("{JSON}\n\nA file of machines:\n{}", DryFleet::FILE)
}

#[derive(Debug, clap::Args)]
#[command(after_long_help = formats())]
pub(crate) struct PlanArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// One model; all of them when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Sessions that must fit at once, each with a whole context.
    #[arg(long = "lanes", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
    /// Machines to plan for (TOML); those that are connected now when not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) machines: Option<PathBuf>,
    /// As JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}
