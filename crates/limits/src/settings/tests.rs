use super::*;
use crate::{Pause, Share, arbitrary::limits};
use proptest::prelude::*;
use rstest::rstest;

fn balanced() -> Limits {
    Limits::of(Preset::Balanced)
}

#[rstest]
#[case("preset", "quiet", "quiet")]
#[case("cpu", "25 %", "25%")]
#[case("cpu-threads", "8", "8")]
#[case("cpu-threads", "all", "all")]
#[case("cpu-in-use", "0", "0%")]
#[case("gpu", "12.5", "12.5%")]
#[case("gpu-in-use", "100", "100%")]
#[case("gpu-memory", "4 GiB", "4GiB")]
#[case("memory", "70%", "70%")]
#[case("disk", "100GB", "100GB")]
#[case("network", "500kB/s", "500kB/s")]
#[case("network", "unlimited", "unlimited")]
#[case("network", "off", "unlimited")]
#[case("when", "idle", "idle")]
#[case("when", "idle-in-schedule", "idle-in-schedule")]
#[case("memory", "70% up to 4GiB", "70% up to 4GiB")]
#[case("idle-after", "90s", "1m 30s")]
#[case("schedule", "mon-fri 18:00-08:00,sat-sun", "mon-fri 18:00-08:00, sat-sun")]
#[case("schedule", "none", "none")]
#[case("daily-hours", "2h 30m", "2h 30m")]
#[case("daily-hours", "off", "off")]
#[case("daily-energy", "1.5 kWh", "1500Wh")]
#[case("daily-energy", "2000Wh", "2kWh")]
#[case("daily-energy", "off", "off")]
#[case("on-battery", "true", "true")]
#[case("max-temperature", "80", "80°C")]
#[case("max-temperature", "80 °C", "80°C")]
#[case("max-temperature", "off", "off")]
#[case("others-cpu", "30%", "30%")]
#[case("others-gpu", "off", "off")]
#[case("stop-for", "blender,steam, blender", "blender, steam")]
#[case("stop-for", "none", "none")]
#[case("stop-for", "", "none")]
#[case("full-screen", "ignore", "ignore")]
#[case("pause", "on", "on")]
#[case("pause", "2030-06-15T14:30:00+02:00", "2030-06-15T12:30:00Z")]
fn what_is_set_is_got_in_a_form_that_can_be_set(#[case] key: &str, #[case] value: &str, #[case] got: &str) {
    let mut limits = balanced();
    limits.set(key, value).unwrap();
    assert_eq!(limits.get(key).unwrap(), got);
    let mut again = balanced();
    again.set(key, got).unwrap();
    assert_eq!(again, limits);
}

