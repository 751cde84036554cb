//! What an approver should know about a statement. Nothing here refuses anything.

use domain::review::{Finding, Position, Positions};
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode};

/// A statement inside the whole text, for positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) whole: &'a Positions<'a>,
    pub(crate) start: usize,
}

impl Place<'_> {
    pub(crate) fn position(self, offset: usize) -> Position {
        self.whole.of_byte(self.start + offset)
    }

    pub(crate) fn finding(self, code: &str, message: String, offset: usize) -> Finding {
        Finding { code: code.to_owned(), message, position: Some(self.position(offset)) }
    }
}

/// Findings from the syntax tree of a statement.
pub(crate) fn of_tree(place: Place<'_>, stmt: &ast::Stmt, command: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    match stmt {
        ast::Stmt::Truncate(_) => {
            findings.push(place.finding("truncate", "TRUNCATE removes every row.".to_owned(), 0));
        }
        // Which kinds drop something is a matter of the tag; the rest of the kinds needs no word here.
        _ if command.starts_with("DROP") => {
            findings.push(place.finding("drop", format!("{command} removes an object for good."), 0));
        }
        _ => {}
    }
    if runs_what_it_holds(stmt) {
        findings.extend(stmt.syntax().descendants().filter_map(|node| without_where(place, &node)));
    }
    findings
}

/// The body of a function or rule is stored, not run.
fn runs_what_it_holds(stmt: &ast::Stmt) -> bool {
    !matches!(
        stmt,
        ast::Stmt::CreateFunction(_)
            | ast::Stmt::CreateProcedure(_)
            | ast::Stmt::CreateRule(_)
            | ast::Stmt::Do(_)
    )
}

fn without_where(place: Place<'_>, node: &SyntaxNode) -> Option<Finding> {
    let (code, verb, keyword) = if let Some(update) = ast::Update::cast(node.clone()) {
        if update.where_clause_or_current_of().is_some() {
            return None;
        }
        ("update_without_where", "UPDATE", update.update_token())
    } else {
        let delete = ast::Delete::cast(node.clone())?;
        if delete.where_clause_or_current_of().is_some() {
            return None;
        }
        ("delete_without_where", "DELETE", delete.delete_token())
    };
    let range = keyword.map_or_else(|| node.text_range(), |token| token.text_range());
    Some(place.finding(
        code,
        format!("This {verb} has no WHERE and concerns every row."),
        range.start().into(),
    ))
}

/// Whether a tree holds a statement that writes, or takes row locks, which a read-only transaction refuses too.
pub(crate) fn writes_inside(stmt: &ast::Stmt) -> bool {
    stmt.syntax().descendants().any(|node| {
        let kind = node.kind();
        ast::Insert::can_cast(kind)
            || ast::Update::can_cast(kind)
            || ast::Delete::can_cast(kind)
            || ast::Merge::can_cast(kind)
            || ast::LockingClause::can_cast(kind)
    })
}
