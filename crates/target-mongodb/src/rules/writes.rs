//! The parts of commands that write: updates, deletes, indexes, outputs.

use bson::{Bson, Document};
use domain::review::Refusal;

use super::commands::Field;
use super::look::{Look, named, refusal};
use super::names::collection;

impl Look<'_> {
    pub(super) fn indexes(&mut self, indexes: &Bson) -> Result<(), Refusal> {
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

    pub(super) fn each(
        &mut self,
        items: &Bson,
        one: impl Fn(&mut Self, &Document) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let wrong = || refusal("bad_command", "updates and deletes are arrays of documents.");
        let items = items.as_array().ok_or_else(wrong)?;
        items.iter().try_for_each(|item| one(self, item.as_document().ok_or_else(wrong)?))
    }

    pub(super) fn one_update(&mut self, update: &Document) -> Result<(), Refusal> {
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

    pub(super) fn one_delete(&mut self, delete: &Document) -> Result<(), Refusal> {
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

    pub(super) fn found_one(&mut self, command: &Document) {
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
    pub(super) fn update(&mut self, update: &Bson) -> Result<(), Refusal> {
        match update {
            Bson::Array(_) => self.pipeline(update, false),
            _ => Ok(()),
        }
    }

    pub(super) fn map_reduce_out(&mut self, out: &Bson) -> Result<(), Refusal> {
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
}

pub(super) fn is_one(value: &Bson) -> bool {
    match value {
        Bson::Int32(number) => *number == 1,
        Bson::Int64(number) => *number == 1,
        Bson::Double(number) => number.to_bits() == 1.0_f64.to_bits(),
        _ => false,
    }
}

/// The server takes more than these for true or false; a person would not.
pub(super) fn flag(name: &str, value: &Bson) -> Result<(), Refusal> {
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

fn unknown_part(of: &str, name: &str) -> Refusal {
    refusal("field_not_allowed", format!("An element of {of} has no field {} here.", named(name)))
}
