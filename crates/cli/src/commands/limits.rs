use crate::args::LimitsCommand;
use anyhow::{Result, bail};
use gogrid_panel_api::{Request, Response, Setting};
use gogrid_panel_client::{ANSWER_TIMEOUT, WorkerClient};
use std::fmt::Write;

pub(crate) async fn run(command: LimitsCommand) -> Result<()> {
    match command {
        LimitsCommand::Show(args) => {
            let settings = settings(&mut WorkerClient::connect(&args.data).await?).await?;
            if args.json {
                println!("{}", serde_json::to_string_pretty(&settings)?);
            } else {
                print!("{}", describe(&settings));
            }
        }
        LimitsCommand::Set(args) => {
            let mut worker = WorkerClient::connect(&args.data).await?;
            worker.command(&Request::Set { changes: args.changes.clone() }).await?;
            // As the worker has them now: `default` has become a value, and units are spelled out.
            let settings = settings(&mut worker).await?;
            for setting in settings.iter().filter(|setting| args.changes.iter().any(|(key, _)| *key == setting.key)) {
                println!("{} = {}", setting.key, setting.value);
            }
        }
        LimitsCommand::Preset(args) => {
            let name = args.name;
            WorkerClient::connect(&args.data).await?.command(&Request::Preset { name: name.clone() }).await?;
            println!("preset = {name}");
        }
    }
    Ok(())
}

async fn settings(worker: &mut WorkerClient) -> Result<Vec<Setting>> {
    match worker.ask(&Request::Limits, ANSWER_TIMEOUT).await? {
        Response::Limits(settings) => Ok(settings),
        _ => bail!("the worker does not tell its limits"),
    }
}

/// The limits for people, one a line, with a star if it differs from the preset.
fn describe(settings: &[Setting]) -> String {
    let width = |text: fn(&Setting) -> &str| settings.iter().map(|setting| text(setting).chars().count()).max();
    let keys = width(|setting| &setting.key).unwrap_or_default();
    let values = width(|setting| &setting.value).unwrap_or_default().min(WIDEST_VALUE);
    let mut text = String::new();
    for Setting { key, value, changed, help, managed, no_signal, .. } in settings {
        let star = if *changed { '*' } else { ' ' };
        let managed = managed.as_ref().map(|managed| format!("; managed: {}", managed.bound)).unwrap_or_default();
        let off = no_signal.as_ref().map(|why| format!("; off here: {why}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:keys$} {star} {value:values$}  {help}{managed}{off}");
    }
    if settings.iter().any(|setting| setting.changed) {
        text.push_str("* not as in the preset\n");
    }
    text
}

/// The widest column of values, so that a long schedule does not push the help off the screen.
const WIDEST_VALUE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, value: &str, changed: bool) -> Setting {
        let help = format!("what {key} does");
        let (key, value) = (key.into(), value.to_owned());
        Setting { key, default: value.clone(), value, changed, help, managed: None, no_signal: None }
    }

    #[test]
    fn a_rule_that_is_off_for_want_of_a_sensor_says_so() {
        let mut heat = setting("max-temperature", "85°C", false);
        heat.no_signal = Some("the machine shows no temperature sensor".into());
        let text = describe(&[heat]);
        assert!(text.ends_with("does; off here: the machine shows no temperature sensor\n"), "{text}");
    }

    #[test]
    fn a_star_marks_what_is_not_as_in_the_preset() {
        let text = describe(&[
            setting("preset", "quiet", false),
            setting("cpu-in-use", "5", true),
            setting("schedule", "mon-fri 18:00-08:00, sat-sun", false),
        ]);
        let expected = "\
preset       quiet             what preset does
cpu-in-use * 5                 what cpu-in-use does
schedule     mon-fri 18:00-08:00, sat-sun  what schedule does
* not as in the preset
";
        assert_eq!(text, expected);
        assert!(!describe(&[setting("cpu", "25", false)]).contains('*'));
    }
}
