use super::*;
use crate::{Amount, Load, Pause, Power, Preset, Schedule, reason::SignalKind};
use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;

const GIB: u64 = 1 << 30;
const MACHINE: Machine = Machine { cores: 8, memory: 16 * GIB, gpu_memory: Some(8 * GIB) };
const FLOOR: Share = Share::from_percent(10);

/// Sampled every 50 ms, as while working.
const STEP: Duration = Duration::from_millis(50);

fn now(monotonic: Duration) -> Now {
    let wall = Timestamp::from_second(1_800_000_000 + monotonic.as_secs() as i64).unwrap();
    Now::new(monotonic, &wall.to_zoned(jiff::tz::TimeZone::UTC))
}

fn load(others: f32) -> Signal<Load> {
    Signal::Known(Load { total: others + 0.1, own: 0.1 })
}

/// Nobody is at the machine, nothing is short.
fn calm() -> Sample {
    let memory = Memory { total: 16 * GIB, available: 12 * GIB, own: GIB, pressure: Signal::Known(0.0) };
    let gpu = Gpu {
        load: load(0.0),
        memory_total: 8 * GIB,
        memory_used: GIB,
        memory_own: Signal::Known(GIB),
        celsius: Signal::Known(50.0),
        watts: Signal::unknown("no sensor"),
        shared: None,
    };
    Sample {
        cpu_watts: Signal::unknown("no meter"),
        cpu: load(0.02),
        memory: Signal::Known(memory),
        gpu: Some(Signal::Known(gpu)),
        cpu_celsius: Signal::Known(50.0),
        power: Signal::Known(Power::Mains),
        user_idle: Signal::Known(Duration::from_secs(3600)),
        full_screen: Signal::Known(false),
        programs: Signal::Known(vec![]),
    }
}

/// A governor after a minute of calm, and the time.
fn after_calm(limits: Limits) -> (Governor, Duration) {
    let mut governor = Governor::new(limits, MACHINE);
    let mut at = Duration::from_secs(100);
    for _ in 0..1200 {
        governor.update(&calm(), now(at));
        at += STEP;
    }
    assert_eq!(governor.allowance().reason, Reason::Free);
    (governor, at)
}

#[test]
fn nothing_is_allowed_before_the_first_look() {
    let mut governor = Governor::new(Limits::of(Preset::Full), MACHINE);
    let starting = governor.allowance().clone();
    assert_eq!((starting.cpu, starting.memory, starting.reason), (Share::ZERO, 0, Reason::Starting));
    let limits = Limits::of(Preset::Full);
    assert_eq!(governor.set_limits(limits, now(STEP)).reason, Reason::Starting);
    assert_eq!(governor.update(&calm(), now(STEP)).cpu, Share::FULL);
}

#[rstest]
#[case::input(|s: &mut Sample| s.user_idle = Signal::Known(Duration::ZERO), 1, "in_use")]
#[case::cpu(|s: &mut Sample| s.cpu = load(0.9), 1, "others_cpu")]
#[case::weak_cpu(|s: &mut Sample| s.cpu = load(0.3), 3, "others_cpu")]
#[case::gpu(|s: &mut Sample| edit_gpu(s, |gpu| gpu.load = load(0.5)), 1, "others_gpu")]
#[case::battery(|s: &mut Sample| s.power = Signal::Known(Power::Battery { charge: 0.5 }), 1, "battery")]
#[case::screen(|s: &mut Sample| s.full_screen = Signal::Known(true), 1, "full_screen")]
#[case::heat(|s: &mut Sample| s.cpu_celsius = Signal::Known(95.0), 1, "too_hot")]
#[case::gpu_heat(|s: &mut Sample| edit_gpu(s, |gpu| gpu.celsius = Signal::Known(95.0)), 1, "too_hot")]
#[case::blind(|s: &mut Sample| s.user_idle = Signal::unknown("no display found"), 1, "unknown")]
fn evidence_is_answered_within_so_many_looks(
    #[case] evidence: fn(&mut Sample),
    #[case] looks: usize,
    #[case] reason: &str,
) {
    let (mut governor, mut at) = after_calm(Limits::of(Preset::Balanced));
    let mut sample = calm();
    evidence(&mut sample);
    let needed = (1..=10).find(|_| {
        let down = governor.update(&sample, now(at)).cpu <= FLOOR;
        at += STEP;
        down
    });
    assert_eq!(needed, Some(looks));
    assert_eq!(governor.allowance().reason.kind(), reason);
}

