//! A greedy planner to compare with: the fewest machines, those with the most memory, filled evenly.

use super::super::problem::Problem;
use gogrid_model::Layers;

/// Machines in order, and where each one's layers end.
pub(super) fn plan(problem: &Problem<'_>) -> Option<(Vec<usize>, Vec<usize>)> {
    let most = problem.machines.len().min(problem.layers());
    (problem.demand.stages.max(1)..=most).find_map(|stages| Some(((0..stages).collect(), cut(problem, stages)?)))
}

fn cut(problem: &Problem<'_>, machines: usize) -> Option<Vec<usize>> {
    let layers = problem.layers();
    let mut best: Vec<Option<(f64, Vec<usize>)>> = vec![None; layers + 1];
    best[0] = Some((0.0, Vec::new()));
    for machine in 0..machines {
        let mut next: Vec<Option<(f64, Vec<usize>)>> = vec![None; layers + 1];
        for end in 1..=layers {
            for (start, before) in best[..end].iter().enumerate() {
                let Some((share, ends)) = before else { continue };
                let share = share.max(problem.memory_share(machine, Layers { start, end }));
                if share <= 1.0 && next[end].as_ref().is_none_or(|(found, _)| share < *found) {
                    next[end] = Some((share, ends.iter().copied().chain([end]).collect()));
                }
            }
        }
        best = next;
    }
    best.pop().flatten().map(|(_, ends)| ends)
}
