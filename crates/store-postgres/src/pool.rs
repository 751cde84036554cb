//! Connections to the portal database, and transactions on them.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{Hook, HookError};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use domain::ports::{Change, StoreError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::announce::announce;
use crate::config::{InvalidStoreConfig, StoreConfig};
use crate::error::{is_broken, store_error, unavailable};
use crate::tls::Connector;

/// A connection that was idle for longer than this is tried before it is used: firewalls forget.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);

/// The connections that all adapters of a process share. Clones are the same store.
#[derive(Clone)]
pub struct PgStore {
    pool: Pool<AsyncPgConnection>,
    acquire_timeout: Duration,
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").finish_non_exhaustive()
    }
}

impl PgStore {
    /// Prepares the connections without opening one: a portal starts, and says that it is not ready, while its
    /// database is away.
    pub fn connect(config: &StoreConfig) -> Result<Self, InvalidStoreConfig> {
        let connector = config.connector()?;
        let mut manager = ManagerConfig::default();
        manager.recycling_method = RecyclingMethod::Fast;
        manager.custom_setup = Box::new(move |_| open(connector.clone()).boxed());
        // The URL stays in the driver's settings, where nothing prints it.
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), manager);
        let pool = Pool::builder(manager)
            .max_size(config.max_connections.max(1))
            .wait_timeout(Some(config.acquire_timeout))
            .create_timeout(Some(config.connect_timeout))
            .recycle_timeout(Some(config.connect_timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(|connection: &mut AsyncPgConnection, metrics| {
                let idle = metrics.last_used();
                async move {
                    if idle <= TRUSTED_IDLE {
                        return Ok(());
                    }
                    connection
                        .batch_execute("SELECT 1")
                        .await
                        .map_err(|e| HookError::Backend(PoolError::QueryError(e)))
                }
                .boxed()
            }))
            .build()
            .map_err(|error| InvalidStoreConfig(error.to_string()))?;
        Ok(Self { pool, acquire_timeout: config.acquire_timeout })
    }

    /// Takes a connection, waiting no longer than the configured time.
    pub(crate) async fn connection(&self) -> Result<Connection, StoreError> {
        match tokio::time::timeout(self.acquire_timeout, self.pool.get()).await {
            Ok(taken) => taken.map_err(unavailable),
            Err(elapsed) => Err(unavailable(elapsed)),
        }
    }

    /// Runs something that may be run twice (a read) on a connection, and once more on a new one when the
    /// first was broken: after a restart of the database every idle connection is.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        F: for<'c> Fn(&'c mut AsyncPgConnection) -> BoxFuture<'c, Result<T, diesel::result::Error>>
            + Send
            + Sync,
        T: Send,
    {
        let mut connection = self.connection().await?;
        match query(&mut connection).await {
            Err(error) if is_broken(&error) => {
                self.forget_idle(connection);
                let mut connection = self.connection().await?;
                query(&mut connection).await.map_err(store_error)
            }
            outcome => outcome.map_err(store_error),
        }
    }

    /// Begins a transaction. A broken connection is replaced once: nothing has happened yet.
    pub(crate) async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut connection = self.connection().await?;
        match AnsiTransactionManager::begin_transaction(&mut *connection).await {
            Ok(()) => Ok(Transaction { connection }),
            Err(error) if is_broken(&error) => {
                self.forget_idle(connection);
                let mut connection = self.connection().await?;
                AnsiTransactionManager::begin_transaction(&mut *connection).await.map_err(store_error)?;
                Ok(Transaction { connection })
            }
            Err(error) => Err(store_error(error)),
        }
    }

    /// Drops a broken connection and every idle one: where one is broken, the others likely are.
    fn forget_idle(&self, broken: Connection) {
        drop(Object::take(broken));
        self.pool.retain(|_, _| false);
    }
}

pub(crate) type Connection = Object<AsyncPgConnection>;

/// A transaction that rolls back when it is dropped: the pool closes a connection that comes back inside of one.
/// [`Transaction::rollback`] keeps the connection, for outcomes that are not rare.
pub(crate) struct Transaction {
    connection: Connection,
}

impl Transaction {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        self.commit_and_announce(&[]).await
    }

    /// Commits, and then tells the other processes.
    pub(crate) async fn commit_and_announce(mut self, changes: &[Change]) -> Result<(), StoreError> {
        AnsiTransactionManager::commit_transaction(&mut *self.connection).await.map_err(store_error)?;
        announce(&mut self.connection, changes).await;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        AnsiTransactionManager::rollback_transaction(&mut *self.connection).await.map_err(store_error)
    }
}

impl Deref for Transaction {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

async fn open(connector: Connector) -> diesel::ConnectionResult<AsyncPgConnection> {
    let (client, connection) = connector.connect().await.map_err(diesel::ConnectionError::BadConnection)?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// An error with its causes: the driver's own text says no more than "error connecting to server".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