#[rstest]
#[case("cpu", "150", "cpu = 150 is out of range: 1 to 100 %")]
#[case("cpu", "0", "cpu = 0 is out of range: 1 to 100 %")]
#[case("cpu", "fast", "cpu = fast is not a number: 1 to 100 %")]
#[case("cpu-threads", "0", "cpu-threads = 0 is out of range: 1 to 1024, or all")]
#[case("cpu-threads", "1.5", "cpu-threads = 1.5 is too fine: 1 to 1024, or all")]
#[case("cpu-in-use", "101", "cpu-in-use = 101 is out of range: 0 to 100 %")]
#[case("gpu", "-1", "gpu = -1 is out of range: 1 to 100 %")]
#[case("gpu-in-use", "1.25", "gpu-in-use = 1.25 is too fine: 0 to 100 %")]
#[case("gpu-memory", "4", "gpu-memory = 4 is without a unit: 0 to 100 % with its sign, or bytes as in 4GiB or 500MB")]
#[case("memory", "101%", "memory = 101% is out of range: 0 to 100 % with its sign, or bytes as in 4GiB or 500MB")]
#[case(
    "disk",
    "5 floppies",
    "disk = 5 floppies is in an unknown unit: 0 to 100 % with its sign, or bytes as in 40GiB or 100GB"
)]
#[case("network", "1B/s", "network = 1B/s is out of range: 1kB/s or more, as in 500kB/s or 10MB/s, or unlimited")]
#[case("when", "never", "when = never is not known: always, idle, schedule or idle-in-schedule")]
#[case("idle-after", "3", "idle-after = 3 is without a unit: 1s to 24h, as in 90s, 3m or 1h 30m")]
#[case(
    "schedule",
    "sat, funday",
    "schedule = sat, funday is not a list of hours, because of \"funday\": it begins with a day (mon, tue, wed, thu, \
     fri, sat, sun) or two with a dash between: days with or without hours, on the quarter, as in mon-fri \
     18:00-08:00, sat-sun; or none"
)]
#[case("daily-hours", "10m", "daily-hours = 10m is out of range: 15m to 24h, as in 45m, 4h or 2h 30m, or off")]
#[case("daily-energy", "0Wh", "daily-energy = 0Wh is out of range: 1Wh to 100kWh, as in 500Wh or 1.5kWh, or off")]
#[case("daily-energy", "5", "daily-energy = 5 is without a unit: 1Wh to 100kWh, as in 500Wh or 1.5kWh, or off")]
#[case("on-battery", "maybe", "on-battery = maybe is not known: true or false")]
#[case("max-temperature", "39", "max-temperature = 39 is out of range: 40 to 110 °C, or off")]
#[case("max-temperature", "111", "max-temperature = 111 is out of range: 40 to 110 °C, or off")]
#[case("max-temperature", "176F", "max-temperature = 176F is not a number: 40 to 110 °C, or off")]
#[case("others-cpu", "0", "others-cpu = 0 is out of range: 1 to 100 %, or off")]
#[case("others-gpu", "false", "others-gpu = false is not a number: 1 to 100 %, or off")]
#[case(
    "stop-for",
    "/usr/bin/blender",
    "stop-for = /usr/bin/blender is not a list of programs: a name, not a path, is expected: up to 32 names with \
     commas between, as in blender, steam; or none"
)]
#[case("full-screen", "true", "full-screen = true is not known: stop or ignore")]
#[case(
    "pause",
    "tomorrow",
    "pause = tomorrow is not an instant: off, on, or an instant with its offset, as in 2030-06-15T14:30:00+02:00"
)]
#[case("preset", "loud", "preset = loud is not known: quiet, balanced or full")]
#[case("preset", "default", "preset = default is without a default: quiet, balanced or full")]
fn a_value_that_is_refused_is_named_with_its_key_and_range_and_changes_nothing(
    #[case] key: &str,
    #[case] value: &str,
    #[case] message: &str,
) {
    let mut limits = balanced();
    let refused = limits.set(key, value).unwrap_err();
    assert_eq!(refused.to_string(), message);
    assert_eq!(refused.key(), Some(key));
    assert_eq!(limits, balanced());
}

#[rstest]
#[case("gpu_memory", Some("gpu-memory"))]
#[case("cpu-treads", Some("cpu-threads"))]
#[case("fullscreen", Some("full-screen"))]
#[case("CPU", Some("cpu"))]
#[case("temperature", None)]
#[case("", None)]
#[case("wallpaper", None)]
fn a_key_that_is_not_known_is_named_with_those_that_are(#[case] name: &str, #[case] close: Option<&str>) {
    let refused = balanced().set(name, "1").unwrap_err();
    assert!(matches!(&refused, LimitsError::UnknownKey { key, close: found } if key == name && *found == close));
    let text = refused.to_string();
    assert!(Limits::KEYS.iter().all(|key| text.contains(key.name)), "{text}");
    assert_eq!(balanced().get(name), None);
    assert_eq!(Limits::from_toml(&format!("{name:?} = 1"), Preset::Full), Err(refused));
}

