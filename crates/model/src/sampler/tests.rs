#![allow(clippy::unwrap_used)]

use super::*;
use crate::candidates;
use proptest::prelude::*;
use rstest::rstest;

const VOCABULARY: usize = 60;

fn sampler(params: SamplingParams) -> Sampler {
    Sampler::new(params, VOCABULARY, &[]).unwrap()
}

/// One step over whole logits, as stage and coordinator share it.
fn step(sampler: &Sampler, logits: &[f32], top_logprobs: usize) -> Sampled {
    step_among(sampler, logits, top_logprobs, None).unwrap()
}

/// The same where only some tokens may come next.
fn step_among(
    sampler: &Sampler,
    logits: &[f32],
    top_logprobs: usize,
    allowed: Option<&Arc<TokenSet>>,
) -> Result<Sampled, SampleError> {
    sampler.sample(&candidates(logits, &sampler.request(top_logprobs, allowed)), top_logprobs, allowed)
}

/// All tokens, or some.
fn allowed() -> impl Strategy<Value = Option<Arc<TokenSet>>> {
    let some = prop::collection::btree_set(token(), 1..VOCABULARY);
    prop::option::of(some.prop_map(|tokens| Arc::new(TokenSet::new(VOCABULARY, tokens))))
}

/// Tokens that may come next, the most likely first; without those that bias bans.
fn possible(mut adjusted: Vec<(u32, f32)>, allowed: Option<&Arc<TokenSet>>) -> Vec<u32> {
    adjusted.retain(|&(token, x)| x > f32::NEG_INFINITY && allowed.is_none_or(|allowed| allowed.contains(token)));
    adjusted.into_iter().map(|(token, _)| token).collect()
}

/// `count` tokens from the same logits every time.
fn run(sampler: &mut Sampler, logits: &[f32], count: usize) -> Vec<u32> {
    let mut next = || {
        let token = step(sampler, logits, 0).token;
        sampler.accept(token);
        token
    };
    (0..count).map(|_| next()).collect()
}

fn logits() -> impl Strategy<Value = Vec<f32>> {
    let tied = (-3i32..3).prop_map(|x| x as f32 / 2.0);
    prop::collection::vec(prop_oneof![tied, -8f32..8.0], VOCABULARY)
}

fn token() -> impl Strategy<Value = u32> {
    0..VOCABULARY as u32
}

fn adjustments() -> impl Strategy<Value = SamplingParams> {
    let penalty = || prop_oneof![Just(0f32), -2f32..2.0];
    let repetition = prop_oneof![Just(1f32), 0.5f32..2.0];
    let bias = prop::collection::vec((token(), prop_oneof![Just(BAN), -5f32..5.0]), 0..10);
    (penalty(), penalty(), repetition, bias).prop_map(
        |(presence_penalty, frequency_penalty, repetition_penalty, bias)| SamplingParams {
            presence_penalty,
            frequency_penalty,
            repetition_penalty,
            logit_bias: bias,
            ..SamplingParams::greedy()
        },
    )
}

