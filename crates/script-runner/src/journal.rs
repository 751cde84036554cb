//! What a script says and does, on its way to the log. A slow log holds up nobody who watches the clock.

use std::time::Duration;

use domain::ports::{ScriptLog, SinkError};
use domain::script::{
    CallKind, CallRecord, ConsoleLevel, LOGGED_STATEMENT_BYTES, LOGGED_STATEMENTS_BYTES, LogEntry,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// Entries that are written at once.
const BATCH: usize = 256;

/// How long an entry waits for others.
const MOMENT: Duration = Duration::from_millis(50);

/// Takes entries. What is kept of one script has limits, and so has what waits here.
pub(crate) struct Journal {
    entries: UnboundedSender<LogEntry>,
    statements_left: usize,
}

/// Writes what a [`Journal`] takes.
pub(crate) struct Scribe {
    entries: UnboundedReceiver<LogEntry>,
    lost: CancellationToken,
}

/// `lost` is cancelled when the log cannot be written any more.
pub(crate) fn journal(lost: CancellationToken) -> (Journal, Scribe) {
    let (sender, entries) = unbounded_channel();
    (Journal { entries: sender, statements_left: LOGGED_STATEMENTS_BYTES }, Scribe { entries, lost })
}

impl Journal {
    pub(crate) fn console(&self, level: ConsoleLevel, text: String) {
        // Without a scribe the script is about to end.
        let _ = self.entries.send(LogEntry::Console { level, text });
    }

    pub(crate) fn call(&self, record: CallRecord) {
        let _ = self.entries.send(LogEntry::Call(record));
    }

    /// What is kept of a statement.
    pub(crate) fn statement(&mut self, kind: CallKind, text: &str) -> Option<String> {
        let kept = match kind {
            CallKind::Query | CallKind::Stream => cut(text, LOGGED_STATEMENT_BYTES.min(self.statements_left)),
            CallKind::Begin | CallKind::Commit | CallKind::Rollback => return None,
        };
        self.statements_left -= kept.len();
        (!kept.is_empty()).then(|| if kept.len() < text.len() { format!("{kept}…") } else { kept.to_owned() })
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

impl Scribe {
    /// Writes until the journal is gone and everything is written.
    pub(crate) async fn write(mut self, log: &mut (dyn ScriptLog + 'static)) -> Result<(), SinkError> {
        let mut batch = Vec::new();
        loop {
            let more = self.collect(&mut batch).await;
            if !batch.is_empty()
                && let Err(error) = log.write(std::mem::take(&mut batch)).await
            {
                self.lost.cancel();
                return Err(error);
            }
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
            match tokio::time::timeout_at(until, more).await {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_elapsed) => return true,
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
        assert_eq!(kept, format!("{}…", "é".repeat(LOGGED_STATEMENT_BYTES / 2)));
        assert_eq!(journal.statement(CallKind::Commit, ""), None);
        let rounds = LOGGED_STATEMENTS_BYTES / LOGGED_STATEMENT_BYTES;
        let kept = (0..rounds + 5).filter(|_| journal.statement(CallKind::Query, &long).is_some()).count();
        assert_eq!(kept, rounds - 1, "the sum of all statements has its limit");
    }
}
