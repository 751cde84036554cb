//! The server's answer to one statement, of which a second end must never be taken for the first.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::future::join;
use tokio_postgres::{Client, SimpleColumn, SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use super::describe::telling;
use super::errors::{Broken, ends_session};
use super::worker::LEXING;

/// A commit may have been among them, and it cannot be told.
const SEVERAL: &str = "the server took one statement for several";

/// What comes of a statement, piece by piece. Dropping it does not stop the statement.
pub(crate) struct Answer {
    messages: Pin<Box<SimpleQueryStream>>,
    affected: Option<u64>,
}

pub(crate) enum Part {
    Columns(Arc<[SimpleColumn]>),
    Row(SimpleQueryRow),
}

impl Answer {
    /// Sends a statement that is known to be one, under the settings under which it is.
    pub(super) async fn to(client: &Client, sql: &str) -> Result<Self, Broken> {
        // Both are queued before anything is awaited.
        let (set, messages) = join(client.batch_execute(LEXING), client.simple_query_raw(sql)).await;
        let mut messages = Box::pin(messages?);
        let Err(error) = set else { return Ok(Self { messages, affected: None }) };
        Err(match drain(messages.as_mut()).await {
            Err(own) => Broken::Server(telling(error, own)),
            Ok(()) => Broken::Unclear("a statement ran without the settings under which it was reviewed"),
        })
    }

    /// The next part, or `None` once the statement has come to its one end.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Broken> {
        loop {
            let message = match self.messages.try_next().await {
                Ok(Some(message)) => message,
                Ok(None) if self.affected.is_some() => return Ok(None),
                Ok(None) => {
                    return Err(Broken::Unclear("the server did not say that the statement has ended"));
                }
                // One statement does not fail after its end. A session that dies then is another matter.
                Err(error)
                    if self.affected.is_some() && error.as_db_error().is_some_and(|e| !ends_session(e)) =>
                {
                    return Err(Broken::Unclear(SEVERAL));
                }
                Err(error) => return Err(error.into()),
            };
            match message {
                _ if self.affected.is_some() => return Err(Broken::Unclear(SEVERAL)),
                SimpleQueryMessage::Row(row) => return Ok(Some(Part::Row(row))),
                SimpleQueryMessage::RowDescription(found) => return Ok(Some(Part::Columns(found))),
                SimpleQueryMessage::CommandComplete(count) => self.affected = Some(count),
                // The driver may learn of more kinds; none of them carries rows.
                _ => {}
            }
        }
    }

    /// What the server counted, once the statement has ended.
    pub(crate) fn affected(&self) -> Option<u64> {
        self.affected
    }
}

/// Reads an answer of which nothing is used.
async fn drain(mut messages: Pin<&mut SimpleQueryStream>) -> Result<(), tokio_postgres::Error> {
    while messages.try_next().await?.is_some() {}
    Ok(())
}
