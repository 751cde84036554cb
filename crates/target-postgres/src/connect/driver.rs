//! The task that moves a connection's bytes, and the notices that it meets on the way.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::execution::Notice;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Connection};

/// A statement can raise notices without end; the first ones tell enough.
const MAX_NOTICES: usize = 100;
const MAX_NOTICE_BYTES: usize = 4 * 1024;

/// How long a connection may take to say goodbye.
const FAREWELL: Duration = Duration::from_millis(500);

type Notices = Arc<Mutex<Vec<Notice>>>;

/// Owns the task. Dropping it ends the task and closes the socket: dropping the client alone would not, while a
/// statement runs.
pub(super) struct Driver {
    task: JoinHandle<()>,
    notices: Notices,
}

impl Driver {
    pub(super) fn start<S, T>(connection: Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let notices = Notices::default();
        let task = tokio::spawn(drive(connection, notices.clone()));
        Self { task, notices }
    }

    pub(super) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut lock(&self.notices))
    }

    /// Waits until the connection has ended by itself, which it does once its client is gone.
    pub(super) async fn finish(mut self) {
        // Whatever is left after that time is cut off by the drop.
        let _ = tokio::time::timeout(FAREWELL, &mut self.task).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drive<S, T>(mut connection: Connection<S, T>, notices: Notices)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message {
            keep(&mut lock(&notices), &notice);
        }
    }
}

fn keep(notices: &mut Vec<Notice>, notice: &DbError) {
    if notices.len() < MAX_NOTICES {
        notices.push(Notice {
            severity: notice.severity().to_owned(),
            code: notice.code().code().to_owned(),
            message: shortened(notice.message()).to_owned(),
        });
    }
}

fn shortened(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_NOTICE_BYTES)]
}

/// A list of notices is whole after every push, so a panic elsewhere does not spoil it.
fn lock(notices: &Mutex<Vec<Notice>>) -> MutexGuard<'_, Vec<Notice>> {
    notices.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notices_are_cut_between_characters() {
        let cut = shortened(&"é".repeat(3_000)).to_owned();
        assert_eq!(cut, "é".repeat(2_048));
        assert_eq!(shortened("short"), "short");
    }
}
