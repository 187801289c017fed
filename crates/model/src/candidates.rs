//! What the last stage sends instead of whole logits: the best tokens with their logits, any tokens that the sampler
//! asked for by id, and the log-sum-exp over the whole vocabulary, from which log-probabilities follow.
//!
//! A token that is not among the candidates is less likely than each of the first [`CandidateRequest::top`] of them, or
//! not allowed.

use crate::{TokenSet, exp::exp};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, sync::Arc};

/// Which candidates the sampler wants of one row of logits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CandidateRequest {
    /// How many of the most likely tokens.
    pub top: usize,
    /// Tokens that are wanted wherever they rank, in ascending order without repetition.
    pub also: Vec<u32>,
    /// The tokens that may come next; `None` allows all. The others are no candidates, as if their logits were −∞; in the
    /// log-sum-exp they count all the same.
    pub allowed: Option<Arc<TokenSet>>,
}

/// The candidates of one row of logits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Candidates {
    /// Token ids: the most likely of those that are allowed first (equal logits: the lower id first; all of them where
    /// they are fewer than asked for), then those of [`CandidateRequest::also`] that are allowed and not among them, in
    /// the order of the request.
    pub ids: Vec<u32>,
    /// The logit of each id.
    pub logits: Vec<f32>,
    /// ln Σ exp(logit) over the whole vocabulary.
    pub log_sum_exp: f32,
}

