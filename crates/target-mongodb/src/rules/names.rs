//! The databases and collections that a command names.

use bson::Bson;
use domain::review::Refusal;

use super::look::{Look, named, refusal};

impl Look<'_> {
    /// A database that is named somewhere in the command.
    pub(super) fn database(&mut self, name: &Bson) -> Result<(), Refusal> {
        let Bson::String(name) = name else {
            return Err(refusal("bad_command", "The name of a database is a string."));
        };
        if self.scope.database.as_ref().is_some_and(|approved| approved.as_str() == name) {
            return Ok(());
        }
        let shown = named(name);
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
}

/// A collection that is named somewhere in the command.
pub(super) fn collection(name: &Bson) -> Result<(), Refusal> {
    let Bson::String(name) = name else {
        return Err(refusal("bad_command", "The name of a collection is a string."));
    };
    if name.is_empty() || name.contains('\0') {
        let shown = named(&name.replace('\0', "\\0"));
        return Err(refusal("bad_command", format!("{shown} is no name that a collection can have.")));
    }
    if name.starts_with("system.") || name.contains(".system.") {
        let message = format!(
            "The collection {} belongs to the server itself: what is in it is not for requests.",
            named(name)
        );
        return Err(refusal("system_collection", message));
    }
    Ok(())
}

/// MongoDB's own rule ("Naming Restrictions" in its manual), on all platforms.
fn is_database_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0'])
}
