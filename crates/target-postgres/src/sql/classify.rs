//! Decides on one statement: its first words first, then the parser's opinion, and both must agree.

use domain::review::Refusal;
use squawk_syntax::ast;
use squawk_syntax::{SourceFile, SyntaxKind};

use super::explain::explained;
use super::findings::{Place, of_tree, writes_inside};
use super::kinds::{Verdict, verdict};
use super::words::{Word, first_keyword, leading, mentions, words};
use super::{Class, Statement, accounts, refuse, tag};

/// Statements that may run even when the parser makes nothing of them: the server knows them by the same word.
const PLAIN: &[&str] =
    &["select", "insert", "update", "delete", "with", "values", "table", "merge", "explain", "show"];

/// Decides on the statement at a place. The caller has made sure that the text is not too deep to parse.
pub(crate) fn classify(place: Place<'_>, text: &str) -> Result<Statement, Refusal> {
    let first = leading(text);
    if let Some((code, message)) = refuse::reason(&first).or_else(|| accounts::reason(&first, text)) {
        return Err(refusal(place, code, message));
    }
    if first.first().is_some_and(|word| word.is("explain")) {
        return explain(place, text);
    }
    let keyword = first_keyword(text).unwrap_or_default();
    let in_parentheses = first.first() == Some(&Word::Symbol(b'('));
    if in_parentheses && !matches!(keyword.as_str(), "select" | "with" | "values" | "table") {
        return Err(unknown(place));
    }
    let parse = SourceFile::parse(text);
    let mut stmts = parse.tree().stmts().filter(|stmt| verdict(stmt) != Verdict::Empty);
    let parsed = match (stmts.next(), stmts.next()) {
        (Some(stmt), None) => Some((verdict(&stmt), stmt)),
        _ => None,
    };
    let unparsed_at = first_error(&parse, parsed.as_ref().map(|(_, stmt)| stmt));
    let mut statement = match parsed {
        Some((Verdict::Allowed(keywords, class), stmt)) if keywords.contains(&keyword.as_str()) => {
            of_stmt(place, text, &first, class, &stmt)
        }
        Some((Verdict::Refused, _)) => return Err(unknown(place)),
        _ => by_keyword(place, text, &keyword)?,
    };
    if let Some(offset) = unparsed_at {
        if statement.class == Class::Read {
            statement.class = at_most(text);
        }
        let message = "The portal's parser does not understand this; the server may.".to_owned();
        statement.findings.push(place.finding("unparsed", message, offset));
    }
    Ok(statement)
}

fn of_stmt(place: Place<'_>, text: &str, first: &[Word], class: Class, stmt: &ast::Stmt) -> Statement {
    let class = match class {
        Class::Read if writes_inside(stmt) => Class::Write,
        Class::Administrative if runs_alone(text, first, stmt) => Class::Alone,
        other => other,
    };
    let command = match stmt {
        ast::Stmt::Insert(_) => "INSERT".to_owned(),
        ast::Stmt::Update(_) => "UPDATE".to_owned(),
        ast::Stmt::Delete(_) => "DELETE".to_owned(),
        ast::Stmt::Merge(_) => "MERGE".to_owned(),
        ast::Stmt::CreateTableAs(_) => "CREATE TABLE AS".to_owned(),
        ast::Stmt::SelectInto(_) => "SELECT INTO".to_owned(),
        _ if first_keyword(text).as_deref() == Some("with") => "SELECT".to_owned(),
        _ => tag::command(first),
    };
    let findings = of_tree(place, stmt, &command);
    Statement { range: place.start..place.start + text.len(), class, command, findings }
}

/// Administrative statements that PostgreSQL refuses inside a transaction.
fn runs_alone(text: &str, first: &[Word], stmt: &ast::Stmt) -> bool {
    let early = |keyword: &str| first.iter().take(4).any(|word| word.is(keyword));
    match stmt {
        ast::Stmt::CreateIndex(index) => index.concurrently_token().is_some() || early("concurrently"),
        ast::Stmt::DropIndex(index) => index.concurrently_token().is_some() || early("concurrently"),
        ast::Stmt::Reindex(_) => mentions(text, &["concurrently"]) || first.iter().any(is_database_wide),
        ast::Stmt::Cluster(_) => cluster_names_no_table(text),
        ast::Stmt::AlterDatabase(_) => mentions(text, &["tablespace"]),
        ast::Stmt::AlterTable(_) => mentions(text, &["detach"]) && mentions(text, &["concurrently"]),
        _ => false,
    }
}

