//! One session on a target: opened, looked at, used for one execution, closed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::execution::{Credentials, ExecutionOrder, Notice};
use domain::ports::ExecutionError;
use domain::services::error_chain;
use domain::target::{Target, TlsMode};
use domain::text::DatabaseName;
use domain::watch::Stoppable;
use futures_util::TryStreamExt as _;
use secrecy::ExposeSecret;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

use super::carrier::Carrier;
use super::driver::Driver;
use super::failure::{Failure, while_connecting};
use super::guard::{Guard, TooLong};
use super::tls::{Tls, TlsSettings};

/// Who a login really is. Members can take a role's rights with `set_config('role', ...)`, so membership counts.
/// Every name says its schema: a database's search path may lead elsewhere first. A login may begin with another
/// role than its own, which need not see the session of the login.
const FACTS: &str = "SET LOCAL ROLE NONE; SELECT pg_catalog.current_setting('server_version_num'), (
    SELECT pg_catalog.string_agg(CASE WHEN rolsuper THEN 'superuser' ELSE rolname::pg_catalog.text END, ', ')
    FROM pg_catalog.pg_roles
    WHERE (rolsuper OR rolname OPERATOR(pg_catalog.=) ANY (ARRAY['pg_execute_server_program',
            'pg_read_server_files', 'pg_write_server_files']::pg_catalog.name[]))
        AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER')), pg_catalog.pg_backend_pid(), (
    SELECT EXTRACT(EPOCH FROM backend_start) FROM pg_catalog.pg_stat_activity
    WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())";

/// With it the server notices within half a second that its client is gone. Some platforms cannot do that.
const CHECK_INTERVAL: &str = "SET client_connection_check_interval = 500";

const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// How long a session may take to end by force, the connection for that included.
const END_LIMIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

const OLDEST: i32 = 140_000;

/// What holds for all connections of an executor.
pub(crate) struct ConnectSettings {
    pub(crate) tls: TlsSettings,
    /// Longest time for a connection, its login included.
    pub(crate) timeout: Duration,
    /// The longest message that is taken from a server.
    pub(crate) max_message: usize,
}

/// Where a session leads to, and with which login.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: TlsMode,
    pub(crate) database: DatabaseName,
    pub(crate) credentials: Credentials,
}

impl Endpoint {
    pub(crate) fn of(order: &ExecutionOrder) -> Self {
        Self::new(&order.target, &order.database, &order.credentials)
    }

    pub(crate) fn new(target: &Target, database: &DatabaseName, credentials: &Credentials) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            tls: target.tls,
            database: database.clone(),
            credentials: credentials.clone(),
        }
    }

    fn config(&self, timeout: Duration) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.credentials.username)
            .password(self.credentials.password.expose_secret())
            .dbname(self.database.as_str())
            .application_name("query-portal")
            .connect_timeout(timeout)
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_mins(1));
        config
    }
}

/// What serves a session. Numbers are used again, so the time of its start belongs to it.
struct Process {
    id: i32,
    started: String,
}

/// An open session. Dropping it closes the socket.
pub(crate) struct Session {
    /// The connection ends when the last one who shares this is gone.
    pub(crate) client: Arc<Client>,
    driver: Driver,
    carrier: Carrier,
    tls: Tls,
    guard: Guard,
    server_process: Process,
    /// The rights beyond a database's, if the role has any.
    privileged: Option<String>,
}

impl Stoppable for Session {
    async fn ask_to_stop(&self) {
        self.cancel().await;
    }
}

