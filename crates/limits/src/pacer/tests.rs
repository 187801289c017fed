use super::*;
use proptest::prelude::*;
use rstest::rstest;

const TOLERANCE: Duration = Duration::from_millis(10);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn pacer(percent: u8) -> Pacer {
    Pacer::new(Share::from_percent(percent), TOLERANCE)
}

#[test]
fn a_slice_at_a_quarter_takes_four_times_its_time() {
    let pacer = pacer(25);
    let first = pacer.reserve(ms(8), ms(100)).unwrap();
    assert_eq!((first.start(), first.wait(), first.expected()), (ms(100), Duration::ZERO, ms(8)));
    pacer.mark_request_processed(first, ms(8), ms(108));
    // Reckoned from what it came too late, 10 ms at the most.
    assert_eq!(pacer.calculate_wait_time(ms(108)), Some(ms(90 + 32 - 108)));
    let second = pacer.reserve(ms(8), ms(108)).unwrap();
    assert_eq!((second.start(), second.wait()), (ms(122), ms(14)));
    let third = pacer.reserve(ms(8), ms(108)).unwrap();
    assert_eq!(third.start(), ms(122 + 32));
    pacer.mark_request_processed(third, ms(8), ms(170));
    pacer.cancel(second);
    let stats = PacerStats { requests: 2, throttled: 1, busy: ms(16), waits: ms(46) };
    assert_eq!(pacer.stats(), stats);
}

#[test]
fn what_took_longer_is_paid_off_and_what_was_left_is_given_back() {
    let pacer = pacer(50);
    let next = || {
        let grant = pacer.reserve(ms(8), ms(1000)).unwrap();
        (grant.start(), grant)
    };
    let (start, grant) = next();
    pacer.mark_request_processed(grant, ms(20), ms(1000));
    let (longer, grant) = next();
    pacer.mark_request_processed(grant, ms(1), ms(1000));
    let (shorter, grant) = next();
    pacer.cancel(grant);
    let (cancelled, _grant) = next();
    assert_eq!((start, longer, shorter, cancelled), (ms(1000), ms(1030), ms(1032), ms(1032)));
}

#[test]
fn time_given_back_too_late_is_no_more_than_the_tolerance() {
    let pacer = pacer(50);
    let grants: Vec<_> = (0..100).map(|_| pacer.reserve(ms(8), ms(0)).unwrap()).collect();
    grants.into_iter().for_each(|grant| pacer.cancel(grant));
    let starts = [0, 1, 2].map(|_| pacer.reserve(ms(8), ms(5000)).unwrap().start());
    assert_eq!(starts, [ms(5000), ms(5006), ms(5022)]);
}

#[test]
fn how_much_is_caught_up_with_can_be_changed_at_any_time() {
    let pacer = pacer(50);
    let waits = |tolerance, at| {
        pacer.set_tolerance(ms(tolerance));
        [0, 1].map(|_| pacer.reserve(ms(4), ms(at)).unwrap().wait())
    };
    assert_eq!(waits(0, 1000), [ms(0), ms(8)]);
    assert_eq!(waits(20, 2000), [ms(0), ms(0)]);
    assert_eq!(waits(2, 3000), [ms(0), ms(6)]);
}

#[test]
fn a_full_share_never_waits() {
    let pacer = pacer(100);
    for at in [0, 1, 1, 1, 2] {
        let grant = pacer.reserve(ms(8), ms(at)).unwrap();
        assert_eq!((grant.start(), grant.wait()), (ms(at), Duration::ZERO));
        pacer.mark_request_processed(grant, ms(800), ms(at));
        pacer.charge(ms(800), ms(at));
        assert_eq!(pacer.calculate_wait_time(ms(at)), Some(Duration::ZERO));
    }
    assert_eq!(pacer.stats(), PacerStats { requests: 5, throttled: 0, busy: ms(8000), waits: Duration::ZERO });
}

#[test]
fn nothing_starts_while_the_share_is_nothing() {
    let pacer = pacer(0);
    assert_eq!(pacer.reserve(ms(8), ms(5)), Err(Paced::Stopped));
    assert!(Paced::Stopped.to_string().contains("stopped"));
    assert_eq!(pacer.calculate_wait_time(ms(5)), None);
    pacer.charge(ms(20), ms(5));
    pacer.set_share(Share::from_percent(50));
    assert_eq!(pacer.reserve(ms(8), ms(5)).unwrap().start(), ms(20));
    assert_eq!(pacer.stats(), PacerStats { busy: ms(20), ..PacerStats::default() });
}

