//! Worlds by seed.

use super::{
    client::{Ask, Manner},
    faults::{Fault, Party},
    machine::{Quirks, Wrong},
    world::{Scenario, World},
};
use gogrid_model::SamplingParams;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Seeds of one run, unless `GOGRID_SEEDS` says otherwise.
const SEEDS: u64 = 300;
/// Lent memory: of a machine that holds all there is, of one that holds a stage of the demo model and no second one.
const ROOMY: u64 = 8 << 30;
const TIGHT: u64 = 70 << 20;

fn millis(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

fn quirks(random: &mut StdRng) -> Quirks {
    let (load, step) = (millis(random, 10..1500), millis(random, 1..25));
    let (keeps_outputs, forgets) = (random.random_ratio(3, 4), random.random_ratio(1, 8));
    Quirks { load, step, failing_loads: 0, keeps_outputs, forgets, ignores_steps: false, wrong: None }
}

/// The world of a seed.
fn scenario(seed: u64) -> Scenario {
    let random = &mut StdRng::seed_from_u64(seed);
    let machines = random.random_range(2..8);
    let roomy = random.random_ratio(2, 3);
    let mut models = Vec::new();
    let mut stages_left = machines;
    for _ in 0..random.random_range(1..4) {
        let stages = random.random_range(1..4).min(stages_left);
        if stages > 0 {
            models.push((stages, random.random_range(1..4)));
            stages_left -= if roomy { 0 } else { stages };
        }
    }
    let memory = if roomy { ROOMY } else { TIGHT };
    // Some join later.
    let late = random.random_range(0..3);
    let lent = (0..machines + late).map(|number| (memory, quirks(random), number < machines)).collect();
    let end = Duration::from_secs(random.random_range(15..45));
    let asks = (0..random.random_range(3..13)).map(|number| ask(random, number, models.len(), end)).collect();
    let mut faults: Vec<_> = (machines..machines + late)
        .map(|machine| (millis(random, 0..end.as_millis() as u64), Fault::Join { machine }))
        .collect();
    for _ in 0..random.random_range(2..20) {
        faults.push((millis(random, 0..end.as_millis() as u64), fault(random, machines)));
    }
    faults.sort_by_key(|(at, _)| *at);
    let sessions = random.random_range(2..17);
    // From at once to longer than machines take to come, go and load.
    let planning = [Duration::ZERO, millis(random, 1..20), millis(random, 20..1000)][random.random_range(0..3)];
    Scenario { seed, sessions, models, machines: lent, roomy, asks, faults, planning, end }
}

fn ask(random: &mut StdRng, number: usize, models: usize, end: Duration) -> Ask {
    let sampling = match random.random_range(0..3) {
        0 => SamplingParams { top_k: Some(8), seed: random.random(), ..SamplingParams::default() },
        1 => SamplingParams { repetition_penalty: 1.3, ..SamplingParams::greedy() },
        _ => SamplingParams::greedy(),
    };
    let manner = match random.random_range(0..8) {
        0 => Manner::ReadsSlowly(millis(random, 10..300)),
        1 => Manner::Leaves(random.random_range(0..40)),
        _ => Manner::Reads,
    };
    // Many prompts begin alike.
    let alike = if random.random() { random.random_range(0..100) } else { 0 };
    let own = random.random_range(1..50);
    let prompt = (0..alike).map(|at| 200 + at).chain((0..own).map(|_| random.random_range(100..2000))).collect();
    Ask {
        number,
        model: random.random_range(0..models),
        at: millis(random, 0..end.as_millis() as u64),
        prompt,
        tokens: random.random_range(1..100),
        sampling,
        manner,
        turns: random.random_range(0..3),
    }
}

fn fault(random: &mut StdRng, machines: usize) -> Fault {
    let machine = random.random_range(0..machines);
    let party = |random: &mut StdRng| match random.random_range(0..=machines) {
        number if number < machines => Party::Machine(number),
        _ => Party::Coordinator,
    };
    // Often short enough to be taken for a late beat, sometimes too long for a link.
    let lasts = millis(random, 100..8000);
    let back = millis(random, 200..20_000);
    match random.random_range(0..20) {
        0..3 => Fault::Kill { machine, dark: random.random(), back },
        3..6 => Fault::StandStill { who: Party::Machine(machine), lasts, breaks: random.random() },
        6 => {
            let breaks = random.random();
            match random.random_range(0..4) {
                0 => Fault::Jump { lasts: [lasts, Duration::from_secs(3600)][random.random_range(0..2)] },
                _ => Fault::StandStill { who: Party::Coordinator, lasts, breaks },
            }
        }
        7..10 => {
            let (from, to) = (party(random), party(random));
            Fault::Cut { from, to, both: random.random(), lasts }
        }
        10 => Fault::Break { a: party(random), b: party(random) },
        11 => Fault::Slow { machine, delay: millis(random, 1..400), lasts },
        12..15 => Fault::Stop { machine, at_once: random.random(), lasts: back },
        15..17 => Fault::Drain { machine, back },
        17 => Fault::FailLoads { machine, count: random.random_range(1..4) },
        _ => {
            let wrong = [Wrong::TooFew, Wrong::NoLogit, Wrong::Position, Wrong::NotANumber][random.random_range(0..4)];
            Fault::Answer { machine, wrong, lasts }
        }
    }
}

/// Everything that happened in a world, and what of it was wrong.
fn run(scenario: Scenario) -> (Vec<String>, Vec<String>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(World::run(scenario))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is no number: {number}")))
}

/// Runs a seed; true if something was wrong.
fn fails(seed: u64, tells: bool) -> bool {
    let (trace, wrong) = run(scenario(seed));
    if tells {
        println!("{}", trace.join("\n"));
    }
    if !wrong.is_empty() {
        let wrong = wrong.join("\n  ");
        println!("GOGRID_SEED={seed} cargo nextest run -p gogrid-coordinator sim --no-capture\n  {wrong}");
    }
    !wrong.is_empty()
}

#[test]
fn no_token_is_lost_repeated_or_reordered_and_no_session_left_behind() {
    if let Some(seed) = number("GOGRID_SEED") {
        return assert!(!fails(seed, true), "seed {seed} failed");
    }
    // Each world has one thread; many worlds take all there are.
    let (seeds, threads) = match number("GOGRID_SEEDS") {
        Some(seeds) => (seeds, std::thread::available_parallelism().map_or(1, usize::from)),
        None => (SEEDS, 1),
    };
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let part = |first| (first..seeds).step_by(threads).filter(|seed| fails(*seed, false)).collect::<Vec<_>>();
        let parts: Vec<_> = (0..threads as u64).map(|first| scope.spawn(move || part(first))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    });
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {failed:?}", failed.len());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        let ((first, _), (second, _)) = (run(scenario(seed)), run(scenario(seed)));
        let differs = first.iter().zip(&second).position(|(first, second)| first != second);
        if let Some(at) = differs.or_else(|| (first.len() != second.len()).then_some(first.len().min(second.len()) - 1))
        {
            panic!("seed {seed}, line {at}: {:?}, then {:?}", first.get(at), second.get(at));
        }
    }
}
