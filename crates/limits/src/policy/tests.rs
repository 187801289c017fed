use super::*;
use rstest::rstest;

const GIB: u64 = 1 << 30;
/// A laptop with a graphics card.
const TOTALS: Totals = Totals { memory: Some(16 * GIB), gpu_memory: Some(8 * GIB), disk: Some(500 * GIB) };

/// A policy of one rule, by a company.
fn policy(rule: &str) -> Policy {
    Policy::from_toml(&format!("managed-by = 'Example GmbH'\n[limits]\n{rule}\n")).unwrap()
}

#[test]
fn a_rule_may_be_required_where_the_machine_lacks_its_signal() {
    let required =
        policy("max-temperature = { most = 80, required = true }\nfull-screen = { required = true }").required();
    assert!(required.has(crate::SignalKind::Temperature) && required.has(crate::SignalKind::FullScreen));
    assert!(!required.has(crate::SignalKind::UserIdle));
    assert_eq!(policy("max-temperature = { most = 80 }").required(), RequiredSignals::default());
    let refused = Policy::from_toml("[limits]\ncpu = { most = 50, required = true }").unwrap_err();
    assert!(refused.to_string().contains("is no rule"), "{refused}");
}

/// For each key: what the donor set, what holds under the rule, and why the donor may not set it.
#[rstest]
#[case("cpu = { most = '50%' }", "cpu", "80", "50%", "cpu = 80% is more than the 50% that Example GmbH allows")]
#[case("cpu = { most = 50 }", "cpu", "50", "50%", "")]
#[case("cpu = { fixed = 50 }", "cpu", "30", "30%", "")]
#[case("cpu-threads = { most = 4 }", "cpu-threads", "all", "4", "cpu-threads = all is more than the 4 that")]
#[case("cpu-threads = { most = 4 }", "cpu-threads", "2", "2", "")]
#[case("cpu-in-use = { most = 0 }", "cpu-in-use", "5", "0%", "cpu-in-use = 5% is more than the 0% that")]
#[case("gpu = { most = 12.5 }", "gpu", "100", "12.5%", "gpu = 100% is more than the 12.5% that")]
#[case("gpu-in-use = { most = 10 }", "gpu-in-use", "9.9", "9.9%", "")]
#[case("gpu-memory = { most = '6GiB' }", "gpu-memory", "7GiB", "6GiB", "gpu-memory = 7GiB is more than the 6GiB that")]
#[case(
    "gpu-memory = { most = '6GiB' }",
    "gpu-memory",
    "80%",
    "80% up to 6GiB",
    "gpu-memory = 80% is more than the 6GiB"
)]
#[case("gpu-memory = { most = '6GiB' }", "gpu-memory", "70%", "70% up to 6GiB", "")]
#[case("memory = { most = '25%' }", "memory", "3GiB", "25% up to 3GiB", "")]
#[case("memory = { most = '25%' }", "memory", "5GiB", "25% up to 5GiB", "memory = 5GiB is more than the 25% that")]
#[case("disk = { most = '10%' }", "disk", "20%", "10%", "disk = 20% is more than the 10% that")]
#[case(
    "network = { most = '1MB/s' }",
    "network",
    "unlimited",
    "1MB/s",
    "network = unlimited is more than the 1MB/s that"
)]
#[case("network = { most = 'unlimited' }", "network", "10MB/s", "10MB/s", "")]
#[case("when = { fixed = 'idle' }", "when", "always", "idle", "when = always goes beyond when = idle, which Example")]
#[case("when = { fixed = 'idle' }", "when", "schedule", "idle-in-schedule", "when = schedule goes beyond when = idle")]
#[case("when = { fixed = 'schedule' }", "when", "idle-in-schedule", "idle-in-schedule", "")]
#[case("when = { fixed = 'schedule' }", "schedule", "mon-fri", "mon-fri", "")]
#[case("idle-after = { least = '10m' }", "idle-after", "3m", "10m", "idle-after = 3m is less than the 10m that")]
#[case("idle-after = { least = '10m' }", "idle-after", "1h", "1h", "")]
#[case(
    "schedule = { most = ['mon-fri', 'sat 08:00-12:00'] }",
    "schedule",
    "fri-sun",
    "fri, sat 08:00-12:00",
    "schedule = fri-sun has other hours than those that Example GmbH allows: mon-fri, sat 08:00-12:00"
)]
#[case("schedule = { most = 'mon-fri' }", "schedule", "mon 08:00-12:00", "mon 08:00-12:00", "")]
#[case(
    "on-battery = { fixed = false }",
    "on-battery",
    "true",
    "false",
    "on-battery = true goes beyond on-battery = false"
)]
#[case("on-battery = { fixed = true }", "on-battery", "false", "false", "")]
#[case(
    "max-temperature = { most = 80 }",
    "max-temperature",
    "off",
    "80°C",
    "max-temperature = off is more than the 80°C that"
)]
#[case("max-temperature = { most = 80 }", "max-temperature", "79", "79°C", "")]
#[case("others-cpu = { most = 20 }", "others-cpu", "30", "20%", "others-cpu = 30% is more than the 20% that")]
#[case("others-gpu = { most = 20 }", "others-gpu", "off", "20%", "others-gpu = off is more than the 20% that")]
#[case(
    "stop-for = { least = ['zoom'] }",
    "stop-for",
    "blender",
    "blender, zoom",
    "stop-for = blender leaves out programs that Example GmbH stops for: zoom"
)]
#[case("stop-for = { least = ['zoom', 'teams'] }", "stop-for", "teams, Zoom, blender", "teams, Zoom, blender", "")]
#[case(
    "full-screen = { fixed = 'stop' }",
    "full-screen",
    "ignore",
    "stop",
    "full-screen = ignore goes beyond full-screen = stop"
)]
#[case("full-screen = { fixed = 'ignore' }", "full-screen", "stop", "stop", "")]
fn the_stricter_of_both_holds_and_what_is_laxer_is_refused(
    #[case] rule: &str,
    #[case] key: &str,
    #[case] value: &str,
    #[case] holds: &str,
    #[case] refused: &str,
) {
    let policy = policy(rule);
    // Hours count where they are turned on.
    let donor = Limits::laxest().with(&[("when", "schedule"), (key, value)]).unwrap();
    assert_eq!(policy.clamp(&donor).get(key).unwrap(), holds);
    match policy.check(&[(key, value)], &TOTALS) {
        Ok(()) => assert_eq!(refused, ""),
        Err(error) => {
            assert!(!refused.is_empty() && error.to_string().starts_with(refused), "{error}");
            assert_eq!(error.key(), Some(key));
        }
    }
}