#[test]
fn a_changed_share_holds_from_the_next_reservation_on() {
    let pacer = pacer(50);
    let before = pacer.reserve(ms(8), ms(20)).unwrap();
    pacer.set_share(Share::from_percent(10));
    assert_eq!(pacer.share(), Share::from_percent(10));
    let after = pacer.reserve(ms(8), ms(20)).unwrap();
    assert_eq!(after.start(), ms(10 + 16));
    assert_eq!(pacer.calculate_wait_time(ms(20)), Some(ms(6 + 80)));
    // Priced at its own share, although another one holds.
    pacer.mark_request_processed(before, ms(4), ms(24));
    assert_eq!(pacer.calculate_wait_time(ms(20)), Some(ms(6 + 80 - 8)));
    pacer.cancel(after);
    assert_eq!(pacer.calculate_wait_time(ms(10)), Some(ms(8)));
}

#[test]
fn busy_time_of_others_is_paid_off() {
    let pacer = pacer(20);
    pacer.charge(ms(4), ms(1000));
    assert_eq!(pacer.reserve(ms(8), ms(1000)).unwrap().start(), ms(1000 - 10 + 20));
    assert_eq!(pacer.stats(), PacerStats { busy: ms(4), ..PacerStats::default() });
}

#[rstest]
#[case(Duration::from_secs(8 * 3600))]
#[case(Duration::from_nanos(u64::MAX))]
#[case(Duration::MAX)]
fn an_absurd_measurement_stops_nobody_for_long(#[case] measured: Duration) {
    let (pacer, now) = (pacer(10), ms(500));
    let grant = pacer.reserve(ms(8), now).unwrap();
    pacer.mark_request_processed(grant, measured, now);
    assert_eq!(pacer.calculate_wait_time(now), Some(MAX_DEBT));
    pacer.charge(measured, now);
    assert_eq!(pacer.calculate_wait_time(now), Some(MAX_DEBT));
    assert_eq!(pacer.stats().busy, Duration::from_nanos(nanos(measured).saturating_mul(2)));
}

#[test]
fn an_absurd_expectation_is_given_back_whole() {
    let pacer = pacer(10);
    let short = pacer.reserve(ms(8), ms(500)).unwrap();
    let absurd = pacer.reserve(Duration::MAX, ms(500)).unwrap();
    let behind = pacer.reserve(ms(8), ms(500)).unwrap();
    assert_eq!((absurd.start(), behind.start()), (ms(570), Duration::from_nanos(u64::MAX)));
    pacer.cancel(behind);
    pacer.mark_request_processed(absurd, ms(8), ms(578));
    pacer.mark_request_processed(short, ms(8), ms(578));
    assert_eq!(pacer.calculate_wait_time(ms(578)), Some(ms(490 + 160 - 578)));
    let late = pacer.reserve(Duration::ZERO, Duration::MAX).unwrap();
    assert_eq!((late.start(), late.wait()), (Duration::MAX, Duration::ZERO));
}

#[derive(Debug, Clone)]
enum Event {
    /// Time without work, in µs.
    Idle(u64),
    /// A slice: expected, measured, and how late it starts, in µs.
    Slice(u64, u64, u64),
    Cancelled(u64),
    Charge(u64),
    Share(u16),
}

fn event() -> impl Strategy<Value = Event> {
    let busy = || prop_oneof![0u64..20_000, 0u64..200];
    prop_oneof![
        2 => prop_oneof![0u64..500, 0u64..200_000].prop_map(Event::Idle),
        10 => (busy(), busy(), 0u64..5000).prop_map(|(expected, measured, late)| Event::Slice(expected, measured, late)),
        1 => busy().prop_map(Event::Cancelled),
        1 => (0u64..5000).prop_map(Event::Charge),
        1 => (1u16..1000).prop_map(Event::Share),
    ]
}

/// Busy time: from when, how long, at what share, and whether it is a slice, or else was charged.
type Busy = (Duration, Duration, Share, bool);

/// Checks the bound in every window that ends where a slice starts.
fn check_windows(all: &[Busy]) -> Result<(), TestCaseError> {
    for from in 0..all.len() {
        let (mut busy, mut most) = (Duration::ZERO, Share::ZERO);
        for (start, length, share, slice) in &all[from..] {
            let bound = (*start - all[from].0 + TOLERANCE).mul_f64(most.fraction());
            prop_assert!(!slice || busy <= bound + us(1), "{busy:?} above {bound:?}");
            busy += *length;
            most = most.max(*share);
        }
    }
    Ok(())
}

