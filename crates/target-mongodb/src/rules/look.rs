//! A look at one command, from the outside in.

use bson::{Bson, Document};
use domain::review::{Effect, Finding, Refusal, Scope};
use domain::text::DatabaseName;

use super::commands::{COMMANDS, EVERYWHERE, Field, OF_SERVER, Spec, named as spec_named, why_not};
use super::names::collection;
use super::writes::{flag, is_one};

/// The database of the server's own commands.
const ADMIN: &str = "admin";

/// What a look at a command found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) effect: Effect,
    /// Whether the server runs it inside of a transaction.
    pub(super) in_transaction: bool,
    pub(super) findings: Vec<Finding>,
}

/// A look that is under way.
pub(super) struct Look<'a> {
    pub(super) scope: &'a Scope,
    level: usize,
    pub(super) found: Found,
}

pub(crate) fn refusal(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), message: message.into(), position: None }
}

/// A name from the text, as much of it as a person reads.
pub(super) fn named(name: &str) -> String {
    match name.char_indices().nth(60) {
        None if name.is_empty() => "\"\"".to_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Looks at a command of the approved database, or of the one that it names. The first field is its name.
pub(super) fn look(
    command: &Document,
    database: Option<&str>,
    scope: &Scope,
) -> Result<(&'static Spec, Found), Refusal> {
    let (name, first) = command
        .iter()
        .next()
        .ok_or_else(|| refusal("no_command", "The document is empty; its first field names the command."))?;
    let elsewhere = database.filter(|name| scope.database.as_ref().map(DatabaseName::as_str) != Some(name));
    let spec = match elsewhere {
        Some(ADMIN) if scope.admits.other_databases => {
            spec_named(OF_SERVER, name).ok_or_else(|| not_there(name, OF_SERVER))
        }
        _ => spec_named(COMMANDS, name).ok_or_else(|| not_there(name, COMMANDS)),
    };
    // Where another database is not admitted, that is what there is to say.
    let mut look = Look {
        scope,
        level: 0,
        found: Found { effect: Effect::Read, in_transaction: true, findings: vec![] },
    };
    if let Some(other) = elsewhere {
        look.database(&Bson::String(other.to_owned()))?;
    }
    let spec = spec?;
    look.found.effect = spec.effect;
    look.found.in_transaction = spec.in_transaction;
    look.command(spec, first, command)?;
    let found = look.found;
    if scope.read_only && found.effect != Effect::Read {
        let message = format!(
            "{} changes something, and nothing may change on this instance: it is read-only.",
            spec.name
        );
        return Err(refusal("read_only", message));
    }
    Ok((spec, found))
}

fn not_there(name: &str, table: &[Spec]) -> Refusal {
    let reason = match name {
        "eval" | "$eval" => Some("it runs JavaScript inside of the server, with all of the server's rights"),
        "getMore" | "killCursors" => {
            Some("cursors are the portal's to read: the command that opens one gives all of its documents")
        }
        "startTransaction" | "commitTransaction" | "abortTransaction" | "startSession" | "endSessions"
        | "refreshSessions" => {
            Some("all commands of a request are one transaction already; a script has sessions")
        }
        "listDatabases" | "serverStatus" | "replSetGetStatus" | "hello" | "isMaster" => {
            Some("it is a command of the database admin, which needs an instance that admits other databases")
        }
        "connectionStatus" | "usersInfo" | "rolesInfo" => Some("it tells about logins and their rights"),
        "bulkWrite" => {
            Some("write insert, update and delete commands, or bulkWrite of a collection in shell syntax")
        }
        _ => None,
    };
    let message = if let Some(reason) = reason {
        format!("The command {name} does not run here: {reason}.")
    } else {
        let there: Vec<&str> = table.iter().map(|spec| spec.name).collect();
        let there = there.join(", ");
        format!("{} is not among the commands that the portal runs. There are: {there}.", named(name))
    };
    refusal("command_not_allowed", message)
}

impl Look<'_> {
    /// Guards against nesting, which comes from outside.
    pub(super) fn deeper<T>(
        &mut self,
        look: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.level > crate::ejson::MOST_LEVELS {
            return Err(refusal("nested_too_deeply", "The command is nested too deeply."));
        }
        self.level += 1;
        let looked = look(self);
        self.level -= 1;
        looked
    }

    fn command(&mut self, spec: &'static Spec, first: &Bson, command: &Document) -> Result<(), Refusal> {
        match first {
            _ if !spec.of_collection => {}
            // A pipeline that begins with documents of its own reads no collection; no transaction takes it.
            one if spec.name == "aggregate" && is_one(one) => self.found.in_transaction = false,
            name => collection(name)?,
        }
        for (n, (name, value)) in command.iter().enumerate() {
            if n == 0 && spec.name != "explain" {
                continue;
            }
            let name = name.as_str();
            let Some((_, field)) = spec.fields.iter().find(|(known, _)| *known == name) else {
                if n > 0 && EVERYWHERE.contains(&name) {
                    continue;
                }
                return Err(unknown_field(spec, name));
            };
            self.field(*field, name, value)?;
        }
        match spec.name {
            "findAndModify" => self.found_one(command),
            "drop" => self.find("drop", "drop removes the collection with everything in it, for good."),
            "dropIndexes" => {
                self.find("drop", "dropIndexes removes indexes; queries that need them become slow.");
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn field(&mut self, field: Field, name: &str, value: &Bson) -> Result<(), Refusal> {
        match field {
            Field::Plain => Ok(()),
            Field::Flag => flag(name, value),
            Field::Indexes => self.indexes(value),
            Field::Expires => {
                self.find(
                    "expires",
                    &format!("With {name} the server deletes documents by itself, from then on."),
                );
                Ok(())
            }
            Field::Expression => self.expression(value),
            Field::Collection => collection(value),
            Field::Pipeline => self.pipeline(value, true),
            Field::View => self.pipeline(value, false),
            Field::Updates => self.each(value, Self::one_update),
            Field::Deletes => self.each(value, Self::one_delete),
            Field::Update => self.update(value),
            Field::Explained => self.explained(value),
            Field::MapReduceOut => self.map_reduce_out(value),
            Field::JavaScript => self.javascript("mapReduce"),
        }
    }

    fn explained(&mut self, command: &Bson) -> Result<(), Refusal> {
        let Bson::Document(command) = command else {
            return Err(refusal("bad_command", "explain explains a command, which is a document."));
        };
        // No server takes it there.
        if command.contains_key("$db") {
            return Err(refusal(
                "bad_command",
                "$db names the database of the whole command: it stands beside explain.",
            ));
        }
        let Some((name, first)) = command.iter().next() else {
            return Err(refusal("no_command", "explain explains a command; the document is empty."));
        };
        let spec = spec_named(COMMANDS, name).ok_or_else(|| not_there(name, COMMANDS))?;
        if spec.name == "explain" {
            return Err(refusal("bad_command", "explain does not explain itself."));
        }
        let before = (self.found.effect, self.found.in_transaction, self.found.findings.len());
        self.deeper(|look| look.command(spec, first, command))?;
        // What is explained is not done: nothing changes, and what was said about changes does not hold.
        self.found.effect = before.0;
        self.found.in_transaction = before.1;
        let kept = |f: &Finding| matches!(f.code.as_str(), "server_javascript" | "other_database");
        let mut n = 0;
        self.found.findings.retain(|finding| {
            n += 1;
            n <= before.2 || kept(finding)
        });
        Ok(())
    }

    /// A stage or command that writes and cannot be part of a transaction.
    pub(super) fn writes_alone(&mut self, what: &str, how: &str) {
        self.found.effect = self.found.effect.max(Effect::Write);
        self.found.in_transaction = false;
        self.find("writes_collection", &format!("{what} {how}."));
    }

    pub(super) fn find(&mut self, code: &str, message: &str) {
        let finding = Finding { code: code.to_owned(), message: message.to_owned(), position: None };
        if !self.found.findings.contains(&finding) {
            self.found.findings.push(finding);
        }
    }
}

fn unknown_field(spec: &Spec, name: &str) -> Refusal {
    let shown = named(name);
    let message = if let Some(why) = why_not(name) {
        format!("The field {shown} of {} is not for requests: {why}.", spec.name)
    } else {
        let there: Vec<&str> =
            spec.fields.iter().map(|(name, _)| *name).chain(EVERYWHERE.iter().copied()).collect();
        format!("{} has no field {shown} here. There are: {}.", spec.name, there.join(", "))
    };
    refusal("field_not_allowed", message)
}
