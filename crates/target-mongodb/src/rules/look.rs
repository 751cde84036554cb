//! A look at one command, from the outside in.

use bson::{Bson, Document};
use domain::review::{Effect, Finding, Refusal, Scope};
use domain::text::DatabaseName;

use super::commands::{COMMANDS, EVERYWHERE, Field, OF_SERVER, Spec, named as spec_named, why_not};
use super::operators::{JAVASCRIPT, VARIABLES, is_operator};
use super::stages::is_stage;

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
    scope: &'a Scope,
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

    fn field(&mut self, field: Field, name: &str, value: &Bson) -> Result<(), Refusal> {
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

    fn indexes(&mut self, indexes: &Bson) -> Result<(), Refusal> {
        let documents = match indexes {
            Bson::Array(items) => items.iter().filter_map(Bson::as_document).collect(),
            Bson::Document(one) => vec![one],
            _ => vec![],
        };
        for index in documents {
            if index.contains_key("storageEngine") {
                return Err(refusal(
                    "field_not_allowed",
                    "storageEngine configures the server itself; leave it out.",
                ));
            }
            if index.contains_key("expireAfterSeconds") {
                self.field(Field::Expires, "expireAfterSeconds", indexes)?;
            }
        }
        self.expression(indexes)
    }

    fn each(
        &mut self,
        items: &Bson,
        one: impl Fn(&mut Self, &Document) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let wrong = || refusal("bad_command", "updates and deletes are arrays of documents.");
        let items = items.as_array().ok_or_else(wrong)?;
        items.iter().try_for_each(|item| one(self, item.as_document().ok_or_else(wrong)?))
    }

    fn one_update(&mut self, update: &Document) -> Result<(), Refusal> {
        for (name, value) in update {
            match name.as_str() {
                "q" | "c" | "arrayFilters" | "sort" => self.expression(value)?,
                "u" => self.update(value)?,
                "upsert" | "multi" => flag(name, value)?,
                "collation" | "hint" | "upsertSupplied" => {}
                other => return Err(unknown_part("updates", other)),
            }
        }
        let all = update.get("multi") == Some(&Bson::Boolean(true));
        self.filter(update.get("q"), all, "update");
        Ok(())
    }

    fn one_delete(&mut self, delete: &Document) -> Result<(), Refusal> {
        for (name, value) in delete {
            match name.as_str() {
                "q" => self.expression(value)?,
                "limit" | "collation" | "hint" => {}
                other => return Err(unknown_part("deletes", other)),
            }
        }
        // The server reads whatever is there as a number, and a person may read it otherwise.
        let limit = match delete.get("limit") {
            Some(Bson::Int32(limit @ (0 | 1))) => *limit,
            Some(Bson::Int64(limit @ (0 | 1))) => i32::from(*limit == 1),
            Some(one @ Bson::Double(_)) if is_one(one) => 1,
            _ => {
                let message =
                    "The limit of a delete is 1 for one document, or 0 for all that the filter finds.";
                return Err(refusal("bad_command", message));
            }
        };
        self.filter(delete.get("q"), limit == 0, "delete");
        Ok(())
    }

    fn found_one(&mut self, command: &Document) {
        let what = if command.get("remove") == Some(&Bson::Boolean(true)) { "delete" } else { "update" };
        self.filter(command.get("query"), false, what);
    }

    /// Says when a write is not limited to anything.
    fn filter(&mut self, filter: Option<&Bson>, all: bool, what: &str) {
        if filter.is_some_and(|filter| filter.as_document().is_none_or(|filter| !filter.is_empty())) {
            return;
        }
        let (code, whom) = match (what, all) {
            ("delete", true) => ("delete_without_filter", "deletes every document of the collection"),
            ("delete", false) => {
                ("delete_without_filter", "deletes one document, whichever the server finds first")
            }
            (_, true) => ("update_without_filter", "changes every document of the collection"),
            (_, false) => ("update_without_filter", "changes one document, whichever the server finds first"),
        };
        self.find(code, &format!("The filter is empty: this {whom}."));
    }

    /// A document with operators or a replacement is stored; a pipeline is evaluated.
    fn update(&mut self, update: &Bson) -> Result<(), Refusal> {
        match update {
            Bson::Array(_) => self.pipeline(update, false),
            _ => Ok(()),
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

    fn map_reduce_out(&mut self, out: &Bson) -> Result<(), Refusal> {
        let inline = |out: &Document| out.get("inline").is_some_and(truth) && out.len() == 1;
        match out {
            Bson::Document(out) if inline(out) => Ok(()),
            Bson::Document(out) => {
                self.writes_alone("mapReduce", "writes its result into a collection");
                for (name, value) in out {
                    match name.as_str() {
                        "db" => self.database(value)?,
                        "replace" | "merge" | "reduce" => collection(value)?,
                        _ => {}
                    }
                }
                Ok(())
            }
            name => {
                self.writes_alone("mapReduce", "writes its result into a collection");
                collection(name)
            }
        }
    }

    /// Looks at the operators in what the server evaluates.
    pub(super) fn expression(&mut self, value: &Bson) -> Result<(), Refusal> {
        self.deeper(|look| match value {
            Bson::Document(document) => document.iter().try_for_each(|(name, value)| {
                look.operator(name)?;
                // What is literal is not evaluated.
                if name == "$literal" { Ok(()) } else { look.expression(value) }
            }),
            Bson::String(text) if VARIABLES.iter().any(|name| text.starts_with(name)) => Err(refusal(
                "operator_not_allowed",
                format!(
                    "{} tells about the portal's own login, which is nobody's to know.",
                    self::named(text)
                ),
            )),
            Bson::Array(items) => items.iter().try_for_each(|item| look.expression(item)),
            _ => Ok(()),
        })
    }

    fn operator(&mut self, name: &str) -> Result<(), Refusal> {
        if !name.starts_with('$') || is_stage(name) {
            return Ok(());
        }
        if !is_operator(name) {
            let message = format!(
                "{} is not among the operators of MongoDB's manual that the portal knows.",
                self::named(name)
            );
            return Err(refusal("operator_not_allowed", message));
        }
        if JAVASCRIPT.contains(&name) { self.javascript(name) } else { Ok(()) }
    }

    fn javascript(&mut self, what: &str) -> Result<(), Refusal> {
        if !self.scope.admits.server_javascript {
            let message = format!(
                "{what} runs JavaScript inside of the database server, which this instance does not admit. Use operators \
                 and expressions ($expr, aggregation stages), or a script, whose JavaScript runs in the portal."
            );
            return Err(refusal("server_javascript", message));
        }
        self.find(
            "server_javascript",
            &format!("{what} runs JavaScript inside of the database server: read it."),
        );
        Ok(())
    }

    /// A database that is named somewhere in the command.
    pub(super) fn database(&mut self, name: &Bson) -> Result<(), Refusal> {
        let Bson::String(name) = name else {
            return Err(refusal("bad_command", "The name of a database is a string."));
        };
        if self.scope.database.as_ref().is_some_and(|approved| approved.as_str() == name) {
            return Ok(());
        }
        let shown = self::named(name);
        if !self.scope.admits.other_databases {
            let message = format!(
                "This reaches into the database {shown}, and this instance admits only the database that was asked for. \
                 Submit it to that database."
            );
            return Err(refusal("other_database", message));
        }
        if !is_database_name(name) {
            return Err(refusal("bad_command", format!("{shown} is no name that a database can have.")));
        }
        self.find("other_database", &format!("This reaches into another database: {shown}."));
        Ok(())
    }

    /// A stage or command that writes and cannot be part of a transaction.
    pub(super) fn writes_alone(&mut self, what: &str, how: &str) {
        self.found.effect = self.found.effect.max(Effect::Write);
        self.found.in_transaction = false;
        self.find("writes_collection", &format!("{what} {how}."));
    }

    fn find(&mut self, code: &str, message: &str) {
        let finding = Finding { code: code.to_owned(), message: message.to_owned(), position: None };
        if !self.found.findings.contains(&finding) {
            self.found.findings.push(finding);
        }
    }
}

/// A collection that is named somewhere in the command.
pub(super) fn collection(name: &Bson) -> Result<(), Refusal> {
    let Bson::String(name) = name else {
        return Err(refusal("bad_command", "The name of a collection is a string."));
    };
    if name.is_empty() || name.contains('\0') {
        let shown = self::named(&name.replace('\0', "\\0"));
        return Err(refusal("bad_command", format!("{shown} is no name that a collection can have.")));
    }
    if name.starts_with("system.") || name.contains(".system.") {
        let message = format!(
            "The collection {} belongs to the server itself: what is in it is not for requests.",
            self::named(name)
        );
        return Err(refusal("system_collection", message));
    }
    Ok(())
}

fn is_one(value: &Bson) -> bool {
    match value {
        Bson::Int32(number) => *number == 1,
        Bson::Int64(number) => *number == 1,
        Bson::Double(number) => number.to_bits() == 1.0_f64.to_bits(),
        _ => false,
    }
}

/// The server takes more than these for true or false; a person would not.
fn flag(name: &str, value: &Bson) -> Result<(), Refusal> {
    match value {
        Bson::Boolean(_) => Ok(()),
        _ => Err(refusal("bad_command", format!("{name} is true or false."))),
    }
}

/// As the server reads a flag.
fn truth(value: &Bson) -> bool {
    match value {
        Bson::Boolean(flag) => *flag,
        Bson::Int32(number) => *number != 0,
        Bson::Int64(number) => *number != 0,
        Bson::Double(number) => *number != 0.0,
        Bson::Null | Bson::Undefined => false,
        _ => true,
    }
}

/// MongoDB's own rule ("Naming Restrictions" in its manual), on all platforms.
fn is_database_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0'])
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

fn unknown_part(of: &str, name: &str) -> Refusal {
    refusal("field_not_allowed", format!("An element of {of} has no field {} here.", named(name)))
}
