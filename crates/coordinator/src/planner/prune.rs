use super::candidate_cost::CandidateCost;

/// Leaves out machines that some best plan does without.
///
/// Machine *a* is as good as *b* if it costs at most as much and holds at least as many layers in every role. Suppose
/// that a best plan of at most `stages` stages uses *b*, and that `stages` machines are as good as *b*. Since *b* takes
/// one of the plan's places, one of these is not in the plan, and can take *b*'s place at no more cost. Repeated from
/// the worst machine on, this gives a best plan without any machine that is left out. Being as good is transitive, so
/// it is enough to count the machines that were kept. Of equal machines at most `stages` stay.
pub(super) fn undominated(candidates: &[CandidateCost], stages: usize) -> Vec<CandidateCost> {
    // The better of two comes first, so each machine is compared with all that may be as good. Of equal machines the
    // first one stays.
    let total = |candidate: &CandidateCost| candidate.layer + candidate.fixed.iter().sum::<f64>();
    let mut best_first: Vec<usize> = (0..candidates.len()).collect();
    best_first.sort_by(|a, b| {
        let (a, b) = (&candidates[*a], &candidates[*b]);
        total(a).total_cmp(&total(b)).then_with(|| b.max_layers.cmp(&a.max_layers))
    });
    let mut kept: Vec<usize> = Vec::new();
    for index in best_first {
        let is_better = |other: &&usize| is_as_good(&candidates[**other], &candidates[index]);
        if kept.iter().filter(is_better).take(stages).count() < stages {
            kept.push(index);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|index| candidates[index]).collect()
}

fn is_as_good(a: &CandidateCost, b: &CandidateCost) -> bool {
    a.layer <= b.layer
        && a.fixed.iter().zip(&b.fixed).all(|(a, b)| a <= b)
        && a.max_layers.iter().zip(&b.max_layers).all(|(a, b)| a >= b)
}
