//! What the server's own database role may do: work with the ordinary tables, add to the audit trail, and read
//! what only an installation changes. Everything else, above all changing the trail, is for the owner.

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::migrate::{MigrateError, failed};

const FULL: [&str; 17] = [
    "access_token_blacklist",
    "database_instances",
    "databases",
    "execution_result_chunks",
    "idempotency_keys",
    "instance_pods",
    "jobs",
    "pods",
    "query_requests",
    "refresh_tokens",
    "request_approvals",
    "sealed_credentials",
    "slack_calls",
    "slack_notifications",
    "user_roles",
    "user_token_invalidation",
    "users",
];
const APPEND: [&str; 3] = ["audit_chain", "audit_logs", "script_log"];
const READ: [&str; 2] = ["__diesel_schema_migrations", "roles"];

#[derive(QueryableByName)]
struct Role {
    #[diesel(sql_type = Bool)]
    unlimited: bool,
}

#[derive(QueryableByName)]
struct Schema {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Makes the rights of the role exactly these. Repeating it changes nothing.
pub(crate) async fn grant(connection: &mut AsyncPgConnection, role: &str) -> Result<(), MigrateError> {
    let known: Vec<Role> = diesel::sql_query(
        "SELECT rolsuper OR pg_has_role(oid, current_user, 'MEMBER') AS unlimited FROM pg_roles WHERE rolname = $1",
    )
    .bind::<Text, _>(role)
    .load(connection)
    .await
    .map_err(|error| failed(error.into()))?;
    match known.as_slice() {
        [] => return Err(MigrateError::UnknownRole(role.to_owned())),
        [known, ..] if known.unlimited => return Err(MigrateError::UnlimitedRole(role.to_owned())),
        [_, ..] => {}
    }
    let schema: Schema = diesel::sql_query("SELECT current_schema()::text AS name")
        .get_result(connection)
        .await
        .map_err(|error| failed(error.into()))?;
    connection.batch_execute(&script(&schema.name, role)).await.map_err(|error| failed(error.into()))
}

fn script(schema: &str, role: &str) -> String {
    let (schema, role) = (quoted(schema), quoted(role));
    let mut statements = vec!["BEGIN".to_owned(), format!("GRANT USAGE ON SCHEMA {schema} TO {role}")];
    let mut give = |tables: String, rights: &str| {
        // What an earlier version granted, and this one does not, goes.
        statements.push(format!("REVOKE ALL ON {tables} FROM {role}"));
        statements.push(format!("GRANT {rights} ON {tables} TO {role}"));
    };
    let listed = |tables: &[&str]| {
        let names: Vec<String> = tables.iter().map(|table| format!("{schema}.{}", quoted(table))).collect();
        names.join(", ")
    };
    give(listed(&FULL), "SELECT, INSERT, UPDATE, DELETE");
    give(listed(&APPEND), "SELECT, INSERT");
    give(listed(&READ), "SELECT");
    give(format!("ALL SEQUENCES IN SCHEMA {schema}"), "USAGE");
    statements.push("COMMIT".to_owned());
    statements.join(";\n")
}

/// An identifier as PostgreSQL reads it back.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE users; --"), "\"a\"\"; DROP TABLE users; --\"");
    }
}