fn edit_gpu(sample: &mut Sample, edit: impl FnOnce(&mut Gpu)) {
    if let Some(Signal::Known(gpu)) = &mut sample.gpu {
        edit(gpu);
    }
}

#[test]
fn what_is_lent_a_day_ends_at_its_limit_and_begins_with_the_next_day() {
    let (mut governor, at) = after_calm(Limits::of(Preset::Balanced));
    let limited = Limits::of(Preset::Balanced).with(&[("daily-hours", "2h"), ("daily-energy", "300Wh")]).unwrap();
    governor.observe_day(DailyUse { time: Duration::from_secs(7199), energy_wh: 299.9 });
    assert_eq!(governor.set_limits(limited.clone(), now(at)).reason, Reason::Free);

    governor.observe_day(DailyUse { time: Duration::from_secs(7200), energy_wh: 299.9 });
    let allowance = governor.update(&calm(), now(at + STEP));
    assert_eq!((allowance.is_stopped(), &allowance.reason), (true, &Reason::DailyHours { limit: 7200 }));
    governor.observe_day(DailyUse { time: Duration::ZERO, energy_wh: 300.0 });
    assert_eq!(governor.update(&calm(), now(at + STEP * 2)).reason, Reason::DailyEnergy { limit: 300 });

    // The donor's own change holds at once, and so does the next day.
    let more = limited.with(&[("daily-energy", "1kWh")]).unwrap();
    assert_eq!(governor.set_limits(more, now(at + STEP * 2)).reason, Reason::Free);
    governor.set_limits(limited, now(at + STEP * 2));
    governor.observe_day(DailyUse::default());
    assert_eq!(governor.update(&calm(), now(at + STEP * 3)).reason, Reason::Free);
}

/// A rule that is off needs no signal; one that is on and blind says what it misses.
#[rstest]
#[case("idle-after", None, |s: &mut Sample| s.user_idle = Signal::unknown("gone"), SignalKind::UserIdle)]
#[case("others-cpu", Some("off"), |s: &mut Sample| s.cpu = Signal::unknown("gone"), SignalKind::CpuLoad)]
#[case("others-gpu", Some("off"), |s: &mut Sample| edit_gpu(s, |g| g.load = Signal::unknown("gone")), SignalKind::GpuLoad)]
#[case("max-temperature", Some("off"), |s: &mut Sample| s.cpu_celsius = Signal::unknown("gone"), SignalKind::Temperature)]
#[case("on-battery", Some("true"), |s: &mut Sample| s.power = Signal::unknown("gone"), SignalKind::Power)]
#[case("full-screen", Some("ignore"), |s: &mut Sample| s.full_screen = Signal::unknown("gone"), SignalKind::FullScreen)]
#[case("stop-for", Some("none"), |s: &mut Sample| s.programs = Signal::unknown("gone"), SignalKind::Programs)]
fn an_unknown_signal_counts_for_the_rule_that_needs_it(
    #[case] key: &str,
    #[case] off: Option<&str>,
    #[case] hide: fn(&mut Sample),
    #[case] signal: SignalKind,
) {
    let mut limits = Limits::of(Preset::Balanced);
    limits.set("stop-for", "blender").unwrap();
    let (mut governor, at) = after_calm(limits.clone());
    let mut sample = calm();
    hide(&mut sample);
    let allowance = governor.update(&sample, now(at));
    assert_eq!(allowance.cpu, FLOOR);
    assert_eq!(allowance.reason, Reason::Unknown { signal, why: "gone".into() });
    match off {
        Some(off) => limits.set(key, off).unwrap(),
        // Input is of no concern where the floor is no lower than the cap.
        None => (limits.cpu_in_use, limits.gpu_in_use) = (limits.cpu, limits.gpu),
    }
    assert_eq!(governor.set_limits(limits, now(at)).reason, Reason::Free);
}