impl Session {
    /// Connects and finds out who the login is. Takes no longer than the settings' time altogether.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        settings: &ConnectSettings,
    ) -> Result<Self, ExecutionError> {
        let tls = settings.tls.of(endpoint.tls).map_err(|error| Failure::Tls(error.to_string()))?;
        let guard = Guard::new(settings.max_message);
        let timeout = settings.timeout;
        match tokio::time::timeout(timeout, Self::connect(endpoint, tls, guard, timeout)).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(Failure::TimedOut(timeout).into()),
        }
    }

    async fn connect(
        endpoint: &Endpoint,
        tls: Tls,
        guard: Guard,
        timeout: Duration,
    ) -> Result<Self, ExecutionError> {
        let carrier = Carrier::new(&endpoint.host, endpoint.port, tls.clone(), guard.clone());
        let (client, driver) = carrier.open(endpoint.config(timeout)).await?;
        let (facts, _platform_may_refuse) =
            futures_util::future::join(rows(&client, FACTS, 1), client.batch_execute(CHECK_INTERVAL)).await;
        let facts = facts.map_err(|error| while_connecting(&error))?;
        let row = facts.first().ok_or(Failure::Unexpected)?;
        let text = |at| row.try_get(at).ok().flatten().ok_or(Failure::Unexpected);
        let number = |at| text(at)?.parse::<i32>().map_err(|_| Failure::Unexpected);
        let version = number(0)?;
        if version < OLDEST {
            return Err(Failure::TooOld(version).into());
        }
        let privileged = row.try_get(1).map_err(|_| Failure::Unexpected)?.map(str::to_owned);
        let server_process = Process { id: number(2)?, started: text(3)?.to_owned() };
        Ok(Self { client: Arc::new(client), driver, carrier, tls, guard, server_process, privileged })
    }

    /// What speaks against a role that reaches further than the target's entry says.
    pub(crate) fn role_objection(&self, allow_privileged: bool) -> Option<ExecutionError> {
        let rights = self.privileged.as_ref().filter(|_| !allow_privileged)?;
        Some(ExecutionError::RoleNotAllowed {
            reason: format!(
                "the target's role has rights beyond its databases ({rights}), and the target does not allow \
                 such a role"
            ),
        })
    }

    /// Sets what one execution needs. An error other than the server's own means that the session is dead.
    pub(crate) async fn configure(&self, order: &ExecutionOrder) -> Result<(), tokio_postgres::Error> {
        let timeout = milliseconds(order.limits.timeout);
        let lock_timeout = milliseconds(order.limits.lock_timeout);
        let application = format!("query-portal/{}", order.request);
        let mut settings = vec![
            ("application_name", application.as_str()),
            ("statement_timeout", timeout.as_str()),
            ("idle_in_transaction_session_timeout", timeout.as_str()),
            ("lock_timeout", lock_timeout.as_str()),
            ("standard_conforming_strings", "on"),
            ("DateStyle", "ISO"),
            ("IntervalStyle", "postgres"),
            ("bytea_output", "hex"),
            ("extra_float_digits", "1"),
            ("client_encoding", "UTF8"),
        ];
        if order.read_only {
            // The transaction is read-only in any case; this is for what might come after it.
            settings.push(("default_transaction_read_only", "on"));
        }
        if let Some(path) = &order.target.search_path {
            settings.push(("search_path", path.as_str()));
        }
        let calls: Vec<String> = (0..settings.len())
            .map(|n| format!("pg_catalog.set_config(${}, ${}, false)", 2 * n + 1, 2 * n + 2))
            .collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = settings
            .iter()
            .flat_map(|(name, value)| {
                [(name as &(dyn ToSql + Sync), Type::TEXT), (value as &(dyn ToSql + Sync), Type::TEXT)]
            })
            .collect();
        self.client.query_typed(&format!("SELECT {}", calls.join(", ")), &parameters).await?;
        // What was said until now does not belong to the execution.
        self.driver.take_notices();
        Ok(())
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        self.driver.take_notices()
    }

    /// The message for which the connection was ended, if it was. Nothing was sent since.
    pub(crate) fn too_long(&self) -> Option<TooLong> {
        self.guard.tripped()
    }

    /// Asks the server to stop what it does for this session; an unanswered request is given up soon.
    pub(crate) async fn cancel(&self) {
        self.ask_to_cancel(false).await;
    }

    /// The same for a session that goes on: no later statement is hit by this request.
    pub(crate) async fn cancel_to_the_end(&self) {
        self.ask_to_cancel(true).await;
    }

    async fn ask_to_cancel(&self, to_the_end: bool) {
        let asking = self.carrier.cancel(self.client.cancel_token(), to_the_end);
        let asked = tokio::time::timeout(CANCEL_LIMIT, asking).await;
        if asked.is_err() {
            tracing::debug!("the target did not take a cancel request in time");
        }
    }

    /// Ends what the server does for this session, from another one. Returns whether it has certainly ended, its
    /// transaction and its locks with it.
    pub(crate) async fn terminate(&self, endpoint: &Endpoint) -> bool {
        let ended = tokio::time::timeout(END_LIMIT, self.end_from_outside(endpoint)).await;
        let ended = matches!(ended, Ok(Ok(())));
        if !ended {
            tracing::warn!("a session on the target that does not answer could not be ended");
        }
        ended
    }

    async fn end_from_outside(&self, endpoint: &Endpoint) -> Result<(), ExecutionError> {
        let other =
            Box::pin(Self::connect(endpoint, self.tls.clone(), self.guard.afresh(), CANCEL_LIMIT)).await?;
        let Process { id, started } = &self.server_process;
        let end = format!(
            "SET LOCAL ROLE NONE; SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
             WHERE pid OPERATOR(pg_catalog.=) {id}
                AND EXTRACT(EPOCH FROM backend_start) OPERATOR(pg_catalog.=) {started}::pg_catalog.numeric"
        );
        loop {
            let found = rows(&other.client, &end, 1).await.map_err(|error| while_configuring(&error))?;
            if found.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        other.close().await;
        Ok(())
    }

    /// Ends the session politely.
    pub(crate) async fn close(self) {
        let Self { client, driver, .. } = self;
        drop(client);
        driver.finish().await;
    }
}

/// The rows of a query, at most as many as asked for. It is read to its end for an error that comes late, and what is
/// not asked for is not kept: no server may fill the memory.
pub(crate) async fn rows(
    client: &Client,
    query: &str,
    most: usize,
) -> Result<Vec<SimpleQueryRow>, tokio_postgres::Error> {
    let mut messages = pin!(client.simple_query_raw(query).await?);
    let mut rows = vec![];
    while let Some(message) = messages.try_next().await? {
        if let SimpleQueryMessage::Row(row) = message
            && rows.len() < most
        {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// For settings where 0 would mean "no limit"; the server takes no more than an `int4`.
fn milliseconds(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX.cast_unsigned().into()).to_string()
}

/// The error of somebody who waited for a target for this long.
pub(crate) fn timed_out(limit: Duration) -> ExecutionError {
    Failure::TimedOut(limit).into()
}

/// An error of [`Session::configure`] as an execution's.
pub(crate) fn while_configuring(error: &tokio_postgres::Error) -> ExecutionError {
    match error.as_db_error() {
        Some(_) => while_connecting(error),
        None => Failure::Network(error_chain(error)).into(),
    }
}