/// Bias and penalties over the whole vocabulary, written from their definitions.
fn adjusted(params: &SamplingParams, prompt: &[u32], answer: &[u32], logits: &[f32]) -> Vec<(u32, f32)> {
    let bias: BTreeMap<u32, f32> = params.logit_bias.iter().copied().collect();
    let one = |(token, &logit): (u32, &f32)| {
        let bias = bias.get(&token).copied().unwrap_or(0.0);
        if bias == BAN {
            return (token, f32::NEG_INFINITY);
        }
        let mut x = logit + bias;
        if prompt.contains(&token) || answer.contains(&token) {
            x = if x > 0.0 { x / params.repetition_penalty } else { x * params.repetition_penalty };
        }
        let count = answer.iter().filter(|&&other| other == token).count();
        if count > 0 {
            x -= params.frequency_penalty * count as f32 + params.presence_penalty;
        }
        (token, x)
    };
    let mut all: Vec<(u32, f32)> = (0..).zip(logits).map(one).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

proptest! {
    #[test]
    fn greedy_from_candidates_is_greedy_over_the_vocabulary(
        params in adjustments(),
        logits in logits(),
        prompt in prop::collection::vec(token(), 0..20),
        answer in prop::collection::vec(token(), 0..20),
        allowed in allowed(),
    ) {
        let possible = possible(adjusted(&params, &prompt, &answer, &logits), allowed.as_ref());
        let mut sampler = Sampler::new(params, VOCABULARY, &prompt).unwrap();
        answer.iter().for_each(|&token| sampler.accept(token));
        let expected = possible.first().copied().ok_or(SampleError::AllBanned);
        prop_assert_eq!(step_among(&sampler, &logits, 0, allowed.as_ref()).map(|sampled| sampled.token), expected);
    }

    #[test]
    fn top_k_from_candidates_is_top_k_over_the_vocabulary(
        params in adjustments(),
        logits in logits(),
        answer in prop::collection::vec(token(), 0..20),
        k in 1usize..6,
        seed in any::<u64>(),
        allowed in allowed(),
    ) {
        let possible = possible(adjusted(&params, &[], &answer, &logits), allowed.as_ref());
        let mut sampler = sampler(SamplingParams { temperature: 2.0, top_k: Some(k), seed, ..params });
        answer.iter().for_each(|&token| sampler.accept(token));
        match step_among(&sampler, &logits, 0, allowed.as_ref()) {
            Ok(Sampled { token, .. }) => prop_assert!(possible[..k.min(possible.len())].contains(&token)),
            Err(error) => prop_assert!(error == SampleError::AllBanned && possible.is_empty(), "{error}"),
        }
    }

    #[test]
    fn a_replay_goes_on_identically(
        params in adjustments(),
        logits in logits(),
        prompt in prop::collection::vec(token(), 0..20),
        seed in any::<u64>(),
        lost_after in 0usize..12,
    ) {
        let params = SamplingParams { temperature: 1.3, top_p: 0.95, seed, ..params };
        let mut undisturbed = Sampler::new(params.clone(), VOCABULARY, &prompt).unwrap();
        let tokens = run(&mut undisturbed, &logits, 12);
        let mut replay = Sampler::new(params, VOCABULARY, &prompt).unwrap();
        tokens[..lost_after].iter().for_each(|&token| replay.accept(token));
        prop_assert_eq!(run(&mut replay, &logits, 12 - lost_after), &tokens[lost_after..]);
    }

    #[test]
    fn reported_alternatives_change_nothing(params in adjustments(), logits in logits(), seed in any::<u64>()) {
        let sampler = sampler(SamplingParams { temperature: 1.0, top_k: Some(5), seed, ..params });
        let (without, with) = (step(&sampler, &logits, 0), step(&sampler, &logits, 20));
        prop_assert_eq!((without.token, without.logprob), (with.token, with.logprob));
    }

    #[test]
    fn log_probabilities_are_the_model_s_own(params in adjustments(), logits in logits()) {
        let sampled = step(&sampler(params), &logits, 5);
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let logprob = |token: u32| f64::from(logits[token as usize]) - sum.ln();
        prop_assert!((f64::from(sampled.logprob) - logprob(sampled.token)).abs() < 1e-4);
        prop_assert_eq!(sampled.top.len(), 5);
        for &(token, found) in &sampled.top {
            prop_assert!((f64::from(found) - logprob(token)).abs() < 1e-4);
        }
        prop_assert!(sampled.top.is_sorted_by(|a, b| a.1 >= b.1));
    }

    #[test]
    fn constrained_sampling_is_sampling_where_the_others_are_banned(
        logits in logits(),
        seed in any::<u64>(),
        top_p in 0.1f32..=1.0,
        min_p in 0f32..0.5,
        allowed in allowed(),
    ) {
        let allowed = allowed.unwrap_or_else(|| Arc::new(TokenSet::new(VOCABULARY, [3, 7])));
        let others = (0..VOCABULARY as u32).filter(|&token| !allowed.contains(token));
        let params = SamplingParams { temperature: 1.3, top_p, min_p, seed, ..SamplingParams::default() };
        let constrained = step_among(&sampler(params.clone()), &logits, 0, Some(&allowed));
        let banned = SamplingParams { logit_bias: others.map(|token| (token, BAN)).collect(), ..params };
        prop_assert_eq!(constrained, Ok(step(&sampler(banned), &logits, 0)));
    }

    #[test]
    fn a_nucleus_is_the_smallest_that_is_large_enough(
        mut weights in prop::collection::vec(0.001f64..1.0, 1..50),
        top_p in 0f64..1.0,
    ) {
        weights.sort_by(|a, b| b.total_cmp(a));
        let kept = nucleus(&weights, top_p);
        let (total, part): (f64, f64) = (weights.iter().sum(), weights[..kept].iter().sum());
        prop_assert!(part >= top_p * total - 1e-9);
        prop_assert!(kept == 1 || part - weights[kept - 1] < top_p * total + 1e-9);
    }

    #[test]
    fn nothing_that_a_machine_sends_panics(
        params in adjustments(),
        temperature in 0f32..2.0,
        ids in prop::collection::vec(0u32..80, 0..10),
        logits in prop::collection::vec(any::<f32>(), 0..10),
        log_sum_exp in any::<f32>(),
    ) {
        let sampler = sampler(SamplingParams { temperature, top_k: Some(2), ..params });
        let _ = sampler.sample(&Candidates { ids, logits, log_sum_exp }, 3, None);
    }

    #[test]
    fn logits_of_any_size_leave_the_sampler_finite(
        params in adjustments(),
        temperature in prop_oneof![Just(0f32), Just(1e-30f32), 0f32..2.0],
        logits in prop::collection::vec(prop_oneof![Just(f32::MAX), Just(f32::MIN), -1f32..1.0], VOCABULARY),
        seen in prop::collection::vec(token(), 0..5),
    ) {
        let mut sampler = sampler(SamplingParams { temperature, ..params });
        seen.iter().for_each(|&token| sampler.accept(token));
        let sampled = step(&sampler, &logits, 2);
        prop_assert!(!sampled.logprob.is_nan());
    }
}

#[test]
fn the_same_seed_gives_the_same_tokens_and_another_one_others() {
    let logits: Vec<f32> = (0..VOCABULARY).map(|i| (i % 7) as f32 / 3.0).collect();
    let tokens = |seed| run(&mut sampler(SamplingParams { seed, ..Default::default() }), &logits, 20);
    assert_eq!(tokens(1), tokens(1));
    assert_ne!(tokens(1), tokens(2));
}

#[test]
fn the_sequence_of_a_seed_is_fixed() {
    // texts that clients reproduce by their seed; the first is ChaCha8's published vector for the zero key
    let drawn = [uniform(0, 0), uniform(0, 1), uniform(42, 7)];
    assert_eq!(drawn, [0.8369197568826472, 0.6314244940665231, 0.2665208597814436]);
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    let mut logits = vec![-20.0; VOCABULARY];
    logits[..3].copy_from_slice(&[2f32.ln(), 1f32.ln(), 1f32.ln()]);
    let tokens = run(&mut sampler(SamplingParams { seed: 5, ..Default::default() }), &logits, 4000);
    let share = |token| tokens.iter().filter(|&&t| t == token).count() as f64 / 4000.0;
    assert!((share(0) - 0.5).abs() < 0.03, "{}", share(0));
    assert!((share(1) - 0.25).abs() < 0.03, "{}", share(1));

    let cold = run(&mut sampler(SamplingParams { temperature: 0.5, seed: 5, ..Default::default() }), &logits, 4000);
    let share = cold.iter().filter(|&&t| t == 0).count() as f64 / 4000.0;
    assert!((share - 4.0 / 6.0).abs() < 0.03, "{share}"); // squares: 4 to 1 to 1
}

#[rstest]
#[case::min_p(SamplingParams { min_p: 0.45, ..Default::default() }, &[0, 1])]
#[case::top_k(SamplingParams { top_k: Some(2), ..Default::default() }, &[0, 1])]
#[case::top_p(SamplingParams { top_p: 0.7, ..Default::default() }, &[0, 1])]
#[case::top_p_after_top_k(SamplingParams { top_k: Some(2), top_p: 0.66, ..Default::default() }, &[0])]
#[case::top_p_zero(SamplingParams { top_p: 0.0, ..Default::default() }, &[0])]
#[case::banned(SamplingParams { top_k: Some(1), logit_bias: vec![(0, BAN)], ..Default::default() }, &[1])]
fn only_some_tokens_are_drawn(#[case] params: SamplingParams, #[case] expected: &[u32]) {
    let mut logits = vec![-20.0; VOCABULARY];
    logits[..4].copy_from_slice(&[4f32.ln(), 2f32.ln(), 1f32.ln(), 0.5f32.ln()]); // of 7.5
    let mut tokens = run(&mut sampler(SamplingParams { temperature: 1.0, ..params }), &logits, 300);
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens, expected);
}

