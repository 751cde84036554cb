//! What can be said against a script's statement before anything is sent to the server.

use domain::review::Refusal;
use domain::script::ScriptStatement;
use domain::text::SubmissionText;

use crate::run::{Progress, Spot};
use crate::sql::{Class, Statement, TRANSACTION_CONTROL, analyse, first_keyword};

/// As many as the protocol can number.
const MAX_PARAMETERS: usize = 65_535;

/// Of the values of one call together.
const MAX_PARAMETER_BYTES: usize = 8 * 1024 * 1024;

/// One statement that may run.
pub(super) struct Checked {
    text: String,
    pub(super) statement: Statement,
    pub(super) parameters: Vec<Option<String>>,
}

impl Checked {
    pub(super) fn sql(&self) -> &str {
        &self.text[self.statement.range.clone()]
    }

    pub(super) fn spot(&self) -> Spot<'_> {
        Spot { text: &self.text, statement: &self.statement, progress: Progress::Call }
    }

    /// Whether a cursor can read its rows.
    pub(super) fn is_query(&self) -> bool {
        let reads = self.statement.command == "SELECT";
        match self.statement.class {
            Class::Read => reads,
            // Locking rows is a write, and all others begin with WITH.
            Class::Write => reads && first_keyword(self.sql()).as_deref() != Some("with"),
            Class::Code | Class::Administrative | Class::Session | Class::Cursor | Class::Alone => false,
        }
    }

    /// What speaks against it once the server has said how many values it needs.
    pub(super) fn objection(&self, needed: usize) -> Option<Refusal> {
        let given = self.parameters.len();
        let message = || {
            format!(
                "The statement needs {needed} parameters, and {given} were given: give a value for each of $1 to ${needed}."
            )
        };
        (needed != given).then(|| refusal("parameter_count", message()))
    }
}

/// Looks at a statement as at every text, and at its parameters.
pub(super) async fn check(given: ScriptStatement, read_only: bool) -> Result<Checked, Refusal> {
    let ScriptStatement { text, parameters, in_transaction: _ } = given;
    check_size(&text)?;
    let analysed = analyse(text.clone(), read_only).await.map_err(in_words_of_scripts)?;
    let Ok([statement]) = <[Statement; 1]>::try_from(analysed.statements) else {
        let message = "A call runs one statement: make a call for each, and use db.transaction for those that \
                       belong together.";
        return Err(refusal("several_statements", message));
    };
    if statement.class == Class::Alone {
        let message = format!(
            "{} cannot run in a transaction, and so not in a script: submit it as a query of its own.",
            statement.command
        );
        return Err(refusal("runs_alone", message));
    }
    check_parameters(&parameters)?;
    if !parameters.is_empty() && !takes_parameters(&statement) {
        let message = format!(
            "{} takes no parameters: only SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and WITH do.",
            statement.command
        );
        return Err(refusal("parameters_not_possible", message));
    }
    Ok(Checked { text, statement, parameters })
}

fn check_size(text: &str) -> Result<(), Refusal> {
    if text.len() > SubmissionText::MAX_BYTES {
        let message = format!(
            "A statement is at most {} bytes long: give large values as parameters.",
            SubmissionText::MAX_BYTES
        );
        return Err(refusal("statement_too_long", message));
    }
    if text.contains('\0') {
        return Err(refusal("statement_with_nul", "A statement cannot hold a NUL character."));
    }
    Ok(())
}

fn check_parameters(parameters: &[Option<String>]) -> Result<(), Refusal> {
    let texts = || parameters.iter().flatten();
    if parameters.len() > MAX_PARAMETERS || texts().map(String::len).sum::<usize>() > MAX_PARAMETER_BYTES {
        let message = format!(
            "A call takes at most {MAX_PARAMETERS} parameters with at most {} MiB altogether: make several calls.",
            MAX_PARAMETER_BYTES / (1024 * 1024)
        );
        return Err(refusal("too_many_parameters", message));
    }
    if texts().any(|text| text.contains('\0')) {
        let message = "A parameter holds a NUL character, which no type of PostgreSQL can hold in a text: give \
                       bytes as bytea in hex, for example \\x00ff.";
        return Err(refusal("parameter_with_nul", message));
    }
    Ok(())
}

/// What PREPARE takes.
fn takes_parameters(statement: &Statement) -> bool {
    matches!(statement.class, Class::Read | Class::Write)
        && matches!(statement.command.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE")
}

/// What the rule for texts says to those who submit them does not help the author of a script.
fn in_words_of_scripts(refused: Refusal) -> Refusal {
    if refused.code != TRANSACTION_CONTROL {
        return refused;
    }
    let message = "Only the portal begins and ends transactions: use db.transaction, which commits when its function \
                   returns and rolls back when it throws.";
    Refusal { message: message.to_owned(), ..refused }
}

pub(super) fn refusal(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), message: message.into(), position: None }
}
