//! Laws of every policy.

use super::*;
use crate::{Pause, arbitrary::limits};
use jiff::civil::Weekday;
use proptest::prelude::*;

/// Whether `a` lends no more than `b`, told without what is under test: by each thing that limits are asked for.
fn lends_no_more(a: &Limits, b: &Limits, totals: [u64; 3]) -> bool {
    let amounts = |limits: &Limits| [limits.gpu_memory, limits.memory, limits.disk];
    let bytes = |limits: &Limits| amounts(limits).into_iter().zip(totals).map(|(amount, total)| amount.resolve(total));
    let lends_at = |limits: &Limits, day, quarter| !limits.when.keeps_hours() || limits.schedule.lends(day, quarter);
    let days = || (0..7).map(|day| Weekday::from_monday_zero_offset(day).unwrap());
    let is_at_most = |a: Option<u64>, b: Option<u64>| b.is_none_or(|b| a.is_some_and(|a| a <= b));
    let share = |share: Option<crate::Share>| share.map(|share| share.per_mille().into());
    a.cpu <= b.cpu
        && a.cpu_in_use <= b.cpu_in_use
        && a.gpu <= b.gpu
        && a.gpu_in_use <= b.gpu_in_use
        && is_at_most(a.cpu_threads.map(Into::into), b.cpu_threads.map(Into::into))
        && bytes(a).zip(bytes(b)).all(|(a, b)| a <= b)
        && is_at_most(a.network, b.network)
        && (a.when.is_idle_only() || !b.when.is_idle_only())
        && days().all(|day| (0..Schedule::QUARTERS).all(|at| !lends_at(a, day, at) || lends_at(b, day, at)))
        && a.idle_after >= b.idle_after
        && is_at_most(a.daily_time.map(|time| time.as_secs()), b.daily_time.map(|time| time.as_secs()))
        && is_at_most(a.daily_energy.map(Into::into), b.daily_energy.map(Into::into))
        && (!a.on_battery || b.on_battery)
        && is_at_most(a.max_celsius.map(Into::into), b.max_celsius.map(Into::into))
        && is_at_most(share(a.others_cpu), share(b.others_cpu))
        && is_at_most(share(a.others_gpu), share(b.others_gpu))
        && b.stop_for.iter().all(|name| a.stop_for.iter().any(|known| known.eq_ignore_ascii_case(name)))
        && (a.stop_for_full_screen || !b.stop_for_full_screen)
}

/// A policy that bounds some keys.
fn policies() -> impl Strategy<Value = Policy> {
    (limits(), any::<u32>()).prop_map(|(bound, chosen)| {
        let rules = Limits::KEYS.iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1);
        let rules = rules.filter(|(_, key)| key.bound_kind.is_some());
        let text: String = rules
            .map(|(_, key)| {
                let value = toml::Value::String(key.value(&bound));
                format!("limits.{} = {{ fixed = {value} }}\n", key.name)
            })
            .collect();
        Policy::from_toml(&text).unwrap()
    })
}

/// Totals of any magnitude: of the GPU's memory, of the main memory, of the disk.
fn totals() -> impl Strategy<Value = [u64; 3]> {
    prop::array::uniform3((any::<u64>(), 0..64_u32).prop_map(|(total, unit)| total >> unit))
}

proptest! {
    #[test]
    fn what_holds_lends_no_more_than_the_donor_and_no_more_than_the_policy(
        policy in policies(), donor in limits(), totals in totals(),
    ) {
        let holds = policy.clamp(&donor);
        prop_assert!(lends_no_more(&holds, &donor, totals), "{holds:?}");
        prop_assert!(lends_no_more(&holds, &policy.bound, totals), "{holds:?}");
        prop_assert_eq!((holds.preset, holds.pause), (donor.preset, donor.pause));
        prop_assert_eq!(policy.clamp(&holds), holds);
    }

    #[test]
    fn who_is_stricter_than_the_policy_is_left_alone(
        policy in policies(), donor in limits(), stricter in limits(), totals in totals(),
    ) {
        let donor = donor.within(&stricter).within(&policy.bound);
        let holds = policy.clamp(&donor);
        prop_assert!(lends_no_more(&donor, &holds, totals), "{donor:?} became {holds:?}");
        let totals = Totals { gpu_memory: Some(totals[0]), memory: Some(totals[1]), disk: Some(totals[2]) };
        for key in Limits::KEYS.iter().filter(|key| key.name != "stop-for" || donor.stop_for.len() <= 32) {
            prop_assert_eq!(policy.check(&[(key.name, key.value(&donor))], &totals), Ok(()));
        }
    }

    #[test]
    fn a_change_is_taken_when_it_lends_no_more_than_its_bound(
        policy in policies(), donor in limits(), totals in totals(),
    ) {
        let known = Totals { gpu_memory: Some(totals[0]), memory: Some(totals[1]), disk: Some(totals[2]) };
        // Hours are compared as they stand: whether they are turned on is another key's matter.
        for key in Limits::KEYS.iter().filter(|key| key.bound_kind.is_some() && key.name != "schedule") {
            let base = Limits { schedule: Schedule::NEVER, ..Limits::laxest() };
            let alone = |limits| base.with(&[(key.name, key.value(limits))]).unwrap();
            let within = lends_no_more(&alone(&donor), &alone(&policy.bound), totals);
            prop_assert_eq!(policy.check(&[(key.name, key.value(&donor))], &known).is_ok(), within, "{}", key.name);
        }
    }

    #[test]
    fn what_holds_of_a_start_is_within_the_policy(policy in policies(), totals in totals()) {
        for preset in Preset::ALL {
            let start = policy.clamp(&policy.start(preset));
            prop_assert!(lends_no_more(&start, &policy.bound, totals));
            prop_assert_eq!(start.preset, preset);
        }
    }

    #[test]
    fn a_pause_is_never_refused(policy in policies(), donor in limits()) {
        let pause = donor.pause.map_or_else(|| "off".into(), |pause: Pause| pause.to_string());
        prop_assert_eq!(policy.check(&[("pause", pause)], &Totals::default()), Ok(()));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}|limits\\.[a-z-]{0,12} = \\{ [a-z]{0,6} = [0-9a-z'\"%]{0,8} \\}") {
        drop(Policy::from_toml(&text));
    }
}
