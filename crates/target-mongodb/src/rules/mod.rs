//! What may run: each command from an allow-list, each field of it, each stage of its pipelines.
//!
//! What the lists do not name is refused. Behind them stands the target's own role.

mod commands;
mod expressions;
mod look;
mod names;
mod operators;
mod stages;
mod writes;

use bson::{Bson, Document};
use domain::review::{Effect, Finding, Refusal, Scope, capped};

pub(crate) use commands::{Answer, Spec};
pub(crate) use look::refusal;

/// The most commands of one request.
const MOST_COMMANDS: usize = 1_000;

/// A command that may run.
#[derive(Debug)]
pub(crate) struct Command {
    /// As it is sent, but for what the portal adds.
    pub(crate) document: Document,
    /// The database that it names, when that is not the approved one.
    pub(crate) database: Option<String>,
    pub(crate) spec: &'static Spec,
    pub(crate) effect: Effect,
    /// Whether it can be part of a transaction.
    pub(crate) in_transaction: bool,
}

/// Commands that may run together.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) commands: Vec<Command>,
    pub(crate) effect: Effect,
    pub(crate) findings: Vec<Finding>,
}

/// Looks at one command.
pub(crate) fn check_one(document: Document, scope: &Scope) -> Result<(Command, Vec<Finding>), Refusal> {
    let mut document = document;
    let named = match document.remove("$db") {
        None => None,
        Some(Bson::String(name)) => Some(name),
        Some(_) => return Err(refusal("bad_command", "$db names a database: it is a string.")),
    };
    let (spec, found) = look::look(&document, named.as_deref(), scope)?;
    let approved = scope.database.as_ref().map(domain::text::DatabaseName::as_str);
    let command = Command {
        database: named.filter(|name| Some(name.as_str()) != approved),
        document,
        spec,
        effect: found.effect,
        in_transaction: found.in_transaction,
    };
    Ok((command, found.findings))
}

/// Looks at all commands of a request.
pub(crate) fn check(documents: Vec<Document>, scope: &Scope) -> Result<Checked, Refusal> {
    let several = documents.len() > 1;
    if documents.len() > MOST_COMMANDS {
        let message = format!("A request has at most {MOST_COMMANDS} commands.");
        return Err(refusal("too_many_commands", message));
    }
    let (mut commands, mut findings) = (vec![], vec![]);
    for (n, document) in documents.into_iter().enumerate() {
        let of = |text: String| if several { format!("Command {}: {text}", n + 1) } else { text };
        let (command, found) = check_one(document, scope)
            .map_err(|refusal| Refusal { message: of(refusal.message), ..refusal })?;
        findings.extend(found.into_iter().map(|f| Finding { message: of(f.message), ..f }));
        commands.push(command);
    }
    let effect = commands.iter().map(|command| command.effect).max().unwrap_or(Effect::Read);
    if effect != Effect::Read {
        let alone = commands.iter().find(|command| !command.in_transaction);
        match alone {
            Some(command) if several => {
                let message = format!(
                    "{} cannot be part of a transaction, and all commands of a request that writes are one. Submit it by \
                     itself.",
                    command.spec.name
                );
                return Err(refusal("not_in_transaction", message));
            }
            Some(command) => findings.push(Finding {
                code: "runs_alone".to_owned(),
                message: format!(
                    "{} runs outside of a transaction: when it is stopped, a part of it may have taken effect.",
                    command.spec.name
                ),
                position: None,
            }),
            None => {}
        }
    }
    Ok(Checked { commands, effect, findings: capped(findings) })
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
