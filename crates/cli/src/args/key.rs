use super::duration;
use clap::Subcommand;
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key and prints it, this once. From the first key on, every request needs one.
    Create(KeyCreateArgs),
    /// Every key by its prefix, with what it may use.
    List(super::FolderArgs),
    /// Refuses a key from now on. Answers under way are completed.
    Revoke(KeyRevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyCreateArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// What it is for, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    /// A model that it may use; may be given several times. All when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Vec<String>,
    /// How long it is good for: 12h, 90d. For ever when not given.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) expires: Option<Duration>,
    /// Requests that it may send in a minute.
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers that it may use in a day.
    #[arg(long, value_name = "N")]
    pub(crate) tokens_per_day: Option<u64>,
    /// Answers that it may have at once.
    #[arg(long, value_name = "N")]
    pub(crate) streams: Option<u32>,
    /// Its share beside other keys' when requests wait.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) weight: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyRevokeArgs {
    /// The key's prefix, as `gogrid key list` shows it.
    #[arg(value_name = "PREFIX")]
    pub(crate) prefix: String,
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UsageArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Days to show, today included.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
    /// As JSON, for scripts: day, key (empty: without a key), requests, prompt_tokens, completion_tokens.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// The coordinator's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Lines to show, the latest ones.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) last: usize,
    /// As JSON, a line each: at, act, who, from, what, left_out.
    #[arg(long)]
    pub(crate) json: bool,
}
