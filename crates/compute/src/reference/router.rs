//! Which experts a token goes through, and how much each counts: of one row's products with the router's matrix.

use gogrid_model::{Groups, RouterSpec, Score, exp};

/// An expert of a token with its share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chosen {
    pub(super) expert: usize,
    pub(super) share: f32,
}

/// The experts of one token, best first. `products`: one for each expert. `choice`: what is added to the scores to
/// choose by, one for each expert, or nothing.
pub(super) fn choose(spec: &RouterSpec, products: &[f32], choice: &[f32]) -> Vec<Chosen> {
    let mut scores = products.to_vec();
    match spec.score {
        Score::Softmax => {
            let max = products.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            scores.iter_mut().for_each(|score| *score = exp(*score - max));
            let sum: f32 = scores.iter().sum();
            scores.iter_mut().for_each(|score| *score /= sum);
        }
        Score::Sigmoid => scores.iter_mut().for_each(|score| *score = 1.0 / (1.0 + exp(-*score))),
    }
    let mut by: Vec<f32> = match choice {
        [] => scores.clone(),
        _ => scores.iter().zip(choice).map(|(score, choice)| score + choice).collect(),
    };
    if let Some(groups) = spec.groups {
        hide_groups(groups, &mut by);
    }
    let mut chosen: Vec<Chosen> =
        best(&by, spec.used).into_iter().map(|expert| Chosen { expert, share: scores[expert] }).collect();
    if spec.normalize {
        let sum: f32 = chosen.iter().map(|chosen| chosen.share).sum();
        chosen.iter_mut().for_each(|chosen| chosen.share /= sum.max(f32::MIN_POSITIVE));
    }
    chosen.iter_mut().for_each(|chosen| chosen.share *= spec.scale);
    chosen
}

/// Takes the experts of all but the best groups out of the choice.
fn hide_groups(groups: Groups, scores: &mut [f32]) {
    let size = scores.len() / groups.count;
    let score = |group: &[f32]| best(group, groups.best).into_iter().map(|expert| group[expert]).sum::<f32>();
    let of_groups: Vec<f32> = scores.chunks_exact(size).map(score).collect();
    let kept = best(&of_groups, groups.used);
    for (group, scores) in scores.chunks_exact_mut(size).enumerate() {
        if !kept.contains(&group) {
            scores.fill(f32::NEG_INFINITY);
        }
    }
}

/// The places of the `count` largest, largest first; of equal ones the first.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let count = count.min(places.len());
    if count < places.len() {
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(score: Score) -> RouterSpec {
        RouterSpec { used: 2, score, bias: false, choice_bias: false, normalize: false, scale: 1.0, groups: None }
    }

    fn found(spec: &RouterSpec, products: &[f32], choice: &[f32]) -> Vec<(usize, f32)> {
        let round = |share: f32| (share * 1e4).round() / 1e4;
        choose(spec, products, choice).into_iter().map(|chosen| (chosen.expert, round(chosen.share))).collect()
    }

    #[test]
    fn shares_are_the_scores_or_add_up_to_the_scale() {
        let products = [0.0, 2f32.ln(), 4f32.ln(), 0.0];
        assert_eq!(found(&spec(Score::Softmax), &products, &[]), [(2, 0.5), (1, 0.25)]);
        let normalized = RouterSpec { normalize: true, scale: 3.0, ..spec(Score::Softmax) };
        assert_eq!(found(&normalized, &products, &[]), [(2, 2.0), (1, 1.0)]);
        assert_eq!(found(&spec(Score::Sigmoid), &products, &[]), [(2, 0.8), (1, 0.6667)]);
    }

    #[test]
    fn a_choice_bias_chooses_and_does_not_count() {
        let products = [0.0, 2f32.ln(), 4f32.ln(), 0.0];
        assert_eq!(found(&spec(Score::Sigmoid), &products, &[1.0, 0.0, 0.0, 0.0]), [(0, 0.5), (2, 0.8)]);
    }

    #[test]
    fn experts_are_in_the_best_groups() {
        // By their best the second group is ahead, by their best two the first.
        let products = [1.0, 1.0, 2.0, -9.0, 0.0, 0.0];
        let groups = |best| Some(Groups { count: 3, used: 1, best });
        let of = |best| RouterSpec { groups: groups(best), ..spec(Score::Sigmoid) };
        let experts = |spec: &RouterSpec| found(spec, &products, &[]).into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(experts(&of(1)), [2, 3]);
        assert_eq!(experts(&of(2)), [0, 1]);
    }

    #[test]
    fn of_equal_scores_the_first_count() {
        assert_eq!(best(&[1.0, 3.0, 1.0, 3.0, 1.0], 3), [1, 3, 0]);
        assert_eq!(best(&[1.0, 2.0], 5), [1, 0]);
    }
}
