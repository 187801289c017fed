//! Every interleaving of two or three threads on one pacer, tried out by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p gogrid-limits --lib --release loom_tests`.

use super::{free::Claimed, *};
use loom::{sync::Arc, thread};

const NOW: Duration = Duration::ZERO;

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn pacer(percent: u8) -> Arc<Pacer> {
    Arc::new(Pacer::new(Share::from_percent(percent), Duration::ZERO))
}

fn reserve(pacer: &Pacer, expected: u64) -> Claimed {
    pacer.reserve(ns(expected), NOW).unwrap().claimed
}

#[test]
fn no_two_grants_overlap_and_none_leaves_a_gap() {
    loom::model(|| {
        let pacer = pacer(50);
        let threads = [10, 20].map(|expected| {
            let pacer = pacer.clone();
            thread::spawn(move || reserve(&pacer, expected))
        });
        let mut claims = vec![reserve(&pacer, 30)];
        claims.extend(threads.map(|thread| thread.join().unwrap()));
        claims.sort_by_key(|claimed| claimed.from);
        let mut free = 0;
        for claimed in claims {
            assert_eq!(claimed.from, free);
            free += claimed.length;
        }
        assert_eq!((free, pacer.free.get()), (120, 120));
    });
}

#[test]
fn no_busy_time_is_lost() {
    loom::model(|| {
        let pacer = pacer(50);
        let slice = |expected, measured| {
            let pacer = pacer.clone();
            thread::spawn(move || {
                let grant = pacer.reserve(ns(expected), NOW).unwrap();
                let wait = grant.wait();
                pacer.mark_request_processed(grant, ns(measured), NOW);
                wait
            })
        };
        // One that takes longer, one that takes less: where one ends first, the other starts earlier or later.
        let threads = [slice(10, 25), slice(20, 5)];
        let waits: Vec<Duration> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(pacer.free.get(), 2 * (25 + 5));
        let throttled = waits.iter().filter(|wait| !wait.is_zero()).count() as u64;
        let waits = waits.iter().sum();
        assert_eq!(pacer.stats(), PacerStats { requests: 2, throttled, busy: ns(30), waits });
    });
}

#[test]
fn charges_and_cancelled_grants_add_up() {
    loom::model(|| {
        let pacer = pacer(50);
        let charged = pacer.clone();
        let charging = thread::spawn(move || charged.charge(ns(7), NOW));
        let cancelled = pacer.clone();
        let cancelling = thread::spawn(move || cancelled.cancel(cancelled.reserve(ns(100), NOW).unwrap()));
        reserve(&pacer, 10);
        charging.join().unwrap();
        cancelling.join().unwrap();
        assert_eq!(pacer.free.get(), 2 * (7 + 10));
        assert_eq!(pacer.stats(), PacerStats { busy: ns(7), ..PacerStats::default() });
    });
}

#[test]
fn a_lowered_share_holds_from_the_next_reservation_on() {
    loom::model(|| {
        let pacer = pacer(50);
        let lowered = pacer.clone();
        let lowering = thread::spawn(move || lowered.set_share(Share::from_percent(10)));
        let asked = pacer.clone();
        let asking = thread::spawn(move || [reserve(&asked, 10), reserve(&asked, 10)]);
        lowering.join().unwrap();
        // Whatever the other thread saw: a caller that knows of the lower share gets it.
        assert_eq!(reserve(&pacer, 10).length, 100);
        let lengths = asking.join().unwrap().map(|claimed| claimed.length);
        assert!([[20, 20], [20, 100], [100, 100]].contains(&lengths), "{lengths:?}");
        assert_eq!(pacer.free.get(), 100 + lengths.iter().sum::<u64>());
    });
}

#[test]
fn who_stops_the_pacer_and_who_starts_a_slice_see_each_other() {
    use crate::sync::AtomicU64;
    loom::model(|| {
        let pacer = pacer(50);
        let computing = Arc::new(AtomicU64::new(0));
        let (stopped, seen) = (pacer.clone(), computing.clone());
        let stopping = thread::spawn(move || {
            stopped.set_share(Share::ZERO);
            seen.load(Ordering::Relaxed) == 1
        });
        computing.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let runs = !pacer.share().is_zero();
        assert!(stopping.join().unwrap() || !runs, "a slice runs unseen");
    });
}