#[test]
fn the_request_grows_with_what_is_pushed_down() {
    let bias = vec![(3, -1.0), (4, 1.0), (5, BAN), (6, 0.0)];
    let params = SamplingParams { frequency_penalty: 0.5, logit_bias: bias, ..SamplingParams::greedy() };
    let mut sampler = sampler(params);
    assert_eq!(sampler.request(0, None), CandidateRequest { top: 3, also: vec![4], allowed: None });
    for token in [7, 7, 4] {
        sampler.accept(token);
    }
    assert_eq!(sampler.request(0, None), CandidateRequest { top: 5, also: vec![4], allowed: None });
    assert_eq!(sampler.request(20, None).top, 20);
}

#[test]
fn the_prompt_counts_for_the_repetition_penalty_alone() {
    let request = |params| Sampler::new(params, VOCABULARY, &[1, 2, 2]).unwrap().request(0, None).top;
    assert_eq!(request(SamplingParams { repetition_penalty: 1.1, ..SamplingParams::greedy() }), 3);
    assert_eq!(request(SamplingParams { presence_penalty: 1.0, ..SamplingParams::greedy() }), 1);
}

#[test]
fn prompt_tokens_outside_the_vocabulary_do_no_harm() {
    let params = SamplingParams { repetition_penalty: 0.9, ..SamplingParams::greedy() };
    let sampler = Sampler::new(params, VOCABULARY, &[1 << 30, 3]).unwrap();
    assert_eq!(sampler.request(0, None).also, [3]);
    assert_eq!(step(&sampler, &[0.0; VOCABULARY], 0).token, 0);
}

