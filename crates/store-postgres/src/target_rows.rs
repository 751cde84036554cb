//! PODs, targets and their databases as rows.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::StoreError;
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, DatabaseSource, Engine, Limits, SlackResults, Target,
    TargetDatabase, TlsMode,
};
use domain::text::{DatabaseName, DisplayName, Email};
use futures_util::try_join;

use crate::rows::{RowReader, to_bigint, to_millis};
use crate::schema::{database_instances, databases, instance_pods, pods};

#[derive(Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = pods, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
pub(crate) struct PodRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manager_email: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) slack_channel: Option<String>,
    pub(crate) is_active: bool,
}

impl PodRow {
    pub(crate) fn of(pod: &Pod) -> Self {
        Self {
            id: pod.id.as_str().to_owned(),
            name: pod.name.as_str().to_owned(),
            manager_email: pod.manager_email.as_ref().map(|email| email.as_str().to_owned()),
            description: pod.description.clone(),
            slack_channel: pod.slack_channel.clone(),
            is_active: pod.active,
        }
    }

    pub(crate) fn read(self) -> Result<Pod, StoreError> {
        let row = RowReader::new("pods", &self.id);
        Ok(Pod {
            id: row.checked("id", PodId::parse(&self.id))?,
            name: row.checked("name", DisplayName::parse(&self.name))?,
            manager_email: self
                .manager_email
                .map(|email| row.checked("manager_email", Email::parse(&email)))
                .transpose()?,
            description: self.description,
            slack_channel: self.slack_channel,
            active: self.is_active,
        })
    }
}

/// An instance without what the store itself keeps about it.
#[derive(Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = database_instances, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
pub(crate) struct InstanceRow {
    pub(crate) id: String,
    name: String,
    engine: String,
    host: String,
    port: i32,
    connection_options: Option<String>,
    tls_mode: String,
    description: Option<String>,
    credential_source: String,
    credential_reference: String,
    connection_revision: i32,
    bound_revision: Option<i32>,
    is_active: bool,
    read_only: bool,
    allow_privileged_role: bool,
    allow_other_databases: bool,
    allow_server_javascript: bool,
    search_path: Option<String>,
    timeout_ms: i64,
    lock_timeout_ms: i64,
    max_rows: i64,
    max_bytes: i64,
    approvals_needed: i32,
    approval_ttl_ms: i64,
    slack_results: String,
    slack_decisions: bool,
}

impl InstanceRow {
    pub(crate) fn of(target: &Target) -> Result<Self, StoreError> {
        Ok(Self {
            id: target.id.as_str().to_owned(),
            name: target.name.as_str().to_owned(),
            engine: target.engine.as_str().to_owned(),
            host: target.host.clone(),
            port: i32::from(target.port),
            connection_options: target.connection_options.clone(),
            tls_mode: target.tls.as_str().to_owned(),
            description: target.description.clone(),
            credential_source: target.credentials.source.as_str().to_owned(),
            credential_reference: target.credentials.reference.clone(),
            connection_revision: target.connection_revision,
            bound_revision: target.bound_revision,
            is_active: target.active,
            read_only: target.read_only,
            allow_privileged_role: target.allow_privileged_role,
            allow_other_databases: target.admits.other_databases,
            allow_server_javascript: target.admits.server_javascript,
            search_path: target.search_path.clone(),
            timeout_ms: to_millis(target.limits.timeout)?,
            lock_timeout_ms: to_millis(target.limits.lock_timeout)?,
            max_rows: to_bigint(target.limits.max_rows)?,
            max_bytes: to_bigint(target.limits.max_bytes)?,
            approvals_needed: i32::from(target.approvals_needed),
            approval_ttl_ms: to_millis(target.approval_ttl)?,
            slack_results: target.slack_results.as_str().to_owned(),
            slack_decisions: target.slack_decisions,
        })
    }

