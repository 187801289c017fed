use crate::args::RecoveryWay as Way;
use serde::Serialize;
use std::fmt::Write as _;

/// The highest accepted cost, in percent.
const MAX_COST: f64 = 2.0;

/// Everything that was measured, for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) costs: Vec<Cost>,
    pub(super) rows: Vec<Row>,
}

/// How much slower a token is on stages that retain what a replay needs.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    pub(super) model: &'static str,
    pub(super) percent: f64,
}

/// One way, one model, one length of the prompt.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) model: &'static str,
    pub(super) way: Way,
    pub(super) prompt_tokens: u32,
    /// The undisturbed time to the first token, in seconds.
    pub(super) prefill: f64,
    /// Every pause, in seconds, the shortest first.
    pub(super) pauses: Vec<f64>,
}

impl Report {
    pub(super) fn is_missed(&self) -> bool {
        self.rows.iter().any(Row::is_missed) || self.costs.iter().any(Cost::is_missed)
    }

    /// A table for people.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for cost in &self.costs {
            let _ = writeln!(text, "{}", cost.line());
        }
        let _ = writeln!(
            text,
            "{:<6} {:<24} {:>6} {:>11} {:>9} {:>9} {:>9}",
            "model", "a machine is", "prompt", "prefill ms", "p50 ms", "p99 ms", "bar ms"
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        text
    }
}

impl Cost {
    fn is_missed(&self) -> bool {
        self.percent > MAX_COST
    }

    fn line(&self) -> String {
        let Self { model, percent } = self;
        let missed = if self.is_missed() { "  missed" } else { "" };
        format!("{model:<6} keeping what a replay needs costs {percent:.1} % ({MAX_COST} % at most){missed}")
    }
}

impl Row {
    /// The pause that this percentage of the pauses does not exceed, in seconds.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.pauses.len() * percent).div_ceil(100).max(1);
        self.pauses.get(rank - 1).copied().unwrap_or(0.0)
    }

    fn is_missed(&self) -> bool {
        self.way.bar(self.prefill).is_some_and(|bar| self.percentile(99) > bar)
    }

    fn line(&self) -> String {
        let Self { model, way, prompt_tokens, prefill, .. } = self;
        let [p50, p99] = [50, 99].map(|percent| self.percentile(percent) * 1e3);
        let bar = way.bar(*prefill).map_or("-".into(), |bar| format!("{:.0}", bar * 1e3));
        let missed = if self.is_missed() { "  missed" } else { "" };
        let (name, prefill) = (way.name(), prefill * 1e3);
        format!("{model:<6} {name:<24} {prompt_tokens:>6} {prefill:>11.0} {p50:>9.0} {p99:>9.0} {bar:>9}{missed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(way: Way, pauses: &[f64]) -> Row {
        Row { model: "demo", way, prompt_tokens: 128, prefill: 0.5, pauses: pauses.to_vec() }
    }

    #[test]
    fn the_worst_of_few_pauses_is_judged_against_bar_and_prefill() {
        let pauses = [0.1, 0.2, 1.6];
        assert_eq!(row(Way::Replica, &pauses).percentile(50), 0.2);
        assert!(row(Way::Replica, &pauses).is_missed());
        assert!(!row(Way::Spare, &[0.1, 1.4]).is_missed());
        assert!(row(Way::LeavesSpare, &[0.7]).is_missed());
        assert!(!row(Way::Anew, &[9.0]).is_missed());
    }

    #[test]
    fn a_row_shows_its_figures_in_milliseconds() {
        let line = row(Way::Replica, &[0.1, 0.2, 1.6]).line();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["demo", "killed,", "replica", "128", "500", "200", "1600", "1500", "missed"]
        );
    }
}
