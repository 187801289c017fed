//! A device, its driver and a worker in made-up time.

use super::{super::pacers::CATCH_UP, kind::FEW_ROWS, *};
use gogrid_limits::{Pacer, Share};
use gogrid_wire::Epoch;
use proptest::prelude::*;
use rstest::rstest;

const SAMPLE_EVERY: f64 = 0.05;
/// What the limit may be passed by, and missed by once it is learned: the bar of docs/LIMITS.md.
const CLOSE: f64 = 0.03;
/// By then it is learned.
const LEARNED: f64 = 10.0;

/// A slice: milliseconds of device time, and of the host's for launching it.
#[derive(Debug, Clone, Copy)]
struct Work {
    rows: usize,
    sessions: usize,
    device: f64,
    host: f64,
    /// Of a unit.
    weight: f64,
}

/// A decode step: the device stands still for half of it.
const DECODE: Work = Work { rows: 4, sessions: 4, device: 2.2, host: 5.0, weight: 1.0 };
/// A piece of a prompt: the host is faster than the device.
const PROMPT: Work = Work { rows: 512, sessions: 1, device: 5.7, host: 4.0, weight: 1.0 };

struct World {
    occupancy: Occupancy,
    pacer: Pacer,
    now: f64,
    observed: f64,
    /// The driver's figures are means over one of these times, and older than now by the other.
    period: f64,
    lag: f64,
    /// Part of the time in which another program has the device.
    others: f64,
    /// Whether the driver tells processes apart.
    apart: bool,
    tells: bool,
    /// From, to, seconds of device time.
    slices: Vec<(f64, f64, f64)>,
    /// Our own count.
    counted: f64,
}

fn seconds(time: f64) -> Duration {
    Duration::from_secs_f64(time)
}

impl World {
    fn new(share: u16) -> Self {
        Self {
            occupancy: Occupancy::default(),
            pacer: Pacer::new(Share::from_per_mille(share), CATCH_UP),
            now: 0.0,
            observed: 0.0,
            period: 0.2,
            lag: 0.3,
            others: 0.0,
            apart: true,
            tells: true,
            slices: Vec::new(),
            counted: 0.0,
        }
    }

    /// Part of that time in which our kernels ran.
    fn busy(&self, from: f64, to: f64) -> f64 {
        let recent = self.slices.iter().rev().take_while(|(_, end, _)| *end > from);
        let within = recent.map(|(start, end, busy)| (end.min(to) - start.max(from)).max(0.0) / (end - start) * busy);
        within.sum::<f64>() / (to - from)
    }

    /// Lets time pass, with looks on the way.
    fn pass(&mut self, until: f64) {
        while self.observed + SAMPLE_EVERY <= until {
            self.observed += SAMPLE_EVERY;
            let shown = ((self.observed - self.lag) / self.period).floor() * self.period;
            let own = if shown < self.period { 0.0 } else { self.busy(shown - self.period, shown) };
            // In whole points, as drivers tell it.
            let total = ((own + self.others).min(1.0) * 100.0).round() as f32 / 100.0;
            let own = if self.apart { own as f32 } else { total };
            self.occupancy.observe(self.tells.then_some(Load { total, own }), seconds(self.observed));
        }
        self.now = until;
    }

    /// Works for this many seconds.
    fn work(&mut self, work: Work, lasts: f64) {
        let end = self.now + lasts;
        while self.now < end {
            let (device, host) = (work.device / 1e3, work.host / 1e3);
            // While another program has the device, ours waits.
            let length = device.max(host) / (1.0 - self.others);
            let grant = self.pacer.reserve(seconds(length), seconds(self.now)).expect("not stopped");
            self.pass(grant.start().as_secs_f64());
            self.slices.push((self.now, self.now + length, device));
            self.pass(self.now + length);
            let kind = Kind::new(Epoch(1), work.rows, work.sessions);
            let cost = self.occupancy.charge(kind, 22.0 * work.weight, seconds(length));
            self.counted += cost.busy.as_secs_f64();
            self.pacer.mark_request_processed(grant, cost.charged, seconds(self.now));
        }
    }

    /// The busiest second that begins within that time.
    fn busiest(&self, from: f64) -> f64 {
        let starts = (0..).map(|step| from + f64::from(step) * 0.1).take_while(|start| start + 1.0 <= self.now);
        starts.map(|start| self.busy(start, start + 1.0)).fold(0.0, f64::max)
    }
}

