//! What a server is, and what the portal's login may do there.

use bson::{Bson, Document, doc};
use domain::ports::ExecutionError;
use mongodb::Client;

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

/// MongoDB 4.4.
const OLDEST_WIRE_VERSION: i32 = 9;

/// What is known of a server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Whether it is a member of a replica set, or stands before shards: then it has transactions.
    pub(crate) has_transactions: bool,
    /// The roles of the login that the portal does not use unless the target says so.
    privileged: Vec<String>,
}

impl Server {
    pub(super) async fn ask(client: &Client) -> Result<Self, mongodb::error::Error> {
        let admin = client.database("admin");
        let hello = admin.run_command(doc! { "hello": 1 }).await?;
        if number(&hello, "maxWireVersion").is_some_and(|version| version < OLDEST_WIRE_VERSION) {
            return Err(mongodb::error::Error::custom(
                "the server is older than MongoDB 4.4, the oldest that is supported",
            ));
        }
        let has_transactions =
            hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        let status = admin.run_command(doc! { "connectionStatus": 1 }).await?;
        let roles = status.get_document("authInfo").and_then(|info| info.get_array("authenticatedUserRoles"));
        let privileged = roles.into_iter().flatten().filter_map(privileged).collect();
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

/// The server's version in its own words.
pub(crate) async fn version(client: &Client) -> Result<String, mongodb::error::Error> {
    let info = client.database("admin").run_command(doc! { "buildInfo": 1 }).await?;
    Ok(info.get_str("version").unwrap_or_default().to_owned())
}

fn number(document: &Document, name: &str) -> Option<i32> {
    match document.get(name)? {
        Bson::Int32(number) => Some(*number),
        Bson::Int64(number) => i32::try_from(*number).ok(),
        _ => None,
    }
}