#[test]
fn what_a_preset_or_a_default_brings_is_clamped_not_refused() {
    let policy = policy("cpu = { most = 20 }");
    assert_eq!(policy.check(&[("preset", "full"), ("cpu", "default")], &TOTALS), Ok(()));
    assert_eq!(policy.clamp(&Limits::of(Preset::Full)).get("cpu").unwrap(), "20%");
    let refused = policy.check(&[("preset", "quiet"), ("cpu", "25")], &TOTALS).unwrap_err();
    assert_eq!(refused.key(), Some("cpu"));
    let wrong = policy.check(&[("cpu", "0")], &TOTALS).unwrap_err();
    assert!(matches!(wrong, LimitsError::Value { .. }), "{wrong}");
}

#[test]
fn bounded_hours_hold_for_who_lends_at_any_hour_and_their_spare_schedule_does_not() {
    let policy = policy("schedule = { most = ['mon-fri 18:00-08:00', 'sat-sun'] }");
    let donor = Limits::of(Preset::Balanced);
    assert_eq!((donor.when, donor.schedule), (crate::When::Always, Schedule::nights()));
    let holds = policy.clamp(&donor);
    assert_eq!(holds.when, crate::When::Schedule);
    assert_eq!(holds.schedule.to_string(), "mon-fri 18:00-08:00, sat-sun");
    assert_eq!(policy.managed(Key::find("when").unwrap()).unwrap().text, "schedule");
    assert!(policy.check(&[("when", "always")], &TOTALS).is_err());
    // Without hours of the policy's own, the donor's hold.
    let any_hours = Policy::from_toml("limits.when = { fixed = 'schedule' }").unwrap();
    assert_eq!(any_hours.clamp(&donor).schedule, Schedule::nights());
}

#[test]
fn a_donor_starts_from_what_is_fixed_and_the_rest_leaves_no_trace() {
    let policy =
        policy("cpu = { fixed = 80 }\ngpu = { most = 90 }\nstop-for = { fixed = ['zoom'] }\nmemory = { most = '20%' }");
    let start = policy.start(Preset::Balanced);
    let values = ["cpu", "gpu", "stop-for", "memory"].map(|key| start.get(key).unwrap());
    assert_eq!(values, ["80%", "60%", "zoom", "50%"]);
    assert_eq!(Policy::none().start(Preset::Quiet), Limits::of(Preset::Quiet));
}