/// What the machine does not have turns a rule off, but where a policy requires it.
#[rstest]
#[case(SignalKind::UserIdle, |s: &mut Sample| s.user_idle = Signal::absent("none"))]
#[case(SignalKind::CpuLoad, |s: &mut Sample| s.cpu = Signal::absent("none"))]
#[case(SignalKind::GpuLoad, |s: &mut Sample| edit_gpu(s, |g| g.load = Signal::absent("none")))]
#[case(SignalKind::Temperature, |s: &mut Sample| {
    s.cpu_celsius = Signal::absent("none");
    edit_gpu(s, |g| g.celsius = Signal::absent("none"));
})]
#[case(SignalKind::Power, |s: &mut Sample| s.power = Signal::absent("none"))]
#[case(SignalKind::FullScreen, |s: &mut Sample| s.full_screen = Signal::absent("none"))]
#[case(SignalKind::Programs, |s: &mut Sample| s.programs = Signal::absent("none"))]
fn a_rule_without_its_signal_is_off_unless_it_is_required(#[case] signal: SignalKind, #[case] hide: fn(&mut Sample)) {
    let mut limits = Limits::of(Preset::Balanced);
    limits.set("stop-for", "blender").unwrap();
    let (governor, at) = after_calm(limits.clone());
    let mut sample = calm();
    hide(&mut sample);
    let required = RequiredSignals::from_iter([signal]);
    assert_eq!(limits.why_off(signal, &sample, &RequiredSignals::default()), Some("none"));
    assert_eq!(limits.why_off(signal, &sample, &required), None);
    let mut lax = governor;
    assert_eq!(lax.update(&sample, now(at)).reason, Reason::Free);
    let mut strict = after_calm(limits).0.requiring(required);
    let allowance = strict.update(&sample, now(at));
    assert_eq!((allowance.cpu, &allowance.reason), (FLOOR, &Reason::Unknown { signal, why: "none".into() }));
}

#[test]
fn the_sensor_of_one_device_is_enough_for_the_rule_of_heat() {
    let (mut governor, at) = after_calm(Limits::of(Preset::Balanced));
    let mut sample = calm();
    sample.cpu_celsius = Signal::absent("none");
    assert_eq!(sample.why_absent(SignalKind::Temperature), None);
    assert_eq!(governor.update(&sample, now(at)).reason, Reason::Free);
    edit_gpu(&mut sample, |gpu| gpu.celsius = Signal::Known(95.0));
    assert_eq!(governor.update(&sample, now(at + STEP)).reason.kind(), "too_hot");
}

#[test]
fn a_sensor_that_falls_silent_does_not_lift_a_stop() {
    let (mut governor, at) = after_calm(Limits::of(Preset::Full));
    let mut sample = calm();
    sample.cpu_celsius = Signal::Known(99.0);
    edit_gpu(&mut sample, |gpu| gpu.celsius = Signal::unknown("no sensor"));
    assert!(governor.update(&sample, now(at)).is_stopped());
    sample.cpu_celsius = Signal::unknown("no sensor");
    assert!(governor.update(&sample, now(at + STEP)).is_stopped());
    sample.cpu_celsius = Signal::Known(f32::NAN);
    assert!(governor.update(&sample, now(at + STEP * 2)).is_stopped());
}

#[test]
fn figures_in_a_reason_are_renewed_once_a_second() {
    let (mut governor, mut at) = after_calm(Limits::of(Preset::Balanced));
    let mut texts = vec![];
    for look in 0..40_u8 {
        let mut sample = calm();
        sample.cpu = load(0.8 + f32::from(look) / 400.0);
        texts.push(governor.update(&sample, now(at)).reason.to_string());
        at += STEP;
    }
    texts.dedup();
    assert_eq!(texts.len(), 2);
}

#[test]
fn a_pause_that_gets_another_end_says_so_at_once() {
    let (mut governor, at) = after_calm(Limits::of(Preset::Balanced));
    let paused = |pause| Limits { pause: Some(pause), ..Limits::of(Preset::Balanced) };
    assert_eq!(governor.set_limits(paused(Pause::Indefinitely), now(at)).reason.to_string(), "Paused until you resume");
    let end = now(at).timestamp + Duration::from_secs(15 * 60);
    let reason = &governor.set_limits(paused(Pause::Until(end)), now(at)).reason;
    assert!(matches!(reason, Reason::Paused { until: Some(_) }), "{reason}");
}

