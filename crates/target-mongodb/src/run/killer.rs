//! Ends what a session does on the server, from beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Bson, Document, doc};
use domain::watch::{ASK_AGAIN, Stoppable};
use futures_util::TryStreamExt as _;
use mongodb::Client;
use mongodb::action::{Action as _, RunCommand, RunCursorCommand};
use mongodb::options::SelectionCriteria;
use tokio::time::timeout;

/// How long one request to stop may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Ends what a session does, from another connection.
#[derive(Clone, Debug)]
pub(super) struct Killer {
    client: Client,
    session: Document,
    spoiled: Arc<AtomicBool>,
}

impl Stoppable for Killer {
    async fn ask_to_stop(&self) {
        for at in self.places() {
            // Needs no right: everybody may end their own.
            let kill = self.ask(doc! { "killSessions": [self.session.clone()] }, at);
            if !matches!(timeout(ASK_LIMIT, kill).await, Ok(Ok(_))) {
                self.spoil();
                tracing::debug!("the target did not take a request to end a session in time");
            }
            let Ok(Ok(operations)) = timeout(ASK_LIMIT, self.operations_at(at)).await else { continue };
            for operation in operations {
                let _ = timeout(ASK_LIMIT, self.ask(doc! { "killOp": 1, "op": operation }, at)).await;
            }
        }
    }
}

impl Killer {
    pub(super) fn new(client: Client, session: Document, spoiled: Arc<AtomicBool>) -> Self {
        Self { client, session, spoiled }
    }

    /// Has the client forgotten: whoever comes next begins with a new one.
    pub(super) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Relaxed);
    }

    /// Whether nothing of the session is at work on the server.
    pub(super) async fn is_quiet(&self) -> bool {
        matches!(timeout(ASK_LIMIT, self.operations()).await, Ok(Ok(found)) if found.is_empty())
    }

    /// Asks until that is so.
    pub(super) async fn make_quiet(&self) -> bool {
        for _ in 0..5 {
            self.ask_to_stop().await;
            if self.is_quiet().await {
                return true;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        false
    }

    /// Where the session may have something at work: the primary, and where reads go.
    fn places(&self) -> impl Iterator<Item = Option<&SelectionCriteria>> {
        std::iter::once(None).chain(self.client.selection_criteria().map(Some))
    }

    async fn ask(
        &self,
        command: Document,
        at: Option<&SelectionCriteria>,
    ) -> Result<Document, mongodb::error::Error> {
        self.client
            .database("admin")
            .run_command(command)
            .optional(at.cloned(), RunCommand::selection_criteria)
            .await
    }

    /// What the session does now.
    async fn operations(&self) -> Result<Vec<Bson>, mongodb::error::Error> {
        let mut all = vec![];
        for at in self.places() {
            all.extend(self.operations_at(at).await?);
        }
        Ok(all)
    }

    async fn operations_at(
        &self,
        at: Option<&SelectionCriteria>,
    ) -> Result<Vec<Bson>, mongodb::error::Error> {
        let id = self.session.get("id").cloned().unwrap_or(Bson::Null);
        let pipeline = vec![
            Bson::Document(doc! { "$currentOp": { "allUsers": false } }),
            Bson::Document(doc! { "$match": { "lsid.id": id, "active": true } }),
            Bson::Document(doc! { "$project": { "opid": 1 } }),
        ];
        let ask = doc! { "aggregate": 1, "pipeline": pipeline, "cursor": {} };
        let admin = self.client.database("admin");
        let ask = admin.run_cursor_command(ask).optional(at.cloned(), RunCursorCommand::selection_criteria);
        let found = ask.await?;
        found.try_filter_map(|mut found| async move { Ok(found.remove("opid")) }).try_collect().await
    }
}
