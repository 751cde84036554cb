//! What a server is, and what the portal's login may do there.

use bson::{Bson, Document, doc};
use domain::ports::ExecutionError;
use mongodb::Client;

use crate::numbers::int;

/// Roles that hand out rights, reach other people's operations, or stop the server. MongoDB's built-in ones
/// (<https://www.mongodb.com/docs/manual/reference/built-in-roles/>); a role that inherits one of them counts as it.
const PRIVILEGED: &[&str] = &[
    "__system",
    "backup",
    "clusterAdmin",
    "clusterManager",
    "dbOwner",
    "hostManager",
    "restore",
    "root",
    "userAdmin",
    "userAdminAnyDatabase",
];

/// Actions by which a role of a company's own is no weaker.
const POWERFUL: &[&str] = &[
    "anyAction",
    "changePassword",
    "createRole",
    "createUser",
    "dropRole",
    "dropUser",
    "grantRole",
    "impersonate",
    "internal",
    "killAnySession",
    "killop",
    "replSetConfigure",
    "revokeRole",
    "shutdown",
];

/// MongoDB 4.4.
const OLDEST_WIRE_VERSION: i64 = 9;

/// What is known of a server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Whether it is a member of a replica set, or stands before shards: then it has transactions.
    pub(crate) has_transactions: bool,
    /// Roles of the login, or actions of others, that the portal does not use unless the target says so.
    privileged: Vec<String>,
}

impl Server {
    pub(super) async fn ask(client: &Client) -> Result<Self, mongodb::error::Error> {
        let admin = client.database("admin");
        let hello = admin.run_command(doc! { "hello": 1 }).await?;
        if int(hello.get("maxWireVersion")).is_some_and(|version| version < OLDEST_WIRE_VERSION) {
            return Err(mongodb::error::Error::custom(
                "the server is older than MongoDB 4.4, the oldest that is supported",
            ));
        }
        let has_transactions =
            hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        let status = admin.run_command(doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
        let info = status.get_document("authInfo").cloned().unwrap_or_default();
        let roles = info.get_array("authenticatedUserRoles").into_iter().flatten().filter_map(privileged);
        let mut privileged: Vec<String> = roles.collect();
        if privileged.is_empty() {
            privileged = powerful(&info);
        }
        Ok(Self { has_transactions, privileged })
    }

    /// Why the login may not be used, if it may not.
    pub(super) fn role_objection(&self, allowed: bool) -> Option<ExecutionError> {
        if allowed || self.privileged.is_empty() {
            return None;
        }
        Some(ExecutionError::RoleNotAllowed {
            reason: format!(
                "The portal's user on this instance has more rights than queries need ({}). An admin has to give it a \
                 user with fewer, or allow a privileged role for the instance.",
                self.privileged.join(", ")
            ),
        })
    }
}

fn privileged(role: &Bson) -> Option<String> {
    let role = role.as_document()?;
    let name = role.get_str("role").ok()?;
    PRIVILEGED.contains(&name).then(|| format!("{name} on {}", role.get_str("db").unwrap_or("?")))
}

/// What the login may do by other roles than the known ones.
fn powerful(info: &Document) -> Vec<String> {
    let privileges = info.get_array("authenticatedUserPrivileges").into_iter().flatten();
    let actions = privileges.filter_map(|one| one.as_document()?.get_array("actions").ok()).flatten();
    let mut found: Vec<String> = actions
        .filter_map(Bson::as_str)
        .filter(|action| POWERFUL.contains(action))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The server's version in its own words.
pub(crate) async fn version(client: &Client) -> Result<String, mongodb::error::Error> {
    let info = client.database("admin").run_command(doc! { "buildInfo": 1 }).await?;
    Ok(info.get_str("version").unwrap_or_default().to_owned())
}