#[test]
fn gpu_memory_of_our_own_never_looks_like_others_even_if_the_driver_hides_it() {
    let (mut governor, mut at) = after_calm(Limits::of(Preset::Full));
    let limit = governor.allowance().gpu_memory;
    let mut look = |used: u64| {
        let mut sample = calm();
        edit_gpu(&mut sample, |gpu| (gpu.memory_used, gpu.memory_own) = (used, Signal::unknown("hidden")));
        at += STEP;
        governor.update(&sample, now(at)).gpu_memory
    };
    assert_eq!(look(limit), limit);
    // What is used beyond what we may use is others'.
    assert!(look(8 * GIB) < limit);
}

#[test]
fn without_a_gpu_none_is_lent_and_its_rules_do_not_apply() {
    let mut governor = Governor::new(Limits::of(Preset::Balanced), Machine { gpu_memory: None, ..MACHINE });
    let mut sample = calm();
    sample.gpu = Some(Signal::unknown("no driver"));
    governor.update(&sample, now(STEP));
    let allowance = governor.update(&sample, now(STEP * 2));
    assert_eq!((allowance.gpu, allowance.gpu_memory), (Share::ZERO, 0));
    assert_eq!(allowance.reason, Reason::Settling);
}

#[rstest]
#[case::pressed(0.5, 12 * GIB, GIB, 0)]
#[case::short(0.0, 3 * GIB, 2 * GIB, 3 * GIB)]
#[case::nothing_left(0.0, 0, 0, 0)]
#[case::absurd(0.0, u64::MAX, u64::MAX, 8 * GIB)]
fn memory_follows_what_others_leave(
    #[case] pressure: f32,
    #[case] available: u64,
    #[case] own: u64,
    #[case] expected: u64,
) {
    let (mut governor, at) = after_calm(Limits::of(Preset::Balanced));
    let mut sample = calm();
    sample.memory = Signal::Known(Memory { total: 16 * GIB, available, own, pressure: Signal::Known(pressure) });
    assert_eq!(governor.update(&sample, now(at)).memory, expected);
}

fn any_f32() -> impl Strategy<Value = f32> {
    prop_oneof![4 => 0f32..1.2, 2 => -10f32..120.0, 1 => any::<f32>()]
}

fn any_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), 0..64 * GIB, any::<u64>()]
}

fn signal<T: std::fmt::Debug + Clone + 'static>(value: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Signal<T>> {
    prop_oneof![5 => value.prop_map(Signal::Known), 1 => Just(Signal::unknown("gone"))].boxed()
}

fn any_load() -> BoxedStrategy<Signal<Load>> {
    signal((any_f32(), any_f32()).prop_map(|(total, own)| Load { total, own }))
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let memory = (any_bytes(), any_bytes(), any_bytes(), signal(any_f32()))
        .prop_map(|(total, available, own, pressure)| Memory { total, available, own, pressure });
    let gpu = (any_load(), any_bytes(), any_bytes(), signal(any_bytes()), signal(any_f32())).prop_map(
        |(load, memory_total, memory_used, memory_own, celsius)| {
            let watts = Signal::unknown("no sensor");
            Gpu { load, memory_total, memory_used, memory_own, celsius, watts, shared: None }
        },
    );
    let power = prop_oneof![3 => Just(Power::Mains), 1 => any_f32().prop_map(|charge| Power::Battery { charge })];
    (
        any_load(),
        signal(memory),
        prop::option::of(signal(gpu)),
        signal(any_f32()),
        signal(power),
        signal((0u64..2000).prop_map(Duration::from_secs)),
        signal(prop::bool::weighted(0.2)),
        signal(prop::collection::vec(Just("blender".to_owned()), 0..2)),
    )
        .prop_map(|(cpu, memory, gpu, cpu_celsius, power, user_idle, full_screen, programs)| Sample {
            cpu_watts: Signal::unknown("no meter"),
            cpu,
            memory,
            gpu,
            cpu_celsius,
            power,
            user_idle,
            full_screen,
            programs,
        })
}

