//! What came of the comparison, counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::differences::{Explained, explains, of_no_use, on_one_line};

/// Why a statement may differ for which temporary objects were made again.
const MADE_AGAIN: &str = "It uses temporary objects that had to be made again from what has changed since.";

/// What each side made of a statement.
pub(crate) struct Difference {
    psql: String,
    portal: String,
}

impl Difference {
    pub(crate) fn new(psql: &str, portal: &str) -> Self {
        let short = |text: &str| text.chars().take(400).collect();
        Self { psql: short(psql), portal: short(portal) }
    }
}

pub(crate) struct Summary {
    /// Statements that `psql` sent, or would have sent.
    pub(crate) statements: usize,
    /// Statements whose answers were compared and are the same.
    pub(crate) same: usize,
    /// Among them those that answered with the same rows in another order, and asked for no order.
    pub(crate) reordered: usize,
    /// Rows compared.
    pub(crate) rows: usize,
    /// Columns whose values were not compared.
    pub(crate) unchecked: usize,
    /// Statements that were not compared, by reason.
    refused: BTreeMap<String, usize>,
    explained: BTreeMap<&'static str, usize>,
    unexplained: Vec<String>,
    /// What the portal does not know at all, which is a list to look at and no failure.
    not_recognised: Vec<String>,
    drifted: Vec<String>,
    list: Vec<Explained>,
}

impl Summary {
    pub(crate) fn new(list: Vec<Explained>) -> Self {
        Self {
            statements: 0,
            same: 0,
            reordered: 0,
            rows: 0,
            unchecked: 0,
            refused: BTreeMap::new(),
            explained: BTreeMap::new(),
            unexplained: Vec::new(),
            not_recognised: Vec::new(),
            drifted: Vec::new(),
            list,
        }
    }

    pub(crate) fn refuse(&mut self, reason: &str, count: usize) {
        if count > 0 {
            *self.refused.entry(reason.to_owned()).or_default() += count;
        }
    }

    pub(crate) fn not_recognised(&mut self, file: &str, sql: &str) {
        self.not_recognised.push(format!("{file}: {}", on_one_line(sql)));
    }

    pub(crate) fn out_of_step(&mut self, file: &str, sql: &str, psql: Option<&str>, shadow: Option<&str>) {
        let text = format!("{file}: {psql:?} {shadow:?}: {}", on_one_line(sql));
        self.drifted.push(text);
    }

    /// `made_again` says that temporary objects were made again for this statement.
    pub(crate) fn note(&mut self, file: &str, sql: &str, difference: Option<Difference>, made_again: bool) {
        let reason =
            explains(&mut self.list, file, sql, difference.is_some()).or(made_again.then_some(MADE_AGAIN));
        match (difference, reason) {
            (None, _) => self.same += 1,
            (Some(_), Some(reason)) => *self.explained.entry(reason).or_default() += 1,
            (Some(difference), None) => {
                let text = format!(
                    "{file}: {}\n    psql:   {}\n    portal: {}",
                    on_one_line(sql).chars().take(1000).collect::<String>(),
                    difference.psql,
                    difference.portal
                );
                self.unexplained.push(text);
            }
        }
    }

    /// How many statements both sides answered.
    pub(crate) fn compared(&self) -> usize {
        self.same + self.explained.values().sum::<usize>() + self.unexplained.len()
    }

    /// The whole as a person reads it.
    pub(crate) fn text(&self, files: usize) -> String {
        let mut text = String::new();
        for difference in &self.unexplained {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "DIFFERENT {difference}");
        }
        for drift in &self.drifted {
            let _ = writeln!(text, "OUT OF STEP {drift}");
        }
        for statement in &self.not_recognised {
            let _ = writeln!(text, "NOT RECOGNISED {statement}");
        }
        for line in of_no_use(&self.list) {
            let _ = writeln!(text, "OF NO USE {} | {} ({})", line.file, line.pattern, line.reason);
        }
        let _ = writeln!(text, "files {files}, statements {}", self.statements);
        let _ = writeln!(text, "through the portal and through psql: {}, of these", self.compared());
        let _ = writeln!(
            text,
            "  the same: {} ({} rows; {} statements had them in another order and asked for none; {} columns unchecked)",
            self.same, self.rows, self.reordered, self.unchecked
        );
        for (reason, count) in &self.explained {
            let _ = writeln!(text, "  different, explained: {count} {reason}");
        }
        let _ = writeln!(text, "  different, unexplained: {}", self.unexplained.len());
        let _ = writeln!(text, "through psql only: {}, of these", self.refused.values().sum::<usize>());
        for (reason, count) in &self.refused {
            let _ = writeln!(text, "  {reason}: {count}");
        }
        text
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.unexplained.is_empty() && of_no_use(&self.list).is_empty()
    }
}
