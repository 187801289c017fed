//! Commands to a running worker.

use super::duration;
use clap::{Subcommand, builder::PossibleValuesParser};
use gogrid_limits::{Limits, Preset};
use gogrid_panel_api::PAUSE_SECONDS;
use std::{fmt::Write, path::PathBuf, time::Duration};

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Shows every limit, and which of them differ from the preset.
    Show(ShowArgs),
    /// Changes limits; all of them are taken or none. They hold at once, and after a restart.
    Set(LimitsSetArgs),
    /// Goes over to a preset. Changes that were made to the one before are gone; a pause stays.
    Preset(PresetArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The worker's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// As JSON, for scripts: a list of key, value, changed (whether it differs from the preset's) and help.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = keys())]
pub(crate) struct LimitsSetArgs {
    /// A limit and its new value, such as cpu=25 or gpu-memory=4GiB; `default` is the preset's.
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = change)]
    pub(crate) changes: Vec<(String, String)>,
    /// The worker's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PresetArgs {
    /// What to start from.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(Preset::ALL.map(Preset::name)))]
    pub(crate) name: String,
    /// The worker's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    /// The worker's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Resumes by itself after this time: 15m, 2h, 1d. Until `gogrid resume` when not given.
    #[arg(long = "for", value_name = "DURATION", value_parser = pause, conflicts_with = "after_answers")]
    pub(crate) lasts: Option<Duration>,
    /// Finishes the answers that are under way first, and takes no new ones.
    #[arg(long)]
    pub(crate) after_answers: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The worker's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// The list of limits, for the help.
fn keys() -> String {
    let mut text = String::from("Limits:");
    let width = Limits::KEYS.iter().map(|key| key.name.len()).max().unwrap_or_default();
    for key in Limits::KEYS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {:width$}  {}: {}", key.name, key.help, key.range);
    }
    text
}

/// Splits a change. The worker checks keys and values, because this program may be older than the worker.
fn change(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("a change is KEY=VALUE, such as cpu=25".to_owned()),
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let lasts = duration(text)?;
    if PAUSE_SECONDS.contains(&lasts.as_secs()) {
        return Ok(lasts);
    }
    let most = Duration::from_secs(*PAUSE_SECONDS.end()).as_secs() / DAY;
    Err(format!("a pause lasts from {} s to {most} days", PAUSE_SECONDS.start()))
}

const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::{CommandFactory, Parser};

    fn parse(line: &str) -> Result<Command, String> {
        let words = format!("gogrid {line}");
        Args::try_parse_from(words.split(' ')).map(|args| args.command).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pause_has_an_end_or_waits_for_answers_or_neither() {
        let Ok(Command::Pause(args)) = parse("pause --for 15m --data x") else { panic!("a pause") };
        assert_eq!((args.lasts, args.after_answers), (Some(Duration::from_secs(900)), false));
        let Ok(Command::Pause(args)) = parse("pause --after-answers --data x") else { panic!("a pause") };
        assert_eq!((args.lasts, args.after_answers), (None, true));
        let Ok(Command::Pause(args)) = parse("pause --data x") else { panic!("a pause") };
        assert_eq!((args.lasts, args.after_answers), (None, false));

        let both = parse("pause --for 15m --after-answers --data x").expect_err("one of them");
        assert!(both.contains("--for") && both.contains("--after-answers") && both.contains("cannot"), "{both}");
    }

    #[test]
    fn a_pause_is_at_least_a_second_and_at_most_a_year() {
        assert_eq!(pause("366d"), Ok(Duration::from_secs(366 * DAY)));
        for lasts in ["0s", "500ms", "367d", "-5m", "soon"] {
            let refusal = parse(&format!("pause --data x --for={lasts}")).expect_err(lasts);
            assert!(refusal.contains(lasts), "{refusal}");
        }
        assert!(pause("0s").is_err_and(|text| text.contains("from 1 s to 366 days")));
    }

    #[test]
    fn changes_are_keys_with_values() {
        let set = parse("limits set cpu=25 schedule=mon-fri=x stop-for= --data x");
        let Ok(Command::Limits(LimitsCommand::Set(args))) = set else { panic!("changes") };
        let changes: Vec<_> = args.changes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(changes, [("cpu", "25"), ("schedule", "mon-fri=x"), ("stop-for", "")]);
        for wrong in ["cpu", "=25"] {
            let refusal = parse(&format!("limits set {wrong} --data x")).expect_err(wrong);
            assert!(refusal.contains("KEY=VALUE") && refusal.contains(wrong), "{refusal}");
        }
        assert!(parse("limits set --data x").is_err(), "nothing to change");
    }

    #[test]
    fn presets_are_those_that_exist() {
        let Ok(Command::Limits(LimitsCommand::Preset(args))) = parse("limits preset quiet --data x") else {
            panic!("a preset")
        };
        assert_eq!(args.name, "quiet");
        let refusal = parse("limits preset loud --data x").expect_err("no preset");
        assert!(["loud", "quiet", "balanced", "full"].iter().all(|word| refusal.contains(word)), "{refusal}");
    }

    #[test]
    fn help_lists_every_limit_with_its_range() {
        let mut command = Args::command();
        let set = command.find_subcommand_mut("limits").and_then(|limits| limits.find_subcommand_mut("set"));
        let help = set.expect("`limits set`").render_help().to_string();
        for key in Limits::KEYS {
            assert!(help.contains(&format!("  {} ", key.name)) && help.contains(key.range), "{}: {help}", key.name);
        }
    }
}
