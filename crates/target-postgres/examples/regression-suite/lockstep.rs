//! Runs through the portal what `psql` has just run, and compares.
//!
//! A unit is one message of `psql`, or everything from BEGIN to the end of the transaction. It becomes one request.

use domain::execution::{DatabaseError, ExecutionReport};
use domain::ports::ExecutionError;

use crate::portal::{Outcome, Portal};
use crate::state::{Bond, State};
use crate::summary::{Difference, Summary};
use crate::text::{may_change_role, words};
use crate::unit::{Ending, Exchange, Request, UNDO, ending, failed, request, unit_inner};
use crate::values::Types;
use crate::wire::{Link, ResultSet};

/// What both sides share for the whole suite.
pub(crate) struct Bench {
    pub(crate) portal: Portal,
    pub(crate) summary: Summary,
    pub(crate) types: Types,
    pub(crate) file: String,
    /// The request that is being compared makes temporary objects again.
    pub(crate) makes_again: bool,
}

/// One session of `psql`: its server, its shadow on the portal's server, and what it remembers.
pub(crate) struct Pair {
    pub(crate) psql: Link,
    /// Runs what the portal may not, so that both databases stay the same.
    pub(crate) shadow: Link,
    pub(crate) state: State,
    pub(crate) database: String,
}

impl Bench {
    /// Whether `psql` must not send this: it would change how values are written or whose limits hold, and the
    /// portal keeps that to itself. Neither side runs it.
    pub(crate) fn keeps_back(&mut self, sql: &str) -> bool {
        let sets = words(sql).first().is_some_and(|first| first == "set" || first == "reset");
        if !sets || sql.trim_end().trim_end_matches(';').contains(';') {
            return false;
        }
        let refusal = self.portal.refusal(sql);
        let guarded =
            refusal.is_some_and(|r| r.code == "guarded_setting" && !r.message.starts_with("RESET ALL"));
        if guarded {
            self.summary.statements += 1;
            self.summary.refuse("guarded_setting", 1);
        }
        guarded
    }

    /// Settles a unit that `psql` has finished.
    pub(crate) fn settle(&mut self, pair: &mut Pair, unit: &[Exchange]) -> anyhow::Result<()> {
        self.summary.statements += unit.iter().map(|e| e.reply.statements()).sum::<usize>();
        let in_step = match request(&pair.state, unit) {
            Err(reason) => {
                self.refuse(unit, reason);
                false
            }
            Ok(request) => self.through_portal(pair, unit, &request)?,
        };
        if !in_step {
            for exchange in unit {
                let reply = pair.shadow.repeat(&exchange.message, &exchange.copied)?;
                if reply.error != exchange.reply.error {
                    self.summary.out_of_step(
                        &self.file,
                        exchange.text(),
                        exchange.reply.error.as_deref(),
                        reply.error.as_deref(),
                    );
                }
            }
        }
        self.remember(pair, unit)
    }

    fn refuse(&mut self, unit: &[Exchange], reason: &str) {
        for exchange in unit {
            let count = exchange.reply.statements();
            match exchange.sql.as_deref().and_then(|sql| self.portal.refusal(sql)) {
                _ if exchange.reply.error.as_deref() == Some("25P02") => {
                    self.summary.refuse("transaction_failed", count);
                }
                Some(refusal) => {
                    if refusal.code == "statement_not_recognised" {
                        self.summary.not_recognised(&self.file, exchange.text());
                    }
                    self.summary.refuse(&refusal.code, count);
                }
                None => self.summary.refuse(reason, count),
            }
        }
    }

    /// Returns whether the portal's database is now as that of `psql`.
    fn through_portal(
        &mut self,
        pair: &mut Pair,
        unit: &[Exchange],
        request: &Request<'_>,
    ) -> anyhow::Result<bool> {
        let texts: Vec<&str> = request.inner.iter().map(|e| e.text()).collect();
        let Some(prefix) = pair.state.prefix(&texts) else {
            self.refuse(unit, "session_state_too_large");
            return Ok(false);
        };
        let undo = request.bond == Bond::Session || !(request.commits || failed(&request.inner));
        let end = undo.then_some(UNDO);
        let count = prefix.statements;
        self.makes_again = prefix.makes_again;
        // A comment at the end of a statement must not hide the semicolon.
        let all: Vec<&str> = prefix.texts.iter().map(String::as_str).chain(texts).chain(end).collect();
        let sql = all.join("\n;\n");
        let outcome = self.portal.run(&pair.database, &sql, pair.state.role.as_deref())?;
        if matches!(outcome.result, Err(ExecutionError::Refused(_))) {
            self.refuse(unit, "beside_a_refused_one");
            return Ok(false);
        }
        let in_prefix = |error: &DatabaseError| error.statement.is_some_and(|at| (at as usize) < count);
        if matches!(&outcome.result, Err(ExecutionError::Database(error)) if in_prefix(error)) {
            // What the session of psql holds cannot be made again: it was made by what has changed since.
            self.refuse(unit, "session_state");
            return Ok(false);
        }
        self.summary.refuse("transaction_control", unit.len() - unit_inner(unit).len());
        let sets: Vec<(&str, &ResultSet)> =
            request.inner.iter().flat_map(|e| e.reply.sets.iter().map(|set| (e.text(), set))).collect();
        let ending = ending(request, undo);
        let agreed = self.compare(pair, count, &sets, request, &outcome, &ending)?;
        Ok(agreed && request.bond == Bond::None)
    }

