//! The databases of a target: what people say of them, and what looks at the server find.

use serde_json::{Value, json};

use super::replace;
use crate::Timestamp;
use crate::audit::AuditEntry;
use crate::text::DatabaseName;

/// A database on a target, as known to the portal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetDatabase {
    pub name: DatabaseName,
    pub description: Option<String>,
    pub source: DatabaseSource,
    pub active: bool,
    pub last_seen_at: Option<Timestamp>,
}

impl TargetDatabase {
    /// What a person or a sync decided about it. That a sync has seen it again decides nothing.
    pub fn decided(&self) -> (Option<&str>, DatabaseSource, bool) {
        (self.description.as_deref(), self.source, self.active)
    }
}

/// How the portal learnt of a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatabaseSource {
    Synced,
    Manual,
}

impl DatabaseSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Manual => "manual",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Synced, Self::Manual].into_iter().find(|s| s.as_str() == text)
    }
}

/// What an admin says about a database; `None` leaves what is known. `Some(None)` takes the description away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseChange {
    pub name: DatabaseName,
    pub description: Option<Option<String>>,
    pub active: Option<bool>,
}

impl DatabaseChange {
    /// The entry with the change, by hand from now on. One that was not known yet is active and has no description
    /// unless the change says so.
    pub fn of(self, before: Option<&TargetDatabase>) -> TargetDatabase {
        let mut after = before.cloned().unwrap_or(TargetDatabase {
            name: self.name,
            description: None,
            source: DatabaseSource::Manual,
            active: true,
            last_seen_at: None,
        });
        after.source = DatabaseSource::Manual;
        replace(&mut after.description, self.description);
        replace(&mut after.active, self.active);
        after
    }
}

/// What a look at the target's list of databases gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SyncOutcome {
    /// The databases that the portal's role may connect to.
    Succeeded(Vec<DatabaseName>),
    /// A sentence for admins.
    Failed(String),
}

/// A look at the target's list of databases that is over. It takes its time, and a person or another look may be
/// faster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncAttempt {
    /// Of the connection by which it was looked at.
    pub connection_revision: i32,
    /// Before the server was asked for anything: whatever it answered was true then or later.
    pub started_at: Timestamp,
    pub outcome: SyncOutcome,
    /// When the portal looks by itself again; `None` leaves that as it is.
    pub next_at: Option<Timestamp>,
}

impl SyncAttempt {
    /// The entry of the attempt as it goes on the trail: with what it changed, which its store learns.
    pub fn on_trail(&self, audit: &AuditEntry, changes: &SyncChanges) -> AuditEntry {
        let mut audit = audit.clone();
        if let SyncOutcome::Succeeded(_) = self.outcome {
            let values = audit.new_values.get_or_insert_with(|| json!({}));
            values["changes"] = changes.on_trail();
        }
        audit
    }
}

/// What a sync did to the portal's list, each sorted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SyncChanges {
    pub added: Vec<DatabaseName>,
    pub reactivated: Vec<DatabaseName>,
    pub deactivated: Vec<DatabaseName>,
}

impl SyncChanges {
    /// The trail names this many databases of a kind, and counts them all: a server may have any number.
    pub const NAMES_ON_TRAIL: usize = 100;

    fn on_trail(&self) -> Value {
        let told = |names: &[DatabaseName]| {
            let first: Vec<&str> =
                names.iter().take(Self::NAMES_ON_TRAIL).map(DatabaseName::as_str).collect();
            json!({ "count": names.len(), "names": first })
        };
        json!({
            "added": told(&self.added), "reactivated": told(&self.reactivated),
            "deactivated": told(&self.deactivated),
        })
    }
}

/// The last look at the databases of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastSync {
    /// When it began.
    pub at: Timestamp,
    /// A sentence for admins; `None` after a success.
    pub error: Option<String>,
}