#[test]
fn a_small_vocabulary_bounds_the_request() {
    assert_eq!(sampler(SamplingParams::default()).request(0, None).top, VOCABULARY);
    assert_eq!(Sampler::new(SamplingParams::default(), 1 << 17, &[]).unwrap().request(0, None).top, SAMPLED_CANDIDATES);
}

#[test]
fn a_bias_outside_the_vocabulary_is_refused() {
    let params = SamplingParams { logit_bias: vec![(60, 1.0)], ..Default::default() };
    assert_eq!(Sampler::new(params, VOCABULARY, &[]).unwrap_err().field, "logit_bias");
}

#[test]
fn when_everything_is_banned_it_says_so() {
    let bias = (0..VOCABULARY as u32).map(|token| (token, BAN)).collect();
    let sampler = sampler(SamplingParams { logit_bias: bias, ..Default::default() });
    let found = candidates(&[0.0; VOCABULARY], &sampler.request(0, None));
    assert_eq!(sampler.sample(&found, 0, None), Err(SampleError::AllBanned));
}

/// A greedy request for two tokens at least (one is pushed down) and token 9.
fn asking() -> Sampler {
    sampler(SamplingParams { logit_bias: vec![(3, -1.0), (9, 1.0)], ..SamplingParams::greedy() })
}

