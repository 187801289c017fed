//! What the table says of a key is what the key does.

use super::*;
use crate::{Preset, Schedule, When};
use rstest::rstest;

fn takes(key: &Key, value: &str) -> bool {
    Limits::of(Preset::Quiet).set(key.name, value).is_ok()
}

/// Values at the ends of a key's range, and the nearest ones outside of it.
fn ends(values: ValueKind) -> (Vec<String>, Vec<String>) {
    let texts = |values: &[u64], unit: &str| values.iter().map(|value| format!("{value}{unit}")).collect::<Vec<_>>();
    match values {
        ValueKind::Percent { least: 0 } => (texts(&[0, 100], "%"), texts(&[101], "%")),
        ValueKind::Percent { least } => (texts(&[least.into(), 100], "%"), texts(&[u64::from(least) - 1, 101], "%")),
        ValueKind::Count { least, most } | ValueKind::Celsius { least, most } => {
            (texts(&[least.into(), most.into()], ""), texts(&[u64::from(least) - 1, u64::from(most) + 1], ""))
        }
        ValueKind::Amount { .. } => (texts(&[0, 100], "%"), texts(&[101], "%")),
        ValueKind::Speed { least } => (texts(&[least, u64::MAX], "B/s"), texts(&[least - 1], "B/s")),
        ValueKind::Duration { least, most } => (texts(&[least, most], "s"), texts(&[least - 1, most + 1], "s")),
        ValueKind::Energy { least, most } => {
            (texts(&[least.into(), most.into()], "Wh"), texts(&[u64::from(least) - 1, u64::from(most) + 1], "Wh"))
        }
        ValueKind::Flag => (vec!["true".into(), "false".into()], vec!["yes".into()]),
        ValueKind::Word { words } => (words.iter().map(ToString::to_string).collect(), vec!["word".into()]),
        ValueKind::Hours => (vec!["mon 08:00-12:00".into(), "none".into()], vec!["mon 08:07-12:00".into()]),
        ValueKind::Programs { most } => {
            let list = |count: u32| (0..count).map(|at| format!("p{at}")).collect::<Vec<_>>().join(", ");
            (vec![list(most), "none".into()], vec![list(most + 1)])
        }
        ValueKind::Pause => (vec!["on".into(), "2030-06-15T14:30:00+02:00".into()], vec!["tomorrow".into()]),
    }
}

#[test]
fn every_key_takes_the_values_of_its_range_and_no_others() {
    for key in KEYS {
        let (inside, outside) = ends(key.values);
        for value in inside {
            assert!(takes(key, &value), "{} = {value} is refused", key.name);
        }
        for value in outside {
            assert!(!takes(key, &value), "{} = {value} is taken", key.name);
        }
    }
}

#[test]
fn a_key_takes_the_word_that_turns_it_off_and_no_other_keys() {
    // To the list of programs, any word is a name.
    for key in KEYS.iter().filter(|key| !matches!(key.values, ValueKind::Programs { .. })) {
        for word in ["off", "all", "unlimited"] {
            // As files of earlier versions have it.
            let was = key.name == "network" && word == "off";
            assert_eq!(takes(key, word), was || key.off == Some(word), "{} = {word}", key.name);
        }
    }
}

#[test]
fn the_words_of_a_key_are_those_of_its_type() {
    let words = |name: &str| match Key::find(name).unwrap().values {
        ValueKind::Word { words } => words.to_vec(),
        other => panic!("{name} takes {other:?}"),
    };
    assert_eq!(words("preset"), Preset::ALL.map(Preset::name));
    assert_eq!(words("when"), When::ALL.map(When::name));
}

/// A bound that is [`BoundKind::Most`] is the largest value that is left, one that is [`BoundKind::Least`] the smallest.
#[rstest]
#[case("cpu", "20%", "30%")]
#[case("cpu-threads", "2", "all")]
#[case("network", "1MB/s", "off")]
#[case("max-temperature", "60", "off")]
#[case("others-gpu", "10%", "off")]
#[case("schedule", "mon", "mon-tue")]
#[case("daily-hours", "2h", "off")]
#[case("daily-energy", "300Wh", "1kWh")]
#[case("idle-after", "2m", "3m")]
#[case("stop-for", "a", "a, b")]
fn the_kind_of_a_bound_says_which_value_is_stricter(#[case] name: &str, #[case] less: &str, #[case] more: &str) {
    let key = Key::find(name).unwrap();
    let with = |value| Limits { schedule: Schedule::ALWAYS, ..Limits::laxest() }.with(&[(name, value)]).unwrap();
    let stricter = key.value(&with(less).within(&with(more)));
    let expected = if key.bound_kind == Some(BoundKind::Least) { more } else { less };
    assert_eq!(stricter, key.value(&with(expected)));
}

#[test]
fn the_laxest_value_is_no_stricter_than_any_presets() {
    for key in KEYS.iter().filter(|key| key.bound_kind.is_some()) {
        let spec = key.spec();
        let laxest = Limits::laxest().with(&[(key.name, spec.laxest.clone().unwrap())]).unwrap();
        for value in [spec.presets.quiet, spec.presets.balanced, spec.presets.full] {
            let preset = Limits::laxest().with(&[(key.name, value)]).unwrap();
            assert_eq!(key.value(&preset.within(&laxest)), key.value(&preset), "{}", key.name);
        }
    }
}

#[test]
fn a_signal_is_needed_only_while_the_rule_of_its_key_is_on() {
    for signal in SignalKind::ALL {
        let key = Key::find(signal.key()).unwrap();
        assert_eq!(key.signal(), Some(signal));
        // The user counts at any setting.
        assert_eq!(Limits::laxest().needs(signal), signal == SignalKind::UserIdle, "{signal:?}");
        let on = if signal == SignalKind::Programs { "blender".into() } else { key.spec().presets.quiet };
        assert!(Limits::laxest().with(&[(key.name, on)]).unwrap().needs(signal), "{signal:?}");
    }
}
