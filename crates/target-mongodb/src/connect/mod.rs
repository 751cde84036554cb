//! Clients of the driver, one for each target and login, kept while they are used.
//!
//! A client is a pool of connections and a watch over the deployment's members. It holds the password: it lives here
//! and in the driver, and is shown nowhere.

mod failure;
mod options;
mod server;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::ending::lost;
use domain::execution::Credentials;
use domain::ports::ExecutionError;
use domain::target::Target;
use mongodb::Client;
use secrecy::{ExposeSecret as _, SecretString};

use crate::executor::MongoExecutorConfig;

pub(crate) use failure::{chain, not_connected, refused};
pub(crate) use server::{Server, version};

/// How long what was learnt of a server and of the login's role is believed.
const BELIEVED: Duration = Duration::from_secs(10);

/// The most clients that are kept. Each watches over the members of its deployment.
const MOST_CLIENTS: usize = 256;

/// A client, and what is known of the server behind it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) server: Server,
    /// A request to end a session of this client was not answered and may still come to act, so no session of it is used
    /// again.
    pub(crate) spoiled: Arc<AtomicBool>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    port: u16,
    options: Option<String>,
    tls: &'static str,
    username: String,
}

impl Key {
    fn of(target: &Target, credentials: &Credentials) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            options: target.connection_options.clone(),
            tls: target.tls.as_str(),
            username: credentials.username.clone(),
        }
    }
}

struct Kept {
    link: Link,
    password: SecretString,
    looked_at: Instant,
    used_at: Instant,
}

/// The clients of this process.
pub(crate) struct Clients {
    config: MongoExecutorConfig,
    kept: Mutex<HashMap<Key, Kept>>,
}

impl Clients {
    pub(crate) fn new(config: MongoExecutorConfig) -> Self {
        Self { config, kept: Mutex::default() }
    }

    pub(crate) fn config(&self) -> &MongoExecutorConfig {
        &self.config
    }

    /// A client for this target and login, of which the role is one that the target accepts.
    pub(crate) async fn link(
        &self,
        target: &Target,
        credentials: &Credentials,
    ) -> Result<Link, ExecutionError> {
        let key = Key::of(target, credentials);
        let kept = self.kept(&key, credentials);
        let link = match kept {
            Some((link, true)) => link,
            known => {
                let looked = self.look(target, credentials, known.map(|(link, _)| link)).await;
                if looked.is_err() {
                    // Whatever was wrong with it, the next one begins anew.
                    self.lock().remove(&key);
                }
                let link = looked?;
                self.keep(key, link.clone(), credentials);
                link
            }
        };
        match link.server.role_objection(target.allow_privileged_role) {
            Some(objection) => Err(objection),
            None => Ok(link),
        }
    }

    /// Keeps no client of this target and login any more. Executions that use it go on.
    pub(crate) fn forget(&self, target: &Target, credentials: &Credentials) {
        self.lock().remove(&Key::of(target, credentials));
    }

    /// The kept client, and whether what is known of its server is fresh. One that is spoiled, or has another password, is none.
    fn kept(&self, key: &Key, credentials: &Credentials) -> Option<(Link, bool)> {
        let mut all = self.lock();
        let now = Instant::now();
        all.retain(|_, kept| now.duration_since(kept.used_at) < self.config.max_idle);
        let kept = all.get_mut(key)?;
        if kept.link.spoiled.load(Ordering::Relaxed)
            || kept.password.expose_secret() != credentials.password.expose_secret()
        {
            all.remove(key);
            return None;
        }
        kept.used_at = now;
        Some((kept.link.clone(), now.duration_since(kept.looked_at) < BELIEVED))
    }

    fn keep(&self, key: Key, link: Link, credentials: &Credentials) {
        let mut all = self.lock();
        let now = Instant::now();
        if all.len() >= MOST_CLIENTS
            && let Some(oldest) = all.iter().min_by_key(|(_, kept)| kept.used_at).map(|(key, _)| key.clone())
        {
            all.remove(&oldest);
        }
        let password = credentials.password.clone();
        all.insert(key, Kept { link, password, looked_at: now, used_at: now });
    }

    /// Connects where there is no client yet, and asks the server what it is and who we are there.
    async fn look(
        &self,
        target: &Target,
        credentials: &Credentials,
        known: Option<Link>,
    ) -> Result<Link, ExecutionError> {
        let work = async {
            let (client, spoiled) = match known {
                Some(link) => (link.client, link.spoiled),
                None => (options::client(target, credentials, &self.config).await?, Arc::default()),
            };
            let server = Server::ask(&client).await.map_err(|error| not_connected(&error))?;
            Ok(Link { client, server, spoiled })
        };
        // The driver has the same limit for the choice of a server; this one holds for all of it.
        match tokio::time::timeout(self.config.connect_timeout * 2, work).await {
            Ok(looked) => looked,
            Err(_elapsed) => Err(lost("the server did not answer in time")),
        }
    }

    /// The map is whole between any two statements above, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
