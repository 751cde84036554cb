//! A look at a target on an admin's behalf: whether the portal gets in, and which databases there are.

use std::time::Instant;

use async_trait::async_trait;
use domain::execution::Credentials;
use domain::ports::{ExecutionError, Inspection, RoleReport, TargetInspector};
use domain::target::{Engine, Target};
use domain::text::DatabaseName;

use crate::connect::{Endpoint, Failure, Session, rows, timed_out, while_configuring};
use crate::executor::PostgresExecutor;

/// More databases than anybody has. A server that never stops answering must not fill the memory.
const MOST_ROWS: usize = 10_000;

/// Every name says its schema: a database's search path may lead elsewhere first.
const VERSION: &str = "SELECT pg_catalog.current_setting('server_version')";
/// Who the login is, what it may do beside what is granted on single objects, and whether it may change anything in this
/// database. A superuser counts as a member of everything, which says nothing more.
///
/// A member of a role may become that role, whether or not it inherits from it. The roles from which it inherits are
/// looked at with it; `acts` adds those that it would have to become. What it prepares as one it may execute as another,
/// so the way to a table and the right to change it need not belong to the same role. Functions that change something in
/// their owner's name are not looked for.
const ROLE: &str = "SET LOCAL ROLE NONE;
    WITH own AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) session_user),
    acts AS MATERIALIZED (SELECT of.oid FROM own, pg_catalog.pg_roles AS of
        WHERE of.oid OPERATOR(pg_catalog.=) own.oid OR (NOT own.rolsuper
            AND pg_catalog.pg_has_role(own.oid, of.oid, 'MEMBER')
            AND NOT pg_catalog.pg_has_role(own.oid, of.oid, 'USAGE'))),
    ways AS MATERIALIZED (SELECT its.oid FROM pg_catalog.pg_namespace AS its
        WHERE its.nspname OPERATOR(pg_catalog.!~) '^(pg_|information_schema$)' AND EXISTS (
            SELECT FROM acts WHERE pg_catalog.has_schema_privilege(acts.oid, its.oid, 'USAGE, CREATE')))
    SELECT 'name', rolname::pg_catalog.text FROM own
    UNION ALL SELECT 'privilege', held.name FROM own, LATERAL (VALUES ('superuser', own.rolsuper),
            ('createrole', own.rolcreaterole), ('createdb', own.rolcreatedb), ('replication', own.rolreplication),
            ('bypassrls', own.rolbypassrls)) AS held (name, yes) WHERE held.yes
    UNION ALL SELECT 'member', of.rolname::pg_catalog.text FROM own, pg_catalog.pg_roles AS of
        WHERE NOT own.rolsuper AND of.oid OPERATOR(pg_catalog.<>) own.oid
            AND pg_catalog.pg_has_role(own.oid, of.oid, 'MEMBER')
    UNION ALL SELECT 'may_write', (NOT pg_catalog.pg_is_in_recovery() AND (own.rolsuper
        OR EXISTS (SELECT FROM acts
            WHERE pg_catalog.has_database_privilege(acts.oid, pg_catalog.current_database(), 'CREATE'))
        OR EXISTS (SELECT FROM ways, acts WHERE pg_catalog.has_schema_privilege(acts.oid, ways.oid, 'CREATE'))
        OR EXISTS (SELECT FROM pg_catalog.pg_class AS of
            JOIN ways ON ways.oid OPERATOR(pg_catalog.=) of.relnamespace CROSS JOIN acts
            WHERE of.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'v', 'f']::pg_catalog.\"char\"[])
                AND (pg_catalog.has_table_privilege(acts.oid, of.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                    OR pg_catalog.has_any_column_privilege(acts.oid, of.oid, 'INSERT, UPDATE')
                    OR pg_catalog.pg_has_role(acts.oid, of.relowner, 'MEMBER')))))::pg_catalog.text FROM own";
const DATABASES: &str = "SELECT datname FROM pg_catalog.pg_database
    WHERE datallowconn AND NOT datistemplate AND pg_catalog.has_database_privilege(oid, 'CONNECT')";

#[async_trait]
impl TargetInspector for PostgresExecutor {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn inspect(
        &self,
        target: &Target,
        database: &DatabaseName,
        credentials: &Credentials,
    ) -> Result<Inspection, ExecutionError> {
        let limit = self.connect_timeout();
        let look = async {
            let session = self.open(&Endpoint::new(target, database, credentials)).await?;
            if let Some(objection) = session.role_objection(target.allow_privileged_role) {
                return Err(objection);
            }
            let asked = Instant::now();
            let server_version = texts(&session, VERSION).await?.pop().unwrap_or_default();
            let latency = asked.elapsed();
            let role = role(&session).await?;
            let mut databases: Vec<DatabaseName> = texts(&session, DATABASES)
                .await?
                .iter()
                // What the portal could not name in a request is of no use in its list.
                .filter_map(|name| DatabaseName::parse(name).ok())
                .collect();
            databases.sort();
            session.close().await;
            Ok(Inspection { server_version, latency, role, databases })
        };
        match tokio::time::timeout(limit, look).await {
            Ok(looked) => looked,
            Err(_elapsed) => Err(timed_out(limit)),
        }
    }
}

async fn role(session: &Session) -> Result<RoleReport, ExecutionError> {
    let found =
        rows(&session.client, ROLE, MOST_ROWS + 1).await.map_err(|error| while_configuring(&error))?;
    if found.len() > MOST_ROWS {
        return Err(Failure::Unexpected.into());
    }
    let mut report = RoleReport::default();
    for row in &found {
        let (kind, said) = (row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default().to_owned());
        match kind {
            "name" => report.name = said,
            "privilege" => report.privileges.push(said),
            "member" => report.member_of.push(said),
            _ => report.may_write = Some(said == "true"),
        }
    }
    report.privileges.sort();
    report.member_of.sort();
    Ok(report)
}

/// The first column of all rows.
async fn texts(session: &Session, query: &str) -> Result<Vec<String>, ExecutionError> {
    let found =
        rows(&session.client, query, MOST_ROWS + 1).await.map_err(|error| while_configuring(&error))?;
    if found.len() > MOST_ROWS {
        return Err(Failure::Unexpected.into());
    }
    Ok(found.iter().filter_map(|row| row.get(0)).map(str::to_owned).collect())
}
