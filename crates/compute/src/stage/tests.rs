//! Stages whose layers keep a window alone, over the reference model that has one.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::Positions;
use gogrid_model::{Output, Source};
use std::path::Path;

const SESSION: SessionKey = SessionKey(1);
const LATER: SessionKey = SessionKey(2);
/// Tokens of a sequence in one step.
const CHUNK: usize = 5;
const CAPACITY: usize = 120;

/// The model's stages in one, with caches for steps of `chunk` tokens. The window is cut to 16 tokens.
fn stage(chunk: usize, kv_budget: u64) -> Stage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/mistral-sliding-window");
    let source = Source::open(&path).unwrap();
    let mut manifest = source.manifest().unwrap();
    for layer in &mut manifest.config.layers {
        layer.attention_mut().unwrap().window = Some(16);
    }
    // One layer sees everything, so that both kinds of cache are in one stage.
    manifest.config.layers[1].attention_mut().unwrap().window = None;
    let layers = Layers::all(manifest.config.layers.len());
    let options =
        StageOptions { quant: Quant::None, device: DeviceSpec::Cpu, kv_budget, chunk, activations: FloatType::F32 };
    Stage::load(&manifest, layers, &source, &options).unwrap()
}

fn step(stage: &mut Stage, session: SessionKey, position: usize, tokens: usize) -> Output {
    let ids: Vec<u32> = (position..position + tokens).map(|at| 3 + (at as u32 * 11) % 380).collect();
    let want = Some(CandidateRequest { top: 20, ..CandidateRequest::default() });
    stage.forward(&[Span { session, position, tokens, want }], Input::Tokens(&ids)).unwrap()
}

/// The sequence in steps of one token and of a whole chunk.
fn steps() -> impl Iterator<Item = (usize, usize)> {
    let mut position = 0;
    [CHUNK, 1, 3, 1].into_iter().cycle().map_while(move |tokens| {
        let step = (position, tokens);
        position += tokens;
        (position <= CAPACITY).then_some(step)
    })
}

#[test]
fn a_windowed_cache_gives_what_a_full_one_gives() {
    let (mut windowed, mut full) = (stage(CHUNK, u64::MAX), stage(CAPACITY, u64::MAX));
    for stage in [&mut windowed, &mut full] {
        stage.open(SESSION, CAPACITY).unwrap();
    }
    for (position, tokens) in steps() {
        let (found, expected) =
            (step(&mut windowed, SESSION, position, tokens), step(&mut full, SESSION, position, tokens));
        assert_eq!(found, expected, "{tokens} tokens from {position}");
    }
}

#[test]
fn a_windowed_layer_reserves_its_window_and_what_is_counted_is_what_is_reserved() {
    let mut stage = stage(CHUNK, u64::MAX);
    let config = stage.config().clone();
    let token = 4 * config.layer_cost(0).kv;
    // 16 tokens of the window, and 64 beside it as a chunk is shorter.
    let windowed = (config.layers.len() as u64 - 1) * (16 + 64);
    assert_eq!(stage.kv_bytes(CAPACITY), token * (CAPACITY as u64 + windowed));
    assert_eq!(stage.kv_bytes(10), token * 10 * config.layers.len() as u64);
    stage.open(SESSION, CAPACITY).unwrap();
    assert_eq!(stage.kv_used(), stage.kv_bytes(CAPACITY));
    let mut small = self::stage(CHUNK, stage.kv_bytes(CAPACITY) - 1);
    assert!(matches!(small.open(SESSION, CAPACITY), Err(StateError::OutOfBudget { .. })));
}

#[test]
fn a_sequence_is_cut_back_as_far_as_its_windows_are_held() {
    let mut stage = stage(CHUNK, u64::MAX);
    stage.open(SESSION, CAPACITY).unwrap();
    let mut outputs = Vec::new();
    let mut length = 0;
    for (position, tokens) in steps() {
        outputs.push((position, tokens, step(&mut stage, SESSION, position, tokens)));
        length = position + tokens;
    }
    let error = stage.reuse(SESSION, LATER, CAPACITY, 1).unwrap_err();
    let StateError::NoSnapshot { asked: 1, available: Positions::Range(available) } = error else { panic!("{error}") };
    assert!(*available.start() > 16 && *available.end() == length, "{available:?}");
    assert!(stage.reuse(SESSION, LATER, CAPACITY, length + 1).is_err(), "it is not so long");
    assert_eq!(stage.cached(SESSION), Some(length), "a refusal changes nothing");
    // From the earliest step that can be done again on, everything is as it was.
    let again: Vec<_> = outputs.into_iter().filter(|(position, ..)| available.contains(position)).collect();
    let first = again[0].0;
    assert!(again.len() > 5);
    stage.reuse(SESSION, LATER, CAPACITY, first).unwrap();
    assert_eq!((stage.cached(SESSION), stage.cached(LATER)), (None, Some(first)));
    for (position, tokens, expected) in again {
        assert_eq!(step(&mut stage, LATER, position, tokens), expected, "{tokens} tokens from {position}");
    }
}

#[test]
fn a_fork_of_a_trimmed_sequence_goes_on_as_its_source_did() {
    let mut stage = stage(CHUNK, u64::MAX);
    stage.open(SESSION, CAPACITY).unwrap();
    let (before, after): (Vec<_>, Vec<_>) = steps().partition(|(position, _)| *position < CAPACITY / 2);
    before.iter().for_each(|(position, tokens)| drop(step(&mut stage, SESSION, *position, *tokens)));
    let length = after[0].0;
    stage.trim(SESSION).unwrap();
    assert_eq!(stage.kv_used(), stage.kv_bytes(length));
    assert!(matches!(stage.fork(SESSION, LATER, CAPACITY, length + 1), Err(StateError::NoSnapshot { .. })));
    stage.fork(SESSION, LATER, CAPACITY, length).unwrap();
    assert_eq!(stage.kv_used(), stage.kv_bytes(length) + stage.kv_bytes(CAPACITY));
    let copied: Vec<_> = after.iter().map(|(position, tokens)| step(&mut stage, LATER, *position, *tokens)).collect();
    // The source goes on by itself, too, with more memory than it has left.
    let third = SessionKey(3);
    stage.reuse(SESSION, third, CAPACITY, length).unwrap();
    let moved: Vec<_> = after.iter().map(|(position, tokens)| step(&mut stage, third, *position, *tokens)).collect();
    let mut whole = self::stage(CHUNK, u64::MAX);
    whole.open(SESSION, CAPACITY).unwrap();
    before.iter().for_each(|(position, tokens)| drop(step(&mut whole, SESSION, *position, *tokens)));
    let expected: Vec<_> =
        after.iter().map(|(position, tokens)| step(&mut whole, SESSION, *position, *tokens)).collect();
    assert!(copied == expected && moved == expected);
    assert_eq!(stage.sessions(), 2);
}

#[test]
fn a_span_longer_than_the_cache_has_room_for_is_refused() {
    let mut stage = stage(CHUNK, u64::MAX);
    stage.open(SESSION, CAPACITY).unwrap();
    let span = Span { session: SESSION, position: 0, tokens: CHUNK + 1, want: None };
    let error = stage.forward(&[span], Input::Tokens(&[3; CHUNK + 1])).unwrap_err();
    assert!(matches!(error, ForwardError::LongSpan { tokens: 6, most: CHUNK, .. }), "{error}");
    assert!(error.is_input());
    assert_eq!(stage.max_span(), Some(CHUNK));
}
