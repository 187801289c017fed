use super::seat::Seat;

/// Leaves out machines that some best plan does without.
///
/// If a best plan of at most `stages` stages uses machine *b*, and `stages` machines are each at least as good as *b* in
/// every role (as cheap, and hold as many layers), then one of these is not in the plan, because *b* is, and takes *b*'s
/// place at no more cost. Repeated from the worst machine on, this leaves a best plan without any such machine. It is
/// enough to count those that were kept: being as good is transitive. So of equal machines no more stay than a pipeline
/// can have stages.
pub(super) fn undominated(seats: &[Seat], stages: usize) -> Vec<Seat> {
    let mut order: Vec<usize> = (0..seats.len()).collect();
    // A better one comes first; of equals, the one that came first.
    let sum = |seat: &Seat| seat.layer + seat.fixed.iter().sum::<f64>();
    order.sort_by(|a, b| sum(&seats[*a]).total_cmp(&sum(&seats[*b])).then_with(|| seats[*b].most.cmp(&seats[*a].most)));
    let mut kept: Vec<usize> = Vec::new();
    for at in order {
        let better = kept.iter().filter(|other| as_good(&seats[**other], &seats[at])).take(stages).count();
        if better < stages {
            kept.push(at);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|at| seats[at]).collect()
}

fn as_good(a: &Seat, b: &Seat) -> bool {
    a.layer <= b.layer
        && a.fixed.iter().zip(&b.fixed).all(|(a, b)| a <= b)
        && a.most.iter().zip(&b.most).all(|(a, b)| a >= b)
}