fn answer(ids: &[u32], logits: &[f32], log_sum_exp: f32) -> Candidates {
    Candidates { ids: ids.to_vec(), logits: logits.to_vec(), log_sum_exp }
}

#[test]
fn a_fitting_answer_is_taken() {
    assert_eq!(asking().sample(&answer(&[1, 2, 9], &[2.0, 1.0, 0.5], 3.0), 0, None).unwrap().token, 1);
    assert_eq!(asking().sample(&answer(&[9, 2], &[2.0, 1.0], 3.0), 0, None).unwrap().token, 9);
}

#[rstest]
#[case::empty(answer(&[], &[], 0.0))]
#[case::fewer(answer(&[1, 2], &[2.0, 1.0], 3.0))]
#[case::more(answer(&[1, 2, 9, 10], &[2.0, 1.0, 0.5, 0.1], 3.0))]
#[case::unequal(answer(&[1, 2, 9], &[2.0, 1.0], 3.0))]
fn a_wrong_number_is_refused(#[case] candidates: Candidates) {
    assert!(matches!(asking().sample(&candidates, 0, None), Err(SampleError::Length { .. })));
}

#[rstest]
#[case::unsorted(answer(&[2, 1, 9], &[1.0, 2.0, 0.5], 3.0))]
#[case::tie_in_the_wrong_order(answer(&[2, 1, 9], &[1.0, 1.0, 0.5], 3.0))]
#[case::repeated(answer(&[1, 1, 9], &[2.0, 1.0, 0.5], 3.0))]
#[case::not_asked_for(answer(&[1, 2, 8], &[2.0, 1.0, 0.5], 3.0))]
#[case::better_than_the_best(answer(&[1, 2, 9], &[2.0, 1.0, 1.5], 3.0))]
fn a_wrong_order_is_refused(#[case] candidates: Candidates) {
    assert!(matches!(asking().sample(&candidates, 0, None), Err(SampleError::Order { .. })));
}

#[test]
fn numbers_that_no_model_means_are_refused() {
    let outside = answer(&[60, 2, 9], &[2.0, 1.0, 0.5], 3.0);
    assert_eq!(
        asking().sample(&outside, 0, None),
        Err(SampleError::OutOfVocabulary { token: 60, vocabulary: VOCABULARY })
    );
    for logit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let broken = answer(&[1, 2, 9], &[2.0, 1.0, logit], 3.0);
        assert!(matches!(asking().sample(&broken, 0, None), Err(SampleError::NotFinite { token: 9, .. })));
        let broken = answer(&[1, 2, 9], &[2.0, 1.0, 0.5], logit);
        assert!(matches!(asking().sample(&broken, 0, None), Err(SampleError::LogSumExp { .. })));
    }
    let impossible = answer(&[1, 2, 9], &[2.0, 1.0, 0.5], 1.5);
    assert!(matches!(asking().sample(&impossible, 0, None), Err(SampleError::LogSumExp { .. })));
}

#[test]
fn a_token_that_is_not_allowed_is_refused() {
    let allowed = Arc::new(TokenSet::new(VOCABULARY, [1, 2]));
    let sampler = sampler(SamplingParams::greedy());
    let answer = |id| Candidates { ids: vec![id], logits: vec![1.0], log_sum_exp: 2.0 };
    assert_eq!(sampler.sample(&answer(2), 0, Some(&allowed)).unwrap().token, 2);
    assert_eq!(sampler.sample(&answer(3), 0, Some(&allowed)), Err(SampleError::Order { index: 0, token: 3 }));
}
