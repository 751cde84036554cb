//! What a script says and does, on its way to the log. A slow log holds up nobody who watches the clock.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{ScriptLog, SinkError};
use domain::script::{
    CallKind, CallRecord, ConsoleLevel, LOGGED_STATEMENT_BYTES, LOGGED_STATEMENTS_BYTES, LogEntry,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Entries that are written at once.
const BATCH: usize = 256;

/// How long an entry waits for others.
const MOMENT: Duration = Duration::from_millis(50);

/// Takes entries. What is kept of one script has limits, and so has what waits here.
pub(crate) struct Journal {
    entries: UnboundedSender<LogEntry>,
    taken: u64,
    written: watch::Receiver<u64>,
    hurry: Arc<Notify>,
    statements_left: usize,
}

/// Writes what a [`Journal`] takes.
pub(crate) struct Scribe {
    entries: UnboundedReceiver<LogEntry>,
    written: watch::Sender<u64>,
    hurry: Arc<Notify>,
    lost: CancellationToken,
}

/// `lost` is cancelled when the log cannot be written any more.
pub(crate) fn journal(lost: CancellationToken) -> (Journal, Scribe) {
    let (sender, entries) = unbounded_channel();
    let (write, written) = watch::channel(0);
    let hurry = Arc::new(Notify::new());
    let journal = Journal {
        entries: sender,
        taken: 0,
        written,
        hurry: Arc::clone(&hurry),
        statements_left: LOGGED_STATEMENTS_BYTES,
    };
    (journal, Scribe { entries, written: write, hurry, lost })
}

impl Journal {
    pub(crate) fn console(&mut self, level: ConsoleLevel, text: String) {
        self.take(LogEntry::Console { level, text });
    }

    pub(crate) fn call(&mut self, record: CallRecord) {
        self.take(LogEntry::Call(record));
    }

    fn take(&mut self, entry: LogEntry) {
        self.taken += 1;
        // Without a scribe the script is about to end.
        let _ = self.entries.send(entry);
    }

    /// Comes when everything that was taken until now is written, or never will be.
    pub(crate) fn written(&self) -> BoxFuture<'static, ()> {
        let (taken, mut written) = (self.taken, self.written.clone());
        self.hurry.notify_one();
        async move {
            let _ = written.wait_for(|written| *written >= taken).await;
        }
        .boxed()
    }

    /// What is kept of a statement.
    pub(crate) fn statement(&mut self, kind: CallKind, text: &str) -> Option<String> {
        let kept = match kind {
            CallKind::Query | CallKind::Stream => cut(text, LOGGED_STATEMENT_BYTES.min(self.statements_left)),
            CallKind::Begin | CallKind::Commit | CallKind::Rollback => return None,
        };
        self.statements_left -= kept.len();
        if kept.is_empty() || kept.len() == text.len() {
            return (!kept.is_empty()).then(|| kept.to_owned());
        }
        // A long beginning must not hide what comes after it.
        let (head, tail) = (cut(kept, kept.len() / 2), end(text, kept.len() / 2));
        Some(format!("{head} … ({} bytes) … {tail}", text.len()))
    }
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The end of a text, in whole characters.
fn end(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

impl Scribe {
    /// Writes until the journal is gone and everything is written.
    pub(crate) async fn write(mut self, log: &mut (dyn ScriptLog + 'static)) -> Result<(), SinkError> {
        let mut batch = Vec::new();
        loop {
            let more = self.collect(&mut batch).await;
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            if count > 0
                && let Err(error) = log.write(std::mem::take(&mut batch)).await
            {
                self.lost.cancel();
                return Err(error);
            }
            self.written.send_modify(|written| *written += count);
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes what comes within a moment of the first entry, since whoever follows the log looks at every write. False
    /// when nothing more will come.
    async fn collect(&mut self, batch: &mut Vec<LogEntry>) -> bool {
        if self.entries.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let until = tokio::time::Instant::now() + MOMENT;
        while batch.len() < BATCH {
            let more = self.entries.recv_many(batch, BATCH - batch.len());
            tokio::select! {
                biased;
                more = more => if more == 0 { return false },
                () = self.hurry.notified() => return true,
                () = tokio::time::sleep_until(until) => return true,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_in_whole_characters_and_to_a_sum() {
        let (mut journal, _scribe) = journal(CancellationToken::new());
        let long = "é".repeat(LOGGED_STATEMENT_BYTES);
        let kept = journal.statement(CallKind::Query, &long).unwrap();
        let half = "é".repeat(LOGGED_STATEMENT_BYTES / 4);
        assert_eq!(kept, format!("{half} … (8192 bytes) … {half}"));
        assert_eq!(journal.statement(CallKind::Commit, ""), None);
        let rounds = LOGGED_STATEMENTS_BYTES / LOGGED_STATEMENT_BYTES;
        let kept = (0..rounds + 5).filter(|_| journal.statement(CallKind::Query, &long).is_some()).count();
        assert_eq!(kept, rounds - 1, "the sum of all statements has its limit");
    }
}