fn is_database_wide(word: &Word) -> bool {
    ["database", "system", "schema"].into_iter().any(|keyword| word.is(keyword))
}

fn cluster_names_no_table(text: &str) -> bool {
    let mut depth = 0_usize;
    for (_, word) in words(text).skip(1) {
        match word {
            Word::Symbol(b'(') => depth += 1,
            Word::Symbol(b')') => depth = depth.saturating_sub(1),
            Word::Plain(name) if depth == 0 && name == "verbose" => {}
            _ if depth == 0 => return false,
            _ => {}
        }
    }
    true
}

/// `EXPLAIN` is what the statement inside is, if that runs, and a read otherwise.
fn explain(place: Place<'_>, text: &str) -> Result<Statement, Refusal> {
    let parts = explained(text).ok_or_else(|| unknown(place))?;
    let inner_text = &text[parts.inner..];
    let inner_place = Place { start: place.start + parts.inner, ..place };
    if leading(inner_text).first().is_some_and(|word| word.is("explain")) {
        return Err(unknown(place));
    }
    let inner = classify(inner_place, inner_text)?;
    let class = if parts.runs { inner.class } else { Class::Read };
    if class == Class::Alone {
        return Err(unknown(place));
    }
    let unparsed = |code: &str| code == "unparsed";
    let findings = inner.findings.into_iter().filter(|f| parts.runs || unparsed(&f.code)).collect();
    Ok(Statement {
        range: place.start..place.start + text.len(),
        class,
        command: "EXPLAIN".to_owned(),
        findings,
    })
}

/// What the parser cannot place is taken for the most that its first keyword allows.
fn by_keyword(place: Place<'_>, text: &str, keyword: &str) -> Result<Statement, Refusal> {
    if !PLAIN.contains(&keyword) {
        return Err(unknown(place));
    }
    let class = match keyword {
        "insert" | "update" | "delete" | "merge" => Class::Write,
        "show" => Class::Read,
        _ => at_most(text),
    };
    let command = if keyword == "with" { "SELECT".to_owned() } else { tag::command(&leading(text)) };
    let message = "The portal's parser does not understand this statement; the server may.".to_owned();
    let findings = vec![place.finding("unparsed", message, 0)];
    Ok(Statement { range: place.start..place.start + text.len(), class, command, findings })
}

/// The most that a query with these words can do.
fn at_most(text: &str) -> Class {
    if mentions(text, &["insert", "update", "delete", "merge"]) {
        Class::Write
    } else if mentions(text, &["into"]) {
        Class::Administrative
    } else {
        Class::Read
    }
}

/// Where the parser stumbled. The bodies of functions are left out: the parser would parse them in turn, and
/// nothing has checked how deep they are.
fn first_error(parse: &squawk_syntax::Parse<SourceFile>, stmt: Option<&ast::Stmt>) -> Option<usize> {
    match stmt {
        None => None,
        Some(ast::Stmt::CreateFunction(_) | ast::Stmt::CreateProcedure(_) | ast::Stmt::Do(_)) => {
            let broken = parse.syntax_node().descendants().find(|node| node.kind() == SyntaxKind::ERROR);
            broken.map(|node| node.text_range().start().into())
        }
        Some(_) => parse.errors().first().map(|error| error.range().start().into()),
    }
}

fn unknown(place: Place<'_>) -> Refusal {
    let message = "This kind of statement is not recognised, and only known kinds may run.".to_owned();
    refusal(place, "statement_not_recognised", message)
}

fn refusal(place: Place<'_>, code: &str, message: String) -> Refusal {
    Refusal { code: code.to_owned(), message, position: Some(place.position(0)) }
}
