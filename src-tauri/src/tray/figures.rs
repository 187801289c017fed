//! What the menu says in figures: what GoGrid takes now, what it gave today, and by which preset.

use gogrid_limits::Preset;
use gogrid_panel_api::{AppState, Day, Status};

/// The lines, in the menu's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figures {
    /// What it takes now.
    pub(super) takes: String,
    /// What it gave today.
    pub(super) today: String,
    /// The preset in force.
    pub(super) preset: String,
}

/// The figures of the app's state.
pub(super) fn figures(state: &AppState) -> Figures {
    match &state.status {
        Some(status) => Figures { takes: takes(status), today: today(&status.today), preset: preset(status) },
        None => {
            let unknown = |what| format!("{what}: not known yet");
            Figures { takes: "Takes nothing now".into(), today: unknown("Today"), preset: unknown(TITLE) }
        }
    }
}

/// "Takes now: 12 % of the CPU, 2.4 GiB of memory".
fn takes(status: &Status) -> String {
    let usage = &status.usage;
    let (share, device, memory) = match usage.gpu {
        Some(gpu) => (gpu, "GPU", "GPU memory"),
        None => (usage.cpu, "CPU", "memory"),
    };
    if share < 0.005 && usage.ledger_bytes == 0 {
        return "Takes nothing now".into();
    }
    format!("Takes now: {} of the {device}, {} of {memory}", percent(share), binary(usage.ledger_bytes))
}

/// A part between 0 and 1, as on the pages: a part above 0 is never 0 %.
fn percent(part: f32) -> String {
    let percent = part * 100.0;
    if percent > 0.0 && percent < 0.95 { "<1 %".into() } else { format!("{percent:.0} %") }
}

/// Bytes of memory in powers of two, as on the pages: at most one decimal, and none that is 0.
fn binary(bytes: u64) -> String {
    let (mut value, mut units) = (bytes as f64, ["B", "KiB", "MiB", "GiB"].into_iter());
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        // Rounded first: 1023.99 MiB are 1 GiB.
        if (value * 10.0).round() < 10_240.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    let tenths = (value * 10.0).round();
    if tenths >= 1000.0 || tenths % 10.0 == 0.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// "Today: 1.4 hours of work, about 12 Wh".
fn today(day: &Day) -> String {
    let minutes = (day.active_seconds / 60.0).round();
    let time = match minutes {
        ..1.0 => return "Today: no work yet".into(),
        ..2.0 => "1 minute".to_owned(),
        ..60.0 => format!("{minutes:.0} minutes"),
        _ => format!("{:.1} hours", day.active_seconds / 3600.0),
    };
    format!("Today: {time} of work, about {:.0} Wh", day.energy_wh)
}

const TITLE: &str = "Preset";

/// "Preset: Balanced", or "Preset: Balanced, changed".
fn preset(status: &Status) -> String {
    let chosen = status.limits.iter().find(|setting| setting.key == "preset");
    let Some(chosen) = chosen.and_then(|setting| setting.value.parse::<Preset>().ok()) else {
        return format!("{TITLE}: not known yet");
    };
    let changed = status.limits.iter().any(|setting| setting.key != "preset" && setting.changed);
    let changed = if changed { ", changed" } else { "" };
    format!("{TITLE}: {}{changed}", label(chosen))
}

/// A preset's name in the menu.
pub(super) const fn label(preset: Preset) -> &'static str {
    match preset {
        Preset::Quiet => "Quiet",
        Preset::Balanced => "Balanced",
        Preset::Full => "Full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, running, status};
    use gogrid_panel_api::{Setting, State};
    use rstest::rstest;

    fn setting(key: &str, value: &str, changed: bool) -> Setting {
        let text = str::to_owned;
        serde_json::from_value(serde_json::json!({
            "key": key, "value": text(value), "changed": changed, "help": "", "default": "", "managed": null
        }))
        .unwrap()
    }

    #[rstest]
    #[case::nothing(0.0, None, 0, "Takes nothing now")]
    #[case::rests(0.0, None, 3 << 30, "Takes now: 0 % of the CPU, 3 GiB of memory")]
    #[case::little(0.002, None, 22 << 20, "Takes now: <1 % of the CPU, 22 MiB of memory")]
    #[case::rounded(0.02, None, (1 << 30) - 1, "Takes now: 2 % of the CPU, 1 GiB of memory")]
    #[case::much(1.0, None, 235 << 29, "Takes now: 100 % of the CPU, 118 GiB of memory")]
    #[case::works(0.124, None, 5 << 29, "Takes now: 12 % of the CPU, 2.5 GiB of memory")]
    #[case::gpu(0.01, Some(0.3), 5 << 29, "Takes now: 30 % of the GPU, 2.5 GiB of GPU memory")]
    fn what_it_takes(#[case] cpu: f32, #[case] gpu: Option<f32>, #[case] ledger_bytes: u64, #[case] line: &str) {
        let mut status = status(State::Working, "");
        status.usage = gogrid_panel_api::Usage { cpu, gpu, ledger_bytes, ..status.usage };
        assert_eq!(figures(&app(running(), Some(status))).takes, line);
    }

    #[rstest]
    #[case(0.0, 0.0, "Today: no work yet")]
    #[case(70.0, 0.4, "Today: 1 minute of work, about 0 Wh")]
    #[case(3540.0, 7.6, "Today: 59 minutes of work, about 8 Wh")]
    #[case(5040.0, 120.2, "Today: 1.4 hours of work, about 120 Wh")]
    fn what_it_gave(#[case] active_seconds: f64, #[case] energy_wh: f64, #[case] line: &str) {
        assert_eq!(today(&Day { active_seconds, energy_wh, ..Day::default() }), line);
    }

    #[test]
    fn the_preset_is_named_and_whether_limits_differ_from_it() {
        let mut status = status(State::Idle, "");
        assert_eq!(preset(&status), "Preset: not known yet");
        status.limits = vec![setting("preset", "quiet", true), setting("cpu", "10", false)];
        assert_eq!(preset(&status), "Preset: Quiet");
        status.limits.push(setting("memory", "1GiB", true));
        assert_eq!(preset(&status), "Preset: Quiet, changed");
    }

    #[test]
    fn without_a_worker_there_are_no_figures() {
        let Figures { takes, today, preset } = figures(&app(running(), None));
        assert_eq!([takes, today, preset], ["Takes nothing now", "Today: not known yet", "Preset: not known yet"]);
    }
}
