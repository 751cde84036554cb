//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::{Spread, median};

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtLeast(least) => format!(">= {least}"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Milliseconds,
    PerSecond,
    Mebibytes,
}

impl Unit {
    const fn text(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::Mebibytes => "MiB",
        }
    }
}

/// A is the portal, B is what it is compared with; each round measured both.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) unit: Unit,
    pub(crate) rounds: Vec<(f64, f64)>,
    pub(crate) aim: Option<Aim>,
}

/// Everything that a run has to say, in order.
#[derive(Debug, Default)]
pub(crate) struct Report {
    comparisons: Vec<Comparison>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    a: &'a str,
    b: &'a str,
    unit: &'static str,
    a_median: f64,
    b_median: f64,
    ratio: f64,
    ratio_low: f64,
    ratio_high: f64,
    rounds: usize,
    aim: Option<String>,
    met: Option<bool>,
}

impl Report {
    pub(crate) fn compare(&mut self, comparison: Comparison) {
        self.comparisons.push(comparison);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Takes over what another part has measured.
    pub(crate) fn append(&mut self, other: Self) {
        self.comparisons.extend(other.comparisons);
        self.notes.extend(other.notes);
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.comparisons.iter().map(|comparison| {
            let column =
                |pick: fn(&(f64, f64)) -> f64| -> Vec<f64> { comparison.rounds.iter().map(pick).collect() };
            // A ratio of each round, so that what both sides met in that round cancels out.
            let ratio = Spread::of(&column(|(a, b)| a / b));
            Line {
                name: &comparison.name,
                a: &comparison.a,
                b: &comparison.b,
                unit: comparison.unit.text(),
                a_median: median(&column(|(a, _)| *a)),
                b_median: median(&column(|(_, b)| *b)),
                ratio: ratio.median,
                ratio_low: ratio.low,
                ratio_high: ratio.high,
                rounds: comparison.rounds.len(),
                aim: comparison.aim.map(Aim::text),
                met: comparison.aim.map(|aim| aim.is_met(ratio.median)),
            }
        })
    }

    /// A Markdown table and the notes, which read well in a terminal too.
    pub(crate) fn text(&self) -> String {
        let head = ["what", "A", "B", "A median", "B median", "A/B (lowest to highest)", "aim", "met"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for line in self.lines() {
            rows.push(vec![
                line.name.to_owned(),
                line.a.to_owned(),
                line.b.to_owned(),
                format!("{} {}", figure(line.a_median), line.unit),
                format!("{} {}", figure(line.b_median), line.unit),
                format!("{} ({} to {})", figure(line.ratio), figure(line.ratio_low), figure(line.ratio_high)),
                line.aim.unwrap_or_default(),
                line.met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
            ]);
        }
        let mut text = table(&rows);
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "comparisons": self.lines().collect::<Vec<_>>(), "notes": self.notes })
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn table(rows: &[Vec<String>]) -> String {
    let Some(head) = rows.first() else { return String::new() };
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if at == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rules.join(" | "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_the_rounds_and_says_whether_its_aim_is_met() {
        let mut report = Report::default();
        report.compare(Comparison {
            name: "x".to_owned(),
            a: "portal".to_owned(),
            b: "bare".to_owned(),
            unit: Unit::Milliseconds,
            rounds: vec![(2.0, 1.0), (3.0, 2.0), (40.0, 10.0)],
            aim: Some(Aim::AtMost(1.2)),
        });
        report.note("a note");
        let text = report.text();
        assert!(text.contains("2.00 (1.50 to 4.00)"), "{text}");
        assert!(text.contains("NO") && text.contains("- a note"), "{text}");
        assert_eq!(report.json()["comparisons"][0]["met"], false);
        assert!(Aim::AtLeast(0.7).is_met(0.7));
    }
}
