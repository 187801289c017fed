//! The measurements, beside the promises.

use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// Whether a promise was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    Missed,
    /// A figure without a bar.
    Told,
    /// The machine lacks something, which the row names.
    NotMeasured,
}

/// One promise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) measured: String,
    pub(super) bar: String,
    pub(super) verdict: Verdict,
    /// Raw figures.
    pub(super) raw: Value,
}

impl Row {
    pub(super) fn new(
        name: impl Into<String>,
        measured: impl Into<String>,
        bar: impl Into<String>,
        met: bool,
        raw: Value,
    ) -> Self {
        let verdict = if met { Verdict::Ok } else { Verdict::Missed };
        Self { name: name.into(), measured: measured.into(), bar: bar.into(), verdict, raw }
    }

    /// A figure for comparison.
    pub(super) fn told(name: impl Into<String>, measured: impl Into<String>, raw: Value) -> Self {
        let (name, measured, bar) = (name.into(), measured.into(), "none: to compare with".into());
        Self { name, measured, bar, verdict: Verdict::Told, raw }
    }

    pub(super) fn not_measured(name: impl Into<String>, why: impl Into<String>, bar: impl Into<String>) -> Self {
        let (name, measured, bar) = (name.into(), why.into(), bar.into());
        Self { name, measured, bar, verdict: Verdict::NotMeasured, raw: Value::Null }
    }
}

/// The rows that were measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) device: String,
    pub(super) cores: usize,
    pub(super) rows: Vec<Row>,
}

impl Report {
    pub(super) fn is_missed(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Missed)
    }

    /// A table for people.
    pub(super) fn table(&self) -> String {
        let width = |text: fn(&Row) -> &str, head: &str| {
            self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0).max(head.len())
        };
        let (name, measured) = (width(|row| &row.name, "row"), width(|row| &row.measured, "measured"));
        let bar = width(|row| &row.bar, "bar");
        let mut text = format!("{:name$}  {:measured$}  {:bar$}  verdict\n", "row", "measured", "bar");
        for row in &self.rows {
            let verdict = match row.verdict {
                Verdict::Ok => "ok",
                Verdict::Missed => "MISSED",
                Verdict::Told => "told",
                Verdict::NotMeasured => "not measured",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:name$}  {:measured$}  {:bar$}  {verdict}", row.name, row.measured, row.bar);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[bool]) -> Report {
        let rows = verdicts.iter().map(|met| Row::new("pause", "7 ms", "at most 50 ms", *met, Value::Null)).collect();
        Report { device: "cpu".into(), cores: 2, rows }
    }

    #[test]
    fn one_missed_bar_is_enough_and_what_has_no_bar_or_was_not_measured_is_none() {
        assert!(!report(&[true, true]).is_missed());
        assert!(report(&[true, false]).is_missed());
        let mut blind = report(&[true]);
        blind.rows.push(Row::not_measured("input", "no display", "at most 100 ms"));
        blind.rows.push(Row::told("frames without slices", "9 ms", Value::Null));
        assert!(!blind.is_missed());
        assert!(blind.table().lines().any(|line| line.ends_with("not measured")), "{}", blind.table());
    }

    #[test]
    fn columns_are_as_wide_as_their_texts() {
        let expected = "\
row    measured  bar            verdict
pause  7 ms      at most 50 ms  MISSED
";
        assert_eq!(report(&[false]).table(), expected);
    }
}