proptest! {
    /// One caller with any behavior: no window holds more than its share, the tolerance's and a last slice.
    #[test]
    fn no_window_holds_more_than_its_share(events in prop::collection::vec(event(), 1..120), percent in 1u8..100) {
        let pacer = pacer(percent);
        let (mut now, mut all) = (ms(1000), Vec::new());
        let mut waits = Duration::ZERO;
        let (mut slices, mut throttled, mut busy) = (0, 0, Duration::ZERO);
        for event in events {
            match event {
                Event::Idle(time) => now += us(time),
                Event::Cancelled(expected) => pacer.cancel(pacer.reserve(us(expected), now).unwrap()),
                Event::Share(share) => pacer.set_share(Share::from_per_mille(share)),
                Event::Charge(time) => {
                    pacer.charge(us(time), now);
                    all.push((now, us(time), pacer.share(), false));
                    busy += us(time);
                }
                Event::Slice(expected, measured, late) => {
                    let promised = pacer.calculate_wait_time(now).unwrap();
                    let grant = pacer.reserve(us(expected), now).unwrap();
                    prop_assert_eq!(grant.wait(), promised);
                    prop_assert_eq!(grant.start(), now + promised);
                    all.push((grant.start(), us(measured), grant.share, true));
                    waits += promised;
                    slices += 1;
                    throttled += u64::from(!promised.is_zero());
                    busy += us(measured);
                    now = grant.start() + us(late) + us(measured);
                    pacer.mark_request_processed(grant, us(measured), now);
                }
            }
        }
        check_windows(&all)?;
        prop_assert_eq!(pacer.stats(), PacerStats { requests: slices, throttled, busy, waits });
    }

    /// Many callers, settled in any order: what is reserved when a window begins comes on top, and nothing else.
    #[test]
    fn what_is_in_flight_is_all_that_comes_on_top(
        steps in prop::collection::vec((0u64..20_000, 0u64..20_000, 0u64..30_000, any::<prop::sample::Index>()), 1..100),
        most in 1usize..8,
        // A lower one would come to the debt's cap.
        percent in 10u8..100,
    ) {
        let pacer = pacer(percent);
        let share = Share::from_percent(percent);
        let mut now = ms(1000);
        let mut flying: Vec<Grant> = Vec::new();
        // At every reservation: when, what was settled by then, and what was in flight, as parts of the time line.
        let mut seen: Vec<(Duration, Duration, Duration)> = Vec::new();
        let mut settled = Duration::ZERO;
        for (expected, measured, passed, which) in steps {
            let in_flight: u64 = flying.iter().map(|grant| grant.claimed.length).sum();
            let grant = pacer.reserve(us(expected), now).unwrap();
            for (then, before, on_top) in &seen {
                // When this one starts, all that is settled and in flight fits the time since then.
                let used = settled + Duration::from_nanos(in_flight) - *before;
                prop_assert!(used <= grant.start() - *then + TOLERANCE + *on_top + us(1), "{used:?} since {then:?}");
            }
            seen.push((now, settled, Duration::from_nanos(in_flight)));
            flying.push(grant);
            now += us(passed);
            if flying.len() >= most {
                let grant = flying.swap_remove(which.index(flying.len()));
                settled += Duration::from_nanos(price(nanos(us(measured)), share));
                pacer.mark_request_processed(grant, us(measured), now);
            }
        }
    }

    /// A caller that always has work, oversleeps and guesses wrong still gets its share.
    #[test]
    fn the_share_is_met_in_the_long_run(
        slices in prop::collection::vec((1000u64..9000, 1000u64..9000, 0u64..10_000), 1000),
        percent in 2u8..95,
    ) {
        let pacer = pacer(percent);
        let (begin, mut busy) = (ms(1000), Duration::ZERO);
        let mut now = begin;
        for (expected, measured, late) in slices {
            let grant = pacer.reserve(us(expected), now).unwrap();
            let late = if grant.wait().is_zero() { Duration::ZERO } else { us(late) };
            now = grant.start() + late + us(measured);
            pacer.mark_request_processed(grant, us(measured), now);
            busy += us(measured);
        }
        let got = busy.as_secs_f64() / (pacer.reserve(ms(8), now).unwrap().start() - begin).as_secs_f64();
        let wanted = f64::from(percent) / 100.0;
        prop_assert!((got / wanted - 1.0).abs() < 0.005, "{got} instead of {wanted}");
    }

    /// Nothing that comes in overflows, and time never runs backwards for a grant.
    #[test]
    fn any_numbers_are_taken(
        calls in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u16>(), any::<bool>()), 1..40),
        tolerance in any::<u64>(),
    ) {
        let pacer = Pacer::new(Share::FULL, Duration::from_nanos(tolerance));
        let mut busy = 0u64;
        for (expected, measured, now, share, settle) in calls {
            let now = Duration::from_nanos(now);
            pacer.set_share(Share::from_per_mille(share % 1001));
            pacer.charge(Duration::from_nanos(measured), now);
            busy = busy.saturating_add(measured);
            match pacer.reserve(Duration::from_nanos(expected), now) {
                Ok(grant) if settle => {
                    prop_assert!(grant.start() >= now);
                    pacer.mark_request_processed(grant, Duration::from_nanos(measured), now);
                    busy = busy.saturating_add(measured);
                }
                Ok(grant) => pacer.cancel(grant),
                Err(Paced::Stopped) => prop_assert!(pacer.share().is_zero()),
            }
        }
        prop_assert_eq!(pacer.stats().busy, Duration::from_nanos(busy));
    }
}
