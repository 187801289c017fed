//! Stages whose layers keep the state of a recurrence, over the reference models that have one.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{Positions, Threads};
use gogrid_model::{LayerState, Output, Source};
use rstest::rstest;
use std::path::Path;

const SESSION: SessionKey = SessionKey(1);
const LATER: SessionKey = SessionKey(2);
const CAPACITY: usize = 200;
/// Tokens of the prompt: a whole block and a part of one.
const PROMPT: usize = 100;

fn stage(name: &str) -> Stage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(name);
    let source = Source::open(&path).unwrap();
    let manifest = source.manifest().unwrap();
    let layers = Layers::all(manifest.config.layers.len());
    let options = StageOptions {
        quant: Quant::None,
        device: DeviceSpec::Cpu,
        kv_budget: u64::MAX,
        chunk: CAPACITY,
        activations: FloatType::F32,
    };
    Stage::load(&manifest, layers, &source, &options).unwrap()
}

fn ids(position: usize, tokens: usize) -> Vec<u32> {
    (position..position + tokens).map(|at| 3 + (at as u32 * 11) % 380).collect()
}

fn span(session: SessionKey, position: usize, tokens: usize) -> Span {
    Span { session, position, tokens, want: Some(CandidateRequest { top: 20, ..CandidateRequest::default() }) }
}

fn step(stage: &mut Stage, session: SessionKey, position: usize, tokens: usize) -> Output {
    stage.forward(&[span(session, position, tokens)], Input::Tokens(&ids(position, tokens))).unwrap()
}

/// What comes after each token of an answer.
fn answer(stage: &mut Stage, session: SessionKey, positions: std::ops::Range<usize>) -> Vec<Output> {
    positions.map(|position| step(stage, session, position, 1)).collect()
}

#[rstest]
fn a_step_that_is_dropped_midway_changes_nothing(#[values("lfm2", "qwen3-5")] name: &str) {
    let (mut whole, mut broken) = (stage(name), stage(name));
    for stage in [&mut whole, &mut broken] {
        stage.open(SESSION, CAPACITY).unwrap();
    }
    for (position, tokens) in [(0, 5), (5, 1), (6, 70), (76, 1), (77, 2)] {
        let expected = step(&mut whole, SESSION, position, tokens);
        for units in [1, 4, 12] {
            let spans = vec![span(SESSION, position, tokens)];
            let mut dropped = broken.begin(spans, Input::Tokens(&vec![7; tokens])).unwrap();
            assert_eq!(broken.advance(&mut dropped, units, Threads::All).unwrap(), None);
        }
        assert_eq!(step(&mut broken, SESSION, position, tokens), expected, "{tokens} tokens from {position}");
    }
}

#[rstest]
fn a_sequence_goes_on_from_where_its_state_was_kept(#[values("lfm2", "qwen3-5")] name: &str) {
    let mut undisturbed = stage(name);
    undisturbed.open(SESSION, CAPACITY).unwrap();
    step(&mut undisturbed, SESSION, 0, PROMPT);
    let expected = answer(&mut undisturbed, SESSION, PROMPT..CAPACITY);
    for length in [PROMPT + 1, PROMPT + 30, PROMPT + 31] {
        let mut stage = stage(name);
        stage.open(SESSION, CAPACITY).unwrap();
        step(&mut stage, SESSION, 0, PROMPT);
        answer(&mut stage, SESSION, PROMPT..length);
        let error = stage.reuse(SESSION, LATER, CAPACITY, 1).unwrap_err();
        let StateError::NoSnapshot { asked: 1, available: Positions::Kept(kept) } = error else { panic!("{error}") };
        assert_eq!(kept, [0, if length > 129 { 128 } else { 64 }, length - 1, length]);
        // The last token again, as after a loss behind this stage.
        stage.reuse(SESSION, LATER, CAPACITY, length - 1).unwrap();
        assert_eq!((stage.cached(SESSION), stage.cached(LATER)), (None, Some(length - 1)));
        assert_eq!(answer(&mut stage, LATER, length - 1..CAPACITY), expected[length - 1 - PROMPT..], "{length}");
    }
}

#[test]
fn tokens_that_are_computed_again_as_a_prompt_give_the_same_bits_in_a_recurrence() {
    let mut stage = stage("qwen3-5");
    stage.open(SESSION, CAPACITY).unwrap();
    step(&mut stage, SESSION, 0, PROMPT);
    let expected = answer(&mut stage, SESSION, PROMPT..150);
    stage.reuse(SESSION, LATER, CAPACITY, 128).unwrap();
    step(&mut stage, LATER, 128, 149 - 128);
    assert_eq!(stage.sequences.get(LATER).unwrap().length, 149);
    let Output::Candidates(found) = step(&mut stage, LATER, 149, 1) else { panic!("it has the head") };
    let Output::Candidates(last) = expected.last().unwrap() else { panic!("it has the head") };
    assert_eq!(found[0].ids, last[0].ids);
    let error = found[0].logits.iter().zip(&last[0].logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < 1e-5, "products of several rows may round otherwise, by little: {error}");
}

#[test]
fn states_are_counted_and_reserved_whatever_the_length() {
    let mut stage = stage("qwen3-5");
    let states: Vec<LayerState> = (0..4).map(|layer| LayerState::of(stage.config(), layer)).collect();
    // 3 inputs of 128 channels, and 4 matrices of 16 × 16.
    let recurrent = LayerState::Recurrent { tail: 3 * 128, matrix: 4 * 16 * 16 };
    assert_eq!(states, [recurrent, recurrent, recurrent, LayerState::Cache { elements: 2 * 64 }]);
    // 4 states of each, and keys and values; f32.
    let fixed = 3 * 4 * 4 * (3 * 128 + 4 * 256);
    assert_eq!([1, 100].map(|tokens| stage.kv_bytes(tokens)), [fixed + 512, fixed + 51_200]);
    stage.open(SESSION, 100).unwrap();
    assert_eq!(stage.kv_used(), fixed + 51_200);
    assert!(stage.close(SESSION));
    assert_eq!(stage.kv_used(), 0);
}

#[rstest]
fn a_fork_goes_on_as_its_source_did(#[values("lfm2", "qwen3-5")] name: &str) {
    let mut stage = stage(name);
    stage.open(SESSION, CAPACITY).unwrap();
    step(&mut stage, SESSION, 0, PROMPT);
    stage.trim(SESSION).unwrap();
    stage.fork(SESSION, LATER, CAPACITY, PROMPT).unwrap();
    let copied = answer(&mut stage, LATER, PROMPT..PROMPT + 10);
    assert!(stage.fork(SESSION, SessionKey(3), CAPACITY, PROMPT - 2).is_err(), "no state was kept there");
    stage.reuse(SESSION, SessionKey(3), CAPACITY, PROMPT).unwrap();
    assert_eq!(answer(&mut stage, SessionKey(3), PROMPT..PROMPT + 10), copied);
    let mut whole = self::stage(name);
    whole.open(SESSION, CAPACITY).unwrap();
    step(&mut whole, SESSION, 0, PROMPT);
    assert_eq!(answer(&mut whole, SESSION, PROMPT..PROMPT + 10), copied);
}