prop_compose! {
    fn any_limits()(
        preset in prop::sample::select(&[Preset::Quiet, Preset::Balanced, Preset::Full][..]),
        shares in [0u16..=1000, 0u16..=1000, 0u16..=1000, 0u16..=1000],
        amounts in [any_bytes(), any_bytes()],
        when in prop::sample::select(&crate::When::ALL[..]),
        max_celsius in prop::option::of(any::<u8>()),
        others in [prop::option::of(0u16..=1000), prop::option::of(0u16..=1000)],
        rest in (any::<bool>(), any::<bool>(), 0u64..1000, 0u8..8),
    ) -> Limits {
        let share = Share::from_per_mille;
        Limits {
            cpu: share(shares[0]),
            cpu_in_use: share(shares[1]),
            gpu: share(shares[2]),
            gpu_in_use: share(shares[3]),
            memory: Amount::Bytes(amounts[0]),
            gpu_memory: Amount::Bytes(amounts[1]),
            when,
            schedule: Schedule::nights(),
            max_celsius,
            others_cpu: others[0].map(share),
            others_gpu: others[1].map(share),
            on_battery: rest.0,
            stop_for_full_screen: rest.1,
            idle_after: Duration::from_secs(rest.2),
            pause: (rest.3 == 0).then_some(Pause::Indefinitely),
            ..Limits::of(preset)
        }
    }
}

proptest! {
    /// The probe's looks are means over 100 ms, every 50 ms, which need not begin when the load does.
    #[test]
    fn load_that_stays_is_answered_within_300_ms_wherever_it_begins(percent in 27u8..=100, phase in 0u64..50) {
        let (mut governor, mut at) = after_calm(Limits::of(Preset::Balanced));
        let mut since = Duration::from_millis(phase);
        loop {
            let part = since.as_secs_f32().min(0.1) / 0.1;
            let mut sample = calm();
            sample.cpu = load(f32::from(percent) / 100.0 * part);
            if governor.update(&sample, now(at)).cpu == FLOOR {
                break;
            }
            (since, at) = (since + STEP, at + STEP);
            prop_assert!(since <= Duration::from_millis(300));
        }
    }

    #[test]
    fn no_sample_and_no_change_lifts_the_allowance_above_the_limits(
        machine in (any_bytes(), prop::option::of(any_bytes())),
        first in any_limits(),
        looks in prop::collection::vec((any_sample(), 0u64..20_000, prop::option::weighted(0.1, any_limits())), 1..60),
    ) {
        let machine = Machine { cores: 8, memory: machine.0, gpu_memory: machine.1 };
        let mut governor = Governor::new(first, machine);
        let mut at = Duration::ZERO;
        for (sample, millis, change) in looks {
            at += Duration::from_millis(millis);
            if let Some(limits) = change {
                governor.set_limits(limits, now(at));
                within_limits(&governor)?;
            }
            governor.update(&sample, now(at));
            within_limits(&governor)?;
            let (allowance, limits) = (governor.allowance(), governor.limits());
            let there = sample.user_idle.known().is_none_or(|idle| *idle < limits.idle_after);
            if there && !limits.idle_after.is_zero() {
                prop_assert!(allowance.cpu <= limits.cpu_in_use && allowance.gpu <= limits.gpu_in_use);
            }
            if limits.pause.is_some() {
                prop_assert_eq!(allowance.state(), crate::State::Paused);
            }
        }
    }
}

fn within_limits(governor: &Governor) -> Result<(), TestCaseError> {
    let (is, limits, machine) = (governor.allowance(), governor.limits(), governor.machine);
    prop_assert!(is.cpu <= limits.cpu && is.gpu <= limits.gpu);
    prop_assert!(is.memory <= limits.memory.resolve(machine.memory));
    prop_assert!(is.gpu_memory <= machine.gpu_memory.map_or(0, |total| limits.gpu_memory.resolve(total)));
    if is.reason == Reason::Free {
        prop_assert_eq!(is.cpu, limits.cpu);
        prop_assert_eq!(is.memory, limits.memory.resolve(machine.memory));
    }
    Ok(())
}