#[rstest]
fn what_is_lent_is_used_and_not_passed_on_the_way(
    #[values(100, 250, 400)] share: u16,
    #[values((0.17, 0.1), (0.2, 0.5), (1.0, 0.0))] (period, lag): (f64, f64),
) {
    let mut world = World { period, lag, ..World::new(share) };
    world.work(DECODE, 20.0);
    let limit = f64::from(share) / 1000.0;
    assert!(world.busiest(0.0) <= limit + CLOSE, "{}", world.busiest(0.0));
    let (busy, counted) = (world.busy(LEARNED, 20.0), world.counted);
    assert!((busy - limit).abs() <= CLOSE, "{busy}");
    world.work(DECODE, 10.0);
    // Our own count says the same.
    let (busy, counted) = (world.busy(20.0, 30.0), (world.counted - counted) / 10.0);
    assert!((busy - counted).abs() <= CLOSE, "{busy}, {counted}");
}

#[test]
fn work_that_cannot_fill_what_is_lent_is_not_held_back() {
    let mut world = World::new(750);
    world.work(DECODE, 20.0);
    let most = DECODE.device / DECODE.host;
    assert!((world.busy(LEARNED, 20.0) - most).abs() < 0.005);
    let counted = world.counted;
    world.work(DECODE, 10.0);
    assert!(((world.counted - counted) / 10.0 - most).abs() <= CLOSE, "{}", world.counted - counted);
}

#[test]
fn prompts_after_and_between_decode_steps_stay_within_the_limit() {
    let mut world = World::new(250);
    world.work(DECODE, 15.0);
    world.work(PROMPT, 5.0);
    for _ in 0..20 {
        world.work(DECODE, 0.7);
        world.work(PROMPT, 0.4);
    }
    world.work(DECODE, 5.0);
    world.work(PROMPT, 5.0);
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
}

#[test]
fn prompts_among_answers_are_told_apart_once_answers_were_seen_alone() {
    let mut world = World::new(250);
    // The host is slower than with the prompts elsewhere here.
    let prompt = Work { host: 9.0, ..PROMPT };
    world.work(DECODE, 25.0);
    for _ in 0..200 {
        world.work(DECODE, 0.06);
        world.work(prompt, 0.04);
    }
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
    let busy = world.busy(world.now - 10.0, world.now);
    assert!((busy - 0.25).abs() <= CLOSE, "{busy}");
}

/// Prompts that came together go through together, each piece heavier than the one before, and then come the next.
#[rstest]
fn pieces_that_get_heavier_are_kept_within_the_limit_and_fill_it(#[values(250, 400)] share: u16) {
    let mut world = World::new(share);
    let piece = |step: u32| {
        let weight = 1.0 + 0.3 * f64::from(step);
        Work { device: PROMPT.device * weight, weight, ..PROMPT }
    };
    for step in (0..6).cycle().take(60) {
        world.work(piece(step), 0.5);
    }
    let limit = f64::from(share) / 1000.0;
    assert!(world.busiest(0.0) <= limit + CLOSE, "{}", world.busiest(0.0));
    for second in LEARNED as u32..29 {
        let busy = world.busy(f64::from(second), f64::from(second + 1));
        assert!((busy - limit).abs() <= CLOSE, "{busy} in second {second}");
    }
}

#[test]
fn a_host_that_gets_faster_or_slower_changes_nothing() {
    let mut world = World::new(250);
    for host in [15.0, 3.0, 8.0, 3.0] {
        world.work(Work { host, ..DECODE }, 15.0);
    }
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
    assert!((world.busy(50.0, 60.0) - 0.25).abs() <= CLOSE);
}

#[test]
fn heavier_work_of_a_kind_is_noticed_within_three_seconds() {
    let mut world = World::new(250);
    world.work(DECODE, 15.0);
    world.work(Work { device: 4.4, ..DECODE }, 10.0);
    assert!(world.busy(15.0, 16.0) > 0.4, "it cannot be told at once");
    assert!(world.busiest(18.0) <= 0.25 + CLOSE, "{}", world.busiest(18.0));
}

/// Bursts of work teach nothing wrong, although the driver's figures lag behind them.
#[rstest]
fn work_that_begins_and_ends_does_not_look_light(#[values(0.3, 0.9, 1.7, 2.6)] burst: f64) {
    let mut world = World { period: 0.2, lag: 0.8, ..World::new(250) };
    for _ in 0..15 {
        world.work(DECODE, burst);
        world.pass(world.now + 1.3);
    }
    world.work(DECODE, 5.0);
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
}

#[rstest]
fn beside_other_programs_everything_costs_its_length(#[values(true, false)] apart: bool) {
    let mut world = World { apart, ..World::new(250) };
    world.work(DECODE, 15.0);
    world.others = 0.1;
    world.work(DECODE, 15.0);
    let (length, busy) = (DECODE.host / 0.9, DECODE.device);
    let whole = 0.25 / length * busy;
    // Where the driver does not tell processes apart, all that it sees counts as ours.
    assert!(world.busy(20.0, 30.0) <= whole * if apart { 1.01 } else { 2.0 }, "{}", world.busy(20.0, 30.0));
    world.others = 0.0;
    world.work(DECODE, 15.0);
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
    assert!((world.busy(40.0, 45.0) - 0.25).abs() <= CLOSE);
}