#[test]
fn too_many_programs_and_programs_without_a_name_are_refused() {
    let names = |count: usize| (0..count).map(|i| format!("program-{i}")).collect::<Vec<_>>().join(", ");
    let mut limits = balanced();
    limits.set("stop-for", &names(32)).unwrap();
    assert_eq!(limits.stop_for.len(), 32);
    for wrong in [names(33), "a,,b".into(), "a, none".into(), "a\tb".into(), "a\\b".into(), "x".repeat(256)] {
        let refused = limits.set("stop-for", &wrong).unwrap_err();
        assert!(matches!(refused, LimitsError::Value { problem: ValueError::Programs(_), .. }), "{refused}");
    }
}

#[test]
fn default_goes_back_to_the_preset_and_another_preset_keeps_nothing_but_the_pause() {
    let mut limits = balanced();
    for (key, value) in [("cpu", "7"), ("pause", "on"), ("stop-for", "blender")] {
        limits.set(key, value).unwrap();
        assert!(Key::find(key).unwrap().is_changed(&limits));
    }
    limits.set("cpu", "default").unwrap();
    assert_eq!(limits.cpu, balanced().cpu);
    limits.set("preset", "full").unwrap();
    assert_eq!(limits, Limits { pause: Some(Pause::Indefinitely), ..Limits::of(Preset::Full) });
    limits.set("pause", "default").unwrap();
    assert_eq!(limits, Limits::of(Preset::Full));
}

#[test]
fn changes_are_made_together_or_not_at_all_and_a_preset_comes_first() {
    let limits = balanced().with(&[("cpu", "33"), ("preset", "quiet"), ("gpu", "default")]).unwrap();
    assert_eq!(limits, Limits { cpu: Share::from_percent(33), ..Limits::of(Preset::Quiet) });
    let refused = balanced().with(&[("cpu", "33"), ("gpu", "0")]).unwrap_err();
    assert_eq!(refused.key(), Some("gpu"));
}

#[test]
fn a_file_takes_tomls_own_values_and_gets_only_what_differs() {
    let file = r#"
        gpu-memory = "4GiB"
        cpu = 25
        gpu = 12.5
        cpu-threads = 4
        on-battery = true
        max-temperature = 80
        others-cpu = "off"
        schedule = ["mon-fri 18:00-08:00", "sat-sun"]
        stop-for = ["blender", "steam"]
        pause = 2030-06-15T14:30:00+02:00
        network = "10MB/s" # as in the preset
    "#;
    let limits = Limits::from_toml(file, Preset::Balanced).unwrap();
    assert_eq!(limits.cpu, Share::from_percent(25));
    assert_eq!(limits.pause, Some(Pause::Until("2030-06-15T12:30:00Z".parse().unwrap())));
    let written = r#"preset = "balanced"
cpu = 25
cpu-threads = 4
gpu = 12.5
gpu-memory = "4GiB"
schedule = ["mon-fri 18:00-08:00", "sat-sun"]
on-battery = true
max-temperature = 80
others-cpu = "off"
stop-for = ["blender", "steam"]
pause = "2030-06-15T12:30:00Z"
"#;
    assert_eq!(limits.to_toml(), written);
    assert_eq!(Limits::from_toml(written, Preset::Full), Ok(limits));
}

#[rstest]
#[case("", "preset = \"quiet\"\n")]
#[case("preset = 'full'", "preset = \"full\"\n")]
#[case("cpu = 50\npreset = 'balanced'", "preset = \"balanced\"\n")]
#[case("schedule = []\nstop-for = []", "preset = \"quiet\"\nschedule = []\n")]
fn a_preset_stands_first_and_holds_for_the_rest(#[case] file: &str, #[case] written: &str) {
    assert_eq!(Limits::from_toml(file, Preset::Quiet).unwrap().to_toml(), written);
}