/// The order of candidates: higher logits first, then lower ids. NaN ranks first, so that it is seen and refused.
pub(crate) fn rank(a: (u32, f32), b: (u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Picks the candidates out of a row of logits, whose index is the token id. Ids past its end are left out.
///
/// # Examples
/// ```
/// use gogrid_model::{CandidateRequest, candidates};
/// let found = candidates(&[0.5, 2.0, -1.0, 2.0], &CandidateRequest { top: 2, also: vec![2, 3], allowed: None });
/// assert_eq!(found.ids, [1, 3, 2]);
/// assert_eq!(found.logits, [2.0, 2.0, -1.0]);
/// ```
pub fn candidates(logits: &[f32], request: &CandidateRequest) -> Candidates {
    let allowed = request.allowed.as_deref();
    let mut ids = match allowed {
        None => best(logits, request.top.min(logits.len())),
        Some(allowed) => best_allowed(logits, request.top, allowed),
    };
    if !request.also.is_empty() {
        let mut known = ids.clone();
        known.sort_unstable();
        let in_range = request.also.iter().copied().filter(|&id| (id as usize) < logits.len());
        let in_range = in_range.filter(|&id| allowed.is_none_or(|allowed| allowed.contains(id)));
        ids.extend(in_range.filter(|id| known.binary_search(id).is_err()));
    }
    let logits_of = ids.iter().map(|&id| logits[id as usize]).collect();
    Candidates { ids, logits: logits_of, log_sum_exp: log_sum_exp(logits) }
}

/// The `top` best ids that are allowed, best first; all of those that are, where they are fewer.
fn best_allowed(logits: &[f32], top: usize, allowed: &TokenSet) -> Vec<u32> {
    let ids: Vec<u32> = allowed.tokens().take_while(|&id| (id as usize) < logits.len()).collect();
    let logits: Vec<f32> = ids.iter().map(|&id| logits[id as usize]).collect();
    best(&logits, top.min(ids.len())).into_iter().map(|place| ids[place as usize]).collect()
}

/// The `top` best ids, best first. Cut into at least `top` parts, the row has as many logits that are no smaller than
/// the least of the parts' largest: whatever is below that is out, which leaves few to select among.
fn best(logits: &[f32], top: usize) -> Vec<u32> {
    let Some(part) = logits.len().checked_div(top) else { return Vec::new() };
    let bound = logits.chunks_exact(part).map(largest).fold(f32::INFINITY, f32::min);
    let below = |logit: f32| logit < bound; // not so for NaN
    let mut keys: Vec<u64> =
        (0u32..).zip(logits).filter(|&(_, &logit)| !below(logit)).map(|(id, &logit)| key(id, logit)).collect();
    if top < keys.len() {
        keys.select_nth_unstable(top - 1);
        keys.truncate(top);
    }
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

/// An integer that sorts as [`rank`] does: the inverted total order of the float, then the id.
fn key(id: u32, logit: f32) -> u64 {
    let bits = logit.to_bits();
    // total_cmp's order as an unsigned integer: flip the sign bit of positives, every bit of negatives
    let ascending = if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits };
    u64::from(!ascending) << 32 | u64::from(id)
}

/// Elements that are worked on at once, so that the compiler can use vector instructions.
const LANES: usize = 8;

/// The largest logit; NaN does not count.
fn largest(logits: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (lanes, rest) = logits.as_chunks::<LANES>();
    let mut best = [f32::NEG_INFINITY; LANES];
    for lane in lanes {
        for (best, &logit) in best.iter_mut().zip(lane) {
            *best = larger(*best, logit);
        }
    }
    best.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// ln Σ exp(x), never below the largest x; not finite if any x is NaN or +∞. Sums of 64 stay in f32, their total is kept
/// in f64, so that the error does not grow with the vocabulary.
fn log_sum_exp(logits: &[f32]) -> f32 {
    let max = largest(logits);
    if max == f32::NEG_INFINITY {
        return max;
    }
    let mut total = 0f64;
    for part in logits.chunks(64) {
        let mut terms = [0f32; 64];
        for (term, &x) in terms.iter_mut().zip(part) {
            *term = exp(x - max);
        }
        let mut sums = [0f32; LANES];
        for lane in terms.as_chunks::<LANES>().0 {
            for (sum, term) in sums.iter_mut().zip(lane) {
                *sum += term;
            }
        }
        total += f64::from(sums.iter().sum::<f32>());
    }
    (f64::from(max) + total.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Logits with many ties.
    fn logits() -> impl Strategy<Value = Vec<f32>> {
        let few = (-3i32..3).prop_map(|x| x as f32 / 2.0);
        prop::collection::vec(prop_oneof![few, -30f32..30.0], 1..200)
    }

    proptest! {
        #[test]
        fn the_best_come_first_and_the_others_on_request(
            logits in logits(),
            top in 0usize..220,
            also in prop::collection::btree_set(0u32..220, 0..20),
            allowed in prop::option::of(prop::collection::btree_set(0u32..220, 0..220)),
        ) {
            let allowed = allowed.map(|allowed| Arc::new(TokenSet::new(220, allowed)));
            let request = CandidateRequest { top, also: also.into_iter().collect(), allowed };
            let found = candidates(&logits, &request);
            let is_allowed = |id: u32| request.allowed.as_ref().is_none_or(|allowed| allowed.contains(id));
            let mut order: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            order.retain(|&(id, _)| is_allowed(id));
            order.sort_by(|&a, &b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let best: Vec<u32> = order.iter().take(top).map(|&(id, _)| id).collect();
            let others = request.also.iter().copied().filter(|id| (*id as usize) < logits.len() && !best.contains(id));
            let expected: Vec<u32> = best.iter().copied().chain(others.filter(|&id| is_allowed(id))).collect();
            prop_assert_eq!(&found.ids, &expected);
            prop_assert_eq!(found.log_sum_exp, log_sum_exp(&logits));
            let of_ids: Vec<f32> = expected.iter().map(|&id| logits[id as usize]).collect();
            prop_assert_eq!(found.logits, of_ids);
        }

        #[test]
        fn log_sum_exp_agrees_with_f64(logits in prop::collection::vec(-80f32..80.0, 1..3000)) {
            let max = logits.iter().copied().fold(f32::MIN, f32::max);
            let exact = f64::from(max) + logits.iter().map(|&x| f64::from(x - max).exp()).sum::<f64>().ln();
            let found = log_sum_exp(&logits);
            prop_assert!((f64::from(found) - exact).abs() < 1e-5 * exact.abs().max(1.0), "{found} {exact}");
            prop_assert!(found >= max);
        }

        #[test]
        fn integer_keys_sort_as_rank(a in any::<f32>(), b in any::<f32>(), i in 0u32..4, j in 0u32..4) {
            prop_assert_eq!(key(i, a).cmp(&key(j, b)), rank((i, a), (j, b)));
        }
    }

    #[test]
    fn not_a_number_is_seen() {
        for top in [1, 20] {
            let found = candidates(&[1.0, f32::NAN, 2.0], &CandidateRequest { top, ..Default::default() });
            assert_eq!(found.ids[0], 1);
            assert!(found.log_sum_exp.is_nan());
        }
    }

    #[test]
    fn no_logits_have_no_candidates() {
        let found = candidates(&[], &CandidateRequest { top: 3, also: vec![0], allowed: None });
        assert!(found.ids.is_empty());
        assert_eq!(found.log_sum_exp, f32::NEG_INFINITY);
    }

    #[test]
    fn a_large_vocabulary_keeps_its_precision() {
        let found = log_sum_exp(&vec![0.25; 1 << 20]);
        let exact = 0.25 + f64::from(1u32 << 20).ln();
        assert!((f64::from(found) - exact).abs() < 1e-6, "{found} {exact}");
    }
}
