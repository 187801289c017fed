//! Every target on its kept corpus, and for a moment on changed inputs. An input that fails is kept in
//! `fuzz/artifacts/NAME`: mend the fault, and move it to the corpus.

use gogrid_fuzz::{TARGETS, Target};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long each target runs on changed inputs, in every test run.
const SECONDS: f64 = 1.0;
/// Longer inputs cost more and find no more.
const LONGEST: usize = 64 << 10;
/// Memory that the process may map, in bytes: what a small input makes a reader take is far below it.
const MEMORY: u64 = 8 << 30;
/// Values at which lengths and counts break.
const EDGES: [u64; 10] =
    [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF];
/// What texts are made of.
const WORDS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551615",
    "\\ud800",
    "{{",
    "}}",
    "{%",
    "%}",
    " ~ ",
    " * 9999",
    "range(99999)",
    "[[[[[[[[",
    "\u{0}",
    "é",
    "text_config",
];

fn folder(kind: &str, target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target.name)
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder("corpus", target)).into_iter().flatten().flatten();
    let mut kept: Vec<_> = files.map(|file| file.path()).collect();
    kept.sort();
    let kept = kept.into_iter().map(|path| fs::read(path).expect("readable"));
    (target.seeds)().into_iter().chain(kept).collect()
}

/// Changes an input in a few places.
fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        let end = (at + random.random_range(0..=16)).min(input.len());
        match random.random_range(0..8) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 => {
                let edge = EDGES.choose(random).expect("one").to_le_bytes();
                let bytes = [1, 2, 4, 8][random.random_range(0..4)];
                input.splice(at..(at + bytes).min(input.len()), edge[..bytes].iter().copied());
            }
            5 => drop(input.splice(at..at, WORDS.choose(random).expect("one").bytes())),
            6 => {
                let other = corpus.choose(random).expect("one");
                let from = random.random_range(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            _ => input.truncate(at),
        }
    }
    input.truncate(LONGEST);
}

/// Runs a target, which may take the process with it.
fn run(target: &Target, input: &[u8], note: &Path) {
    fs::write(note, input).expect("noted");
    (target.run)(input);
}

fn fuzz(name: &str) {
    let target = gogrid_fuzz::target(name).expect("a target");
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) }).expect("bounded");
    }
    let seconds = env::var("GOGRID_FUZZ_SECONDS").map_or(SECONDS, |seconds| seconds.parse().expect("seconds"));
    let seed = env::var("GOGRID_FUZZ_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let found = folder("artifacts", target);
    fs::create_dir_all(&found).expect("a folder");
    let note = found.join("latest");
    let inputs = corpus(target);
    inputs.iter().for_each(|input| run(target, input, &note));
    let (start, mut runs, mut slowest) = (Instant::now(), 0u64, Duration::ZERO);
    while start.elapsed().as_secs_f64() < seconds {
        let mut input = inputs.choose(&mut random).expect("a seed").clone();
        change(&mut input, &inputs, &mut random);
        let began = Instant::now();
        run(target, &input, &note);
        if began.elapsed() > slowest {
            slowest = began.elapsed();
            fs::write(found.join("slowest"), &input).expect("noted");
        }
        runs += 1;
    }
    println!("{name}: {runs} inputs from seed {seed}, the slowest took {slowest:?}");
    drop(fs::remove_file(note));
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets!(
    frame,
    hello,
    control,
    stage,
    weights,
    candidates,
    join_code,
    local_line,
    config_json,
    safetensors,
    gguf,
    tokenizer_json,
    template,
);