#[rstest]
#[case("cpu = 150", "cpu = 150 is out of range: 1 to 100 %")]
#[case("cpu = inf", "cpu = inf is not a number: 1 to 100 %")]
#[case("cpu = [25]", "cpu = [25] is a list, which is not expected here: 1 to 100 %")]
#[case("cpu = true", "cpu = true is not a number: 1 to 100 %")]
#[case(
    "when = { always = 1 }",
    "when = { always = 1 } is a table, which is not expected here: always, idle, schedule or idle-in-schedule"
)]
#[case(
    "stop-for = [1]",
    "stop-for = [1] is a list of other things than texts, which is not expected here: up to 32 names with commas \
     between, as in blender, steam; or none"
)]
#[case("[cpu]\nmost = 25", "cpu = { most = 25 } is a table, which is not expected here: 1 to 100 %")]
#[case("cpu 25", "the settings are no TOML")]
#[case("cpu = 25\ncpu = 26", "the settings are no TOML")]
fn a_file_that_is_wrong_is_refused(#[case] file: &str, #[case] message: &str) {
    assert_eq!(Limits::from_toml(file, Preset::Quiet).unwrap_err().to_string(), message);
}

#[test]
fn json_is_checked_like_everything_else() {
    let read = |json: &str| serde_json::from_str::<Limits>(json);
    assert_eq!(read(r#"{"cpu": "25%", "preset": "full"}"#).unwrap().cpu, Share::from_percent(25));
    for (json, message) in [
        (r#"{"preset": "full", "cpu": "150"}"#, "cpu = 150 is out of range: 1 to 100 %"),
        (r#"{"cpu": "25"}"#, "missing field `preset`"),
        (r#"{"preset": "full", "cpu": 25}"#, "invalid type: integer `25`, expected a string"),
        (r#"{"preset": "full", "cpus": "25"}"#, "there is no limit \"cpus\""),
    ] {
        let refused = read(json).unwrap_err().to_string();
        assert!(refused.starts_with(message), "{refused}");
    }
}

#[test]
fn every_key_has_a_line_of_help_and_a_range_that_fits_its_message() {
    for key in Limits::KEYS {
        assert!(!key.help.is_empty() && !key.help.contains('\n') && !key.help.ends_with('.'), "{}", key.name);
        assert!(!key.range.is_empty() && key.range.len() <= 100, "{}", key.name);
        assert_eq!(Limits::KEYS.iter().filter(|other| other.name == key.name).count(), 1);
    }
}

proptest! {
    #[test]
    fn files_and_maps_give_back_what_was_put_in(limits in limits(), default in prop::sample::select(&Preset::ALL[..])) {
        prop_assert_eq!(Limits::from_toml(&limits.to_toml(), default), Ok(limits.clone()));
        let json = serde_json::to_string(&limits).unwrap();
        prop_assert_eq!(serde_json::from_str::<Limits>(&json).unwrap(), limits);
    }

    #[test]
    fn every_key_gives_a_value_that_it_takes(limits in limits()) {
        for key in Limits::KEYS.iter().filter(|key| !key.is_preset()) {
            let mut again = limits.clone();
            again.set(key.name, &key.value(&limits)).unwrap();
            prop_assert_eq!(&again, &limits);
            again.set(key.name, "default").unwrap();
            prop_assert!(!key.is_changed(&again));
        }
    }

    #[test]
    fn any_value_is_taken_or_refused_without_a_trace(key in 0..KEYS.len(), value in "\\PC{0,12}|[0-9a-zA-Z%./: -]{0,12}") {
        let mut limits = balanced();
        if limits.set(KEYS[key].name, &value).is_err() {
            prop_assert_eq!(limits, balanced());
        } else {
            prop_assert_eq!(Limits::from_toml(&limits.to_toml(), Preset::Full), Ok(limits));
        }
    }
}

#[test]
fn the_docs_name_every_key_with_its_presets() {
    let docs = include_str!("../../../../docs/LIMITS.md");
    for key in KEYS {
        let line = docs.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        assert!(line.is_some(), "docs/LIMITS.md does not name {}", key.name);
    }
}