#[test]
fn the_donor_is_shown_who_manages_what() {
    let policy = policy("cpu = { most = '50%', hidden = true }\ngpu = { hidden = true }\nwhen = { fixed = 'idle' }");
    let managed = |key: &str| policy.managed(Key::find(key).unwrap()).map(|bound| (bound.text, bound.hidden));
    assert_eq!(policy.managed_by(), Some("Example GmbH"));
    assert_eq!(managed("cpu"), Some(("50%".into(), true)));
    assert_eq!(managed("gpu"), Some(("100%".into(), true)));
    assert_eq!(managed("when"), Some(("idle".into(), false)));
    assert_eq!(managed("disk"), None);
    let nameless = Policy::from_toml("limits.cpu = { most = 20 }").unwrap();
    let refused = nameless.check(&[("cpu", "30")], &TOTALS).unwrap_err().to_string();
    assert_eq!(refused, "cpu = 30% is more than the 20% that whoever manages this machine allows");
}

#[rstest]
#[case("limits.cpu = { most = 0 }", Some("cpu"), "cpu = 0 is out of range: 1 to 100 %")]
#[case("limits.cpu = { most = 'default' }", Some("cpu"), "cpu = default is not a number: 1 to 100 %")]
#[case(
    "limits.cpu = { least = 50 }",
    Some("cpu"),
    "cpu = { least = 50 } is no rule: { most = … } or { fixed = … }, with or without hidden = true is expected"
)]
#[case(
    "limits.idle-after = { most = '3m' }",
    Some("idle-after"),
    "idle-after = { most = \"3m\" } is no rule: { least = … }"
)]
#[case("limits.when = { most = 'idle' }", Some("when"), "when = { most = \"idle\" } is no rule: { fixed = … }, with")]
#[case("limits.cpu = 50", Some("cpu"), "cpu = 50 is no rule: { most = … }")]
#[case("limits.cpu = {}", Some("cpu"), "cpu = {} is no rule: ")]
#[case("limits.cpu = { hidden = false }", Some("cpu"), "cpu = { hidden = false } is no rule: ")]
#[case("limits.cpu = { hidden = 'yes' }", Some("cpu"), "cpu = { hidden = \"yes\" } is no rule: ")]
#[case("limits.cpu = { most = 50, fixed = 40 }", Some("cpu"), "cpu = { fixed = 40, most = 50 } is no rule: ")]
#[case("limits.cpu = { most = [50] }", Some("cpu"), "cpu = [50] is a list, which is not expected here: 1 to 100 %")]
#[case("limits.cpus = { most = 50 }", Some("cpus"), "there is no limit \"cpus\" (did you mean cpu?)")]
#[case("limits.pause = { fixed = 'off' }", Some("pause"), "pause cannot be managed: the donor may always pause")]
#[case("limits.preset = { fixed = 'quiet' }", Some("preset"), "preset cannot be managed: the donor may choose any")]
#[case("limits = 3", Some("limits"), "limits is not usable: a table of rules is expected")]
#[case("managed-by = ''", Some("managed-by"), "managed-by is not usable: a name of 1 to 100 bytes in one line is")]
#[case("managed-by = \"a\\nb\"", Some("managed-by"), "managed-by is not usable")]
#[case("managed-by = 7", Some("managed-by"), "managed-by is not usable")]
#[case("cpu = { most = 50 }", Some("cpu"), "there is no field \"cpu\"; a policy has managed-by and limits")]
#[case("limits", None, "the policy is no TOML")]
fn a_policy_that_is_not_understood_is_refused_by_name(
    #[case] text: &str,
    #[case] key: Option<&str>,
    #[case] message: &str,
) {
    let refused = Policy::from_toml(text).unwrap_err();
    assert!(refused.to_string().starts_with(message), "{refused}");
    assert_eq!(refused.key(), key);
}

#[test]
fn every_key_is_bounded_in_its_own_words_or_the_donors_alone() {
    for key in Limits::KEYS {
        let laxest = toml::Value::String(key.value(&Limits::laxest()));
        let rule = |word: &str| Policy::from_toml(&format!("limits.{} = {{ {word} = {laxest} }}", key.name));
        let taken: Vec<_> = ["most", "least", "fixed"].into_iter().filter(|word| rule(word).is_ok()).collect();
        match key.name {
            "preset" | "pause" => assert_eq!(taken, [""; 0], "{}", key.name),
            "when" | "on-battery" | "full-screen" => assert_eq!(taken, ["fixed"], "{}", key.name),
            "idle-after" | "stop-for" => assert_eq!(taken, ["least", "fixed"], "{}", key.name),
            _ => assert_eq!(taken, ["most", "fixed"], "{}", key.name),
        }
    }
}

#[test]
fn the_example_of_the_docs_is_a_policy() {
    let docs = include_str!("../../../../docs/LIMITS.md");
    let (_, section) = docs.split_once("## Managed settings").unwrap();
    let (_, example) = section.split_once("```toml\n").unwrap();
    let policy = Policy::from_toml(example.split_once("```").unwrap().0).unwrap();
    let bound = policy.managed(Key::find("gpu-memory").unwrap());
    assert_eq!(bound, Some(Bound { text: "6GiB".into(), hidden: true }));
}