    /// Returns whether the request ended as it should.
    fn compare(
        &mut self,
        pair: &mut Pair,
        skipped: usize,
        sets: &[(&str, &ResultSet)],
        request: &Request<'_>,
        outcome: &Outcome,
        ending: &Ending,
    ) -> anyhow::Result<bool> {
        let found = Ending::of(&outcome.result, skipped + sets.len());
        let reached = found.reached.saturating_sub(skipped).min(sets.len());
        for (at, (sql, set)) in sets.iter().take(reached).enumerate() {
            let lines = outcome.rows.get(&(skipped + at)).map_or(&[][..], Vec::as_slice);
            let report = outcome.result.as_ref().ok().map(|report| (report, skipped + at));
            let difference = self.difference(pair, set, lines, report, sql)?;
            self.note(sql, difference);
        }
        let agreed = found.what == ending.what && found.reached == skipped + sets.len();
        let last = request.inner.last().map_or("", |e| e.text());
        let failing = request.inner.iter().find(|e| !e.succeeded()).map_or(last, |e| e.text());
        if agreed {
            if failed(&request.inner) {
                self.note(failing, None);
            }
        } else {
            let sql = sets.get(reached).map_or(failing, |(sql, _)| sql);
            let portal = format!("{} at statement {}", found.what, found.reached.saturating_sub(skipped) + 1);
            let difference = Difference::new(&ending.what, &format!("{portal}: {}", found.message));
            self.note(sql, Some(difference));
            let unseen = sets.len() - reached;
            self.summary.refuse("after_a_difference", unseen.saturating_sub(1));
        }
        Ok(agreed)
    }

    fn note(&mut self, sql: &str, difference: Option<Difference>) {
        self.summary.note(&self.file, sql, difference, self.makes_again);
    }

    fn difference(
        &mut self,
        pair: &mut Pair,
        set: &ResultSet,
        lines: &[String],
        report: Option<(&ExecutionReport, usize)>,
        sql: &str,
    ) -> anyhow::Result<Option<Difference>> {
        let rows = self.types.rows(&mut pair.psql, set, lines)?;
        self.summary.rows += rows.psql.len();
        self.summary.unchecked += rows.unchecked;
        if let Some((report, at)) = report {
            let statement = &report.statements[at];
            let names = set.columns.iter().flatten().map(|c| c.name.as_str());
            let shown = statement.columns.iter().flatten();
            if !names.eq(shown.clone().map(|c| c.name.as_str())) {
                let named = |names: Vec<&str>| format!("columns {}", names.join(", "));
                let psql = named(set.columns.iter().flatten().map(|c| c.name.as_str()).collect());
                return Ok(Some(Difference::new(&psql, &named(shown.map(|c| c.name.as_str()).collect()))));
            }
            for (name, shown) in rows.type_names.iter().zip(shown) {
                if let Some(name) = name.as_ref().filter(|name| **name != shown.type_name) {
                    return Ok(Some(Difference::new(
                        &format!("type {name}"),
                        &format!("type {}", shown.type_name),
                    )));
                }
            }
            let counted = set.tag.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
            // A tag without a number is 0 to the driver.
            if statement.affected.is_some_and(|affected| affected != counted.unwrap_or(0)) {
                let portal = format!("{:?} rows", statement.affected);
                return Ok(Some(Difference::new(&set.tag, &portal)));
            }
        }
        Ok(self.unequal_rows(rows.psql, rows.portal, sql))
    }

    fn unequal_rows(
        &mut self,
        psql: Vec<Vec<String>>,
        portal: Vec<Vec<String>>,
        sql: &str,
    ) -> Option<Difference> {
        if psql == portal {
            return None;
        }
        let (mut left, mut right) = (psql, portal);
        if !words(sql).windows(2).any(|w| w[0] == "order" && w[1] == "by") {
            left.sort();
            right.sort();
            if left == right {
                self.summary.reordered += 1;
                return None;
            }
        }
        if left.len() != right.len() {
            return Some(Difference::new(&format!("{} rows", left.len()), &format!("{} rows", right.len())));
        }
        let (left, right) = left.iter().zip(&right).find(|(l, r)| l != r)?;
        Some(Difference::new(&left.join(" | "), &right.join(" | ")))
    }

    fn remember(&mut self, pair: &mut Pair, unit: &[Exchange]) -> anyhow::Result<()> {
        let ended = unit.last().is_some_and(|e| e.succeeded() && e.tag() != "ROLLBACK");
        for exchange in unit.iter().filter(|e| ended && e.succeeded() && !e.reply.sets.is_empty()) {
            let statements = exchange.reply.sets.len();
            pair.state
                .remember(exchange.text(), statements, || self.portal.refusal(exchange.text()).is_none());
        }
        if unit.iter().any(|exchange| may_change_role(exchange.text())) {
            let reply = pair.psql.ask("SELECT current_user::pg_catalog.text")?;
            let now = reply.sets.first().and_then(|set| set.rows.first()).and_then(|row| row[0].clone());
            pair.state.role = now.filter(|role| *role != "postgres");
        }
        Ok(())
    }
}
