//! Any limits, for tests of laws.

use crate::{Amount, Limits, Pause, Preset, Schedule, Share, When};
use jiff::{Timestamp, civil::Weekday};
use proptest::prelude::*;
use std::time::Duration;

pub(crate) fn amount() -> impl Strategy<Value = Amount> {
    // Of any magnitude: most numbers of 64 bits are more than any machine has.
    let bytes = || (any::<u64>(), 0..64_u32).prop_map(|(bytes, unit)| Amount::Bytes(bytes >> unit));
    let part = || share(0).prop_map(Amount::Part);
    prop_oneof![bytes(), part(), (bytes(), part()).prop_map(|(bytes, part)| bytes.stricter(part))]
}

fn share(least: u16) -> impl Strategy<Value = Share> {
    (least..=1000).prop_map(Share::from_per_mille)
}

fn pause() -> impl Strategy<Value = Pause> {
    let end = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    let until = (end, 0..1_000_000_000_i32)
        .prop_filter_map("no such instant", |(second, nano)| Timestamp::new(second, nano).ok())
        .prop_map(Pause::Until);
    prop_oneof![Just(Pause::Indefinitely), until]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    prop::collection::vec((0..7_i8, 0..96_u8, 0..=96_u8), 0..12).prop_map(|strokes| {
        let mut schedule = Schedule::NEVER;
        for (day, start, end) in strokes {
            schedule.paint(Weekday::from_monday_zero_offset(day).unwrap(), start..end, true);
        }
        schedule
    })
}

prop_compose! {
    /// Any limits that can be set.
    pub(crate) fn limits()(
        preset in prop::sample::select(&Preset::ALL[..]),
        (cpu, cpu_in_use, gpu, gpu_in_use) in (share(10), share(0), share(10), share(0)),
        cpu_threads in prop::option::of(1..=1024_u32),
        (gpu_memory, memory, disk) in (amount(), amount(), amount()),
        network in prop::option::of(1000..=u64::MAX),
        when in prop::sample::select(&When::ALL[..]),
        idle_after in (1..=86_400_u64).prop_map(Duration::from_secs),
        schedule in schedule(),
        daily_time in prop::option::of((900..=86_400_u64).prop_map(Duration::from_secs)),
        daily_energy in prop::option::of(1..=100_000_u32),
        (on_battery, stop_for_full_screen) in any::<(bool, bool)>(),
        max_celsius in prop::option::of(40..=110_u8),
        (others_cpu, others_gpu) in (prop::option::of(share(10)), prop::option::of(share(10))),
        stop_for in prop::collection::hash_set("[a-zA-Z0-9é\"'#=]([a-zA-Z0-9 .é\"'#=-]{0,12}[a-z0-9])", 0..=32),
        pause in prop::option::of(pause()),
    ) -> Limits {
        Limits {
            preset, cpu, cpu_threads, cpu_in_use, gpu, gpu_in_use, gpu_memory, memory, disk, network, when, idle_after,
            schedule, daily_time, daily_energy, on_battery, max_celsius, others_cpu, others_gpu, stop_for: stop_for.into_iter().collect(),
            stop_for_full_screen, pause,
        }
    }
}
