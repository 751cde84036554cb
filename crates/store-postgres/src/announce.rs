//! News between portal processes, sent after a commit.

use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::ids::RequestId;
use domain::ports::Change;

/// The channel that every portal process listens on.
pub(crate) const CHANNEL: &str = "query_portal";

pub(crate) fn encode(change: &Change) -> String {
    match change {
        Change::Request(id) => format!("request:{id}"),
        Change::Jobs => "jobs".to_owned(),
        Change::Cancel(id) => format!("cancel:{id}"),
        Change::Log(id) => format!("log:{id}"),
    }
}

/// `None` for a payload of another version of the portal.
pub(crate) fn decode(payload: &str) -> Option<Change> {
    if payload == "jobs" {
        return Some(Change::Jobs);
    }
    let (kind, id) = payload.split_once(':')?;
    let id: RequestId = id.parse().ok()?;
    match kind {
        "request" => Some(Change::Request(id)),
        "cancel" => Some(Change::Cancel(id)),
        "log" => Some(Change::Log(id)),
        _ => None,
    }
}

/// Tells the other processes, outside of any transaction: `NOTIFY` makes commits queue up behind each other.
/// A failure is not an error, since whoever waits also looks by themselves.
pub(crate) async fn announce(connection: &mut AsyncPgConnection, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    let payloads: Vec<String> = changes.iter().map(encode).collect();
    let sent = diesel::sql_query("SELECT pg_notify($1, payload) FROM unnest($2) AS payload")
        .bind::<Text, _>(CHANNEL)
        .bind::<Array<Text>, _>(payloads)
        .execute(connection)
        .await;
    if let Err(error) = sent {
        tracing::debug!(error = %error, "changes were not announced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_survive_and_strange_ones_are_ignored() {
        let id: RequestId = "7c6a3ae0-0000-7000-8000-000000000001".parse().unwrap();
        for change in [Change::Request(id), Change::Jobs, Change::Cancel(id), Change::Log(id)] {
            assert_eq!(decode(&encode(&change)), Some(change));
        }
        for strange in ["", "job", "request:", "request:x", "other:7c6a3ae0-0000-7000-8000-000000000001"] {
            assert_eq!(decode(strange), None, "{strange}");
        }
    }
}