#[test]
fn a_driver_that_tells_nothing_or_too_little_is_not_believed() {
    let mut world = World::new(250);
    world.work(DECODE, 15.0);
    world.tells = false;
    world.work(DECODE, 10.0);
    let whole = 0.25 * DECODE.device / DECODE.host;
    assert!((world.busy(17.0, 25.0) - whole).abs() < 0.01);
    // Always 0.
    let mut world = World { lag: 1e9, ..World::new(250) };
    world.work(DECODE, 20.0);
    assert!((world.busy(0.0, 20.0) - whole).abs() < 0.01);
}

#[test]
fn a_kind_is_forgotten_when_it_was_not_seen_for_long() {
    let mut world = World::new(250);
    world.work(DECODE, 15.0);
    world.work(PROMPT, 15.0);
    assert_eq!(world.occupancy.known.len(), 2);
    world.work(PROMPT, FORGET_AFTER.as_secs_f64());
    assert_eq!(world.occupancy.known.len(), 1);
}

/// Answers begin and end all the time, so that steps are of four sessions, of three and of two.
#[test]
fn kinds_that_never_come_alone_are_told_apart_well_enough() {
    let mut world = World::new(250);
    let of = |sessions: usize| Work {
        rows: sessions,
        sessions,
        device: 1.0 + 0.5 * sessions as f64,
        host: 1.0 + sessions as f64,
        weight: 1.0,
    };
    for _ in 0..200 {
        world.work(of(4), 0.07);
        world.work(of(3), 0.03);
        world.work(of(2), 0.02);
    }
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
    let busy = world.busy(LEARNED, world.now);
    assert!((busy - 0.25).abs() <= CLOSE, "{busy}");
}

/// It cannot be told what each of them takes, only what they take together.
#[test]
fn kinds_that_always_come_together_are_counted_right_and_charged_with_too_much() {
    let mut world = World::new(250);
    let of = |sessions: usize| Work {
        rows: sessions,
        sessions,
        device: 1.0 + 0.5 * sessions as f64,
        host: 1.0 + sessions as f64,
        weight: 1.0,
    };
    let mut counted = 0.0;
    for round in 0..600 {
        if round == 400 {
            counted = world.counted - world.busy(0.0, world.now) * world.now;
        }
        world.work(of(3), 0.001);
        world.work(of(1), 0.001);
    }
    assert!(world.busiest(0.0) <= 0.25 + CLOSE, "{}", world.busiest(0.0));
    let off = world.counted - world.busy(0.0, world.now) * world.now - counted;
    assert!(off.abs() / (world.now / 3.0) <= CLOSE, "{off}");
}

/// What follows one another: rows and sessions of the work, milliseconds of the host for it, seconds, another
/// program's load, and whether nothing is done afterwards.
fn phase() -> impl Strategy<Value = (usize, usize, f64, f64, f64, bool)> {
    let answers = (1usize..=8).prop_map(|sessions| (sessions, sessions));
    let prompts = (prop::sample::select(vec![16usize, 64, 480, 512]), 1usize..=3);
    let work = prop_oneof![answers, prompts];
    (work, 0.5f64..8.0, 0.1f64..6.0, prop::sample::select(vec![0.0, 0.0, 0.0, 0.04, 0.3]), prop::bool::weighted(0.3))
        .prop_map(|((rows, sessions), host, lasts, others, rests)| (rows, sessions, host, lasts, others, rests))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever works come after one another, on a fast or a slow host, beside others or alone, and however the driver's
    /// figures are made of the last second: no second passes the limit by more than 3 points.
    #[test]
    fn no_second_passes_the_limit(
        share in 50u16..=900,
        period in 0.15f64..=0.5, lag in 0.0f64..=1.0,
        step in 0.2f64..3.0, session in 0.0f64..0.5, row in 0.002f64..0.01,
        phases in prop::collection::vec(phase(), 1..12),
    ) {
        let mut world = World { period, lag: lag * (1.0 - 2.0 * period), ..World::new(share) };
        for (rows, sessions, host, lasts, others, rests) in phases {
            world.others = others;
            let device = match rows <= FEW_ROWS {
                true => step + session * sessions as f64,
                false => step + row * (rows + 16 * sessions) as f64,
            };
            world.work(Work { rows, sessions, device, host, weight: 1.0 }, lasts);
            if rests {
                world.pass(world.now + 1.3);
            }
        }
        let busiest = world.busiest(0.0);
        prop_assert!(busiest <= f64::from(share) / 1000.0 + CLOSE, "{busiest}");
    }
}