    pub(crate) fn read(self, pods: Vec<String>) -> Result<Target, StoreError> {
        let row = RowReader::new("database_instances", &self.id);
        Ok(Target {
            id: row.checked("id", InstanceId::parse(&self.id))?,
            name: row.checked("name", DisplayName::parse(&self.name))?,
            engine: row.present("type", Engine::parse(&self.engine))?,
            description: self.description,
            host: self.host,
            port: row.number("port", i64::from(self.port))?,
            connection_options: self.connection_options,
            tls: row.present("tls_mode", TlsMode::parse(&self.tls_mode))?,
            credentials: CredentialRef {
                source: row
                    .present("credential_source", CredentialSourceKind::parse(&self.credential_source))?,
                reference: self.credential_reference,
            },
            connection_revision: self.connection_revision,
            bound_revision: self.bound_revision,
            active: self.is_active,
            read_only: self.read_only,
            allow_privileged_role: self.allow_privileged_role,
            admits: Admits {
                other_databases: self.allow_other_databases,
                server_javascript: self.allow_server_javascript,
            },
            search_path: self.search_path,
            limits: Limits {
                timeout: row.millis("timeout_ms", self.timeout_ms)?,
                lock_timeout: row.millis("lock_timeout_ms", self.lock_timeout_ms)?,
                max_rows: row.number("max_rows", self.max_rows)?,
                max_bytes: row.number("max_bytes", self.max_bytes)?,
            },
            approvals_needed: row.number("approvals_needed", i64::from(self.approvals_needed))?,
            approval_ttl: row.millis("approval_ttl_ms", self.approval_ttl_ms)?,
            pods: pods
                .iter()
                .map(|pod| row.checked("instance_pods.pod_id", PodId::parse(pod)))
                .collect::<Result<_, _>>()?,
            slack_results: row.present("slack_results", SlackResults::parse(&self.slack_results))?,
            slack_decisions: self.slack_decisions,
        })
    }
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = databases, check_for_backend(diesel::pg::Pg))]
pub(crate) struct DatabaseRow {
    id: i64,
    name: String,
    description: Option<String>,
    source: String,
    is_active: bool,
    last_seen_at: Option<DateTime<Utc>>,
}

impl DatabaseRow {
    pub(crate) fn read(self) -> Result<TargetDatabase, StoreError> {
        let row = RowReader::new("databases", self.id);
        Ok(TargetDatabase {
            name: row.checked("name", DatabaseName::parse(&self.name))?,
            description: self.description,
            source: row.present("source", DatabaseSource::parse(&self.source))?,
            active: self.is_active,
            last_seen_at: self.last_seen_at,
        })
    }
}

pub(crate) async fn find_pod(mut connection: &AsyncPgConnection, id: &str) -> QueryResult<Option<PodRow>> {
    pods::table.find(id).select(PodRow::as_select()).get_result(&mut connection).await.optional()
}

/// An instance with the ids of its PODs, in the order of the ids.
pub(crate) async fn find_instance(
    connection: &AsyncPgConnection,
    id: &str,
) -> QueryResult<Option<(InstanceRow, Vec<String>)>> {
    let row = database_instances::table.find(id).select(InstanceRow::as_select());
    let (row, pods) = try_join!(
        async { row.get_result(&mut { connection }).await.optional() },
        pods_of_instance(connection, id)
    )?;
    Ok(row.map(|row| (row, pods)))
}

/// The ids of an instance's PODs, in their order.
pub(crate) async fn pods_of_instance(
    mut connection: &AsyncPgConnection,
    id: &str,
) -> QueryResult<Vec<String>> {
    instance_pods::table
        .filter(instance_pods::instance_id.eq(id))
        .order(instance_pods::pod_id)
        .select(instance_pods::pod_id)
        .load(&mut connection)
        .await
}

/// Locks an instance with its PODs and databases until the end of the transaction. False when there is none.
pub(crate) async fn lock_instance(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<bool> {
    let found: Option<String> = database_instances::table
        .find(id)
        .select(database_instances::id)
        .for_no_key_update()
        .get_result(connection)
        .await
        .optional()?;
    Ok(found.is_some())
}

pub(crate) async fn find_database(
    mut connection: &AsyncPgConnection,
    instance: &str,
    name: &str,
) -> QueryResult<Option<DatabaseRow>> {
    databases::table
        .filter(databases::instance_id.eq(instance))
        .filter(databases::name.eq(name))
        .select(DatabaseRow::as_select())
        .get_result(&mut connection)
        .await
        .optional()
}
