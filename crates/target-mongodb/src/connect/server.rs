//! What a server is, and what the portal's login may do there.

use bson::{Bson, Document, doc};
use domain::ports::{ExecutionError, RoleReport};
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

/// Actions that change what people keep.
const WRITING: &[&str] = &[
    "anyAction",
    "createCollection",
    "createIndex",
    "dropCollection",
    "dropDatabase",
    "insert",
    "remove",
    "update",
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
    role: RoleReport,
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
        let role = role(&info, &privileged);
        Ok(Self { has_transactions, privileged, role })
    }

    pub(crate) fn role(&self) -> &RoleReport {
        &self.role
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

/// The login as the server knows it. Whether it may write is asked of all databases together.
fn role(info: &Document, privileged: &[String]) -> RoleReport {
    let named = |entry: &Bson, key: &str| {
        let entry = entry.as_document()?;
        Some(format!("{}@{}", entry.get_str(key).ok()?, entry.get_str("db").unwrap_or("?")))
    };
    let mut users = info.get_array("authenticatedUsers").into_iter().flatten();
    let roles = info.get_array("authenticatedUserRoles").into_iter().flatten();
    let mut member_of: Vec<String> = roles.filter_map(|entry| named(entry, "role")).collect();
    member_of.sort();
    let may_write = info
        .get_array("authenticatedUserPrivileges")
        .ok()
        .map(|_| actions(info).any(|action| WRITING.contains(&action)));
    RoleReport {
        name: users.find_map(|entry| named(entry, "user")).unwrap_or_default(),
        privileges: privileged.to_vec(),
        member_of,
        may_write,
    }
}

fn actions(info: &Document) -> impl Iterator<Item = &str> {
    let privileges = info.get_array("authenticatedUserPrivileges").into_iter().flatten();
    let of_people = privileges.filter(|one| !is_of_server(one));
    of_people
        .filter_map(|one| one.as_document()?.get_array("actions").ok())
        .flatten()
        .filter_map(Bson::as_str)
}

/// Whether a privilege is about the server's own collections, which every login may touch a little.
fn is_of_server(privilege: &Bson) -> bool {
    let resource = privilege.as_document().and_then(|one| one.get_document("resource").ok());
    resource.is_some_and(|resource| {
        resource.get_str("collection").is_ok_and(|name| name.starts_with("system."))
            || matches!(resource.get_str("db"), Ok("local" | "config" | "admin"))
    })
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
