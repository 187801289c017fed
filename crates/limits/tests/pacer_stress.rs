//! A hundred threads on one pacer, held to the spacing of every single grant, and the pattern that fails it.
//!
//! Time is virtual: a thread's `now` is what it was last granted. Barriers make the threads meet; nothing sleeps.

use gogrid_limits::{Pacer, PacerStats, RequestPacer, Share};
use std::{
    sync::{Barrier, Mutex},
    thread::{self, Builder},
    time::Duration,
};

const THREADS: usize = 100;
const ROUNDS: usize = 100;

/// A slice's start and its busy time.
type Slice = (Duration, Duration);

/// Each slice at that share must have its time line's worth to itself.
fn check_spacing(mut slices: Vec<Slice>, share: Share) -> Result<(), String> {
    slices.sort_unstable();
    for pair in slices.windows(2) {
        let ((start, busy), (next, _)) = (pair[0], pair[1]);
        let until = start + busy.mul_f64(1.0 / share.fraction());
        // Rounding of the last nanosecond.
        if next + Duration::from_nanos(2) < until {
            return Err(format!("a slice starts at {next:?}, one at {start:?} lasts until {until:?}"));
        }
    }
    Ok(())
}

/// Runs `each` on all threads at once, from one barrier on.
fn together<T: Send>(each: impl Fn(usize) -> Vec<T> + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    let (barrier, each) = (&barrier, &each);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let body = move || {
                    barrier.wait();
                    each(thread)
                };
                Builder::new().name(format!("caller {thread}")).spawn_scoped(scope, body).expect("a thread")
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// Different for every slice, and the same in every run: 1 µs to 8 ms.
fn busy(thread: usize, round: usize) -> Duration {
    Duration::from_micros(((thread * 7919 + round * 104_729) % 8000 + 1) as u64)
}

#[test]
fn every_grant_has_its_time_to_itself() {
    for percent in [1, 30, 99] {
        let share = Share::from_percent(percent);
        let pacer = Pacer::new(share, Duration::ZERO);
        let counted = Mutex::new(PacerStats::default());
        let slices = together(|thread| {
            let (mut now, mut slices, mut own) = (Duration::ZERO, Vec::new(), PacerStats::default());
            for round in 0..ROUNDS {
                let busy = busy(thread, round);
                let grant = pacer.reserve(busy, now).unwrap();
                assert!(grant.start() >= now);
                slices.push((grant.start(), busy));
                own.requests += 1;
                own.throttled += u64::from(grant.start() > now);
                own.waits += grant.start() - now;
                own.busy += busy;
                now = grant.start() + busy;
                pacer.mark_request_processed(grant, busy, now);
            }
            let mut all = counted.lock().unwrap();
            all.requests += own.requests;
            all.throttled += own.throttled;
            all.waits += own.waits;
            all.busy += own.busy;
            slices
        });
        assert_eq!(slices.len(), THREADS * ROUNDS);
        check_spacing(slices, share).unwrap();
        assert_eq!(pacer.stats(), *counted.lock().unwrap());
        assert!(pacer.stats().throttled > 0);
    }
}

#[test]
fn wrong_guesses_are_settled_to_the_nanosecond() {
    let pacer = Pacer::new(Share::from_percent(50), Duration::ZERO);
    // All stand in line at the same instant, so that no time is lost: the line ends after the sum of all. It is long:
    // settled late enough, no debt is forgiven.
    let (asked, settled) = (Duration::ZERO, Duration::from_secs(3600));
    let measured = together(|thread| {
        let settle = |round| {
            let grant = pacer.reserve(Duration::from_millis(4), asked).unwrap();
            pacer.mark_request_processed(grant, busy(thread, round), settled);
            pacer.cancel(pacer.reserve(busy(thread, round), asked).unwrap());
            busy(thread, round)
        };
        (0..ROUNDS).map(settle).collect()
    });
    let sum: Duration = measured.iter().sum();
    assert_eq!(pacer.calculate_wait_time(asked), Some(sum * 2));
    assert_eq!((pacer.stats().requests, pacer.stats().busy), ((THREADS * ROUNDS) as u64, sum));
}

#[test]
fn requests_keep_their_distance() {
    let pacer = RequestPacer::new(1000, Duration::from_secs(1), Duration::ZERO);
    let mut starts = together(|_| (0..ROUNDS).map(|_| pacer.reserve(Duration::ZERO).unwrap()).collect::<Vec<_>>());
    starts.sort_unstable();
    let wanted: Vec<_> = (0..THREADS * ROUNDS).map(|at| Duration::from_millis(at as u64)).collect();
    assert_eq!(starts, wanted);
    assert_eq!(pacer.stats().requests, (THREADS * ROUNDS) as u64);
    assert_eq!(pacer.stats().waits, wanted.iter().sum());
}

/// The pattern that a pacer must not have: reads the wait under a lock, sleeps it off, and marks the time afterwards.
struct ReadSleepMark {
    free: Mutex<Duration>,
    share: Share,
}

impl ReadSleepMark {
    fn wait(&self, now: Duration) -> Duration {
        self.free.lock().expect("no panic").saturating_sub(now)
    }

    fn mark(&self, busy: Duration, now: Duration) {
        let mut free = self.free.lock().expect("no panic");
        *free = now.max(*free) + busy.mul_f64(1.0 / self.share.fraction());
    }
}

#[test]
fn the_checker_finds_the_pattern_that_reads_sleeps_and_marks() {
    let share = Share::from_percent(30);
    let pacer = ReadSleepMark { free: Mutex::new(Duration::ZERO), share };
    // Where the sleep is, the others get to read as well.
    let sleeping = Barrier::new(THREADS);
    let slices = together(|thread| {
        let (now, busy) = (Duration::ZERO, busy(thread, 0));
        let start = now + pacer.wait(now);
        sleeping.wait();
        pacer.mark(busy, start);
        vec![(start, busy)]
    });
    assert!(slices.iter().all(|(start, _)| *start == Duration::ZERO), "they all start together");
    let found = check_spacing(slices, share).unwrap_err();
    assert!(found.contains("a slice starts at"), "{found}");
}
