//! News from all portal processes, by `LISTEN` on a connection of its own.

use std::fmt;
use std::time::Duration;

use domain::ports::{Change, ChangeFeed};
use futures_util::{StreamExt, stream};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::AsyncMessage;

use crate::announce::{CHANNEL, decode};
use crate::config::{InvalidStoreConfig, StoreConfig};
use crate::pool::chain;
use crate::tls::Connector;

/// News that a slow receiver may be behind; older ones are lost to it, and it has to look by itself.
const BACKLOG: usize = 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that says nothing for this long is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(30);

/// Listens until it is dropped, and connects again whenever the connection is lost.
pub struct PgChangeFeed {
    sender: broadcast::Sender<Change>,
    listener: AbortHandle,
}

impl fmt::Debug for PgChangeFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgChangeFeed").finish_non_exhaustive()
    }
}

impl PgChangeFeed {
    /// Starts to listen, on the runtime that this is called from. The database may be away.
    pub fn start(config: &StoreConfig) -> Result<Self, InvalidStoreConfig> {
        let connector = config.connector()?;
        let (sender, _) = broadcast::channel(BACKLOG);
        let listener = tokio::spawn(listen_for_ever(connector, sender.clone())).abort_handle();
        Ok(Self { sender, listener })
    }
}

impl Drop for PgChangeFeed {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl ChangeFeed for PgChangeFeed {
    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.sender.subscribe()
    }
}

async fn listen_for_ever(connector: Connector, sender: broadcast::Sender<Change>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut listened = false;
        let reason = listen(&connector, &sender, &mut listened).await;
        // News may have been missed: whoever waits had better look.
        tell(&sender, Change::Jobs);
        if listened {
            pause = FIRST_PAUSE;
            tracing::warn!(reason, "the connection for news was lost; connecting again");
        } else {
            tracing::debug!(reason, "the connection for news could not be opened");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens on one connection, and returns why it ended.
async fn listen(connector: &Connector, sender: &broadcast::Sender<Change>, listened: &mut bool) -> String {
    let (client, mut connection) = match connector.connect().await {
        Ok(connected) => connected,
        Err(reason) => return reason,
    };
    let (forward, mut payloads) = mpsc::unbounded_channel();
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let _driven = AbortOnDrop(tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(news)) => {
                    if forward.send(news.payload().to_owned()).is_err() {
                        return String::new();
                    }
                }
                Ok(_) => {}
                Err(error) => return chain(&error),
            }
        }
        "the server closed the connection".to_owned()
    }));
    if let Err(error) = client.batch_execute(&format!("LISTEN {CHANNEL}")).await {
        return chain(&error);
    }
    *listened = true;
    // From here on nothing is missed; what happened before may have been.
    tell(sender, Change::Jobs);
    loop {
        match tokio::time::timeout(QUIET, payloads.recv()).await {
            Ok(Some(payload)) => {
                if let Some(change) = decode(&payload) {
                    tell(sender, change);
                }
            }
            Ok(None) => return "the connection ended".to_owned(),
            Err(_quiet) => {
                match tokio::time::timeout(LONGEST_PAUSE, client.batch_execute("SELECT 1")).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return chain(&error),
                    Err(_elapsed) => return "the server does not answer".to_owned(),
                }
            }
        }
    }
}

/// Nobody may be listening, which is fine.
fn tell(sender: &broadcast::Sender<Change>, change: Change) {
    let _ = sender.send(change);
}

struct AbortOnDrop(JoinHandle<String>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
