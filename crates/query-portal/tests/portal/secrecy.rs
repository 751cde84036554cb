//! The search for credentials in everything that the end-to-end tests make the portal say and keep: every log line, every
//! answer, whatever commands print, every row of the portal's database, every call to Slack.
//!
//! The harness asks here by itself, so that no test can forget it.

use slack_stand_in::{BOT_TOKEN, SIGNING_SECRET, SlackStandIn};

use crate::harness::{
    OWNER_PASSWORD, PASSWORD, SERVER_PASSWORD, SIGNING_KEY, TARGET_PASSWORD, WRONG_PASSWORD, single_value,
};

/// A login in AWS Secrets Manager.
pub(crate) const AWS_PASSWORD: &str = "planted-in-the-cloud-4711";
/// Its successor.
pub(crate) const AWS_NEXT_PASSWORD: &str = "planted-in-the-cloud-4712";
/// The portal's own login there.
pub(crate) const AWS_ACCESS_KEY: &str = "PLANTEDACCESSKEY4713";
pub(crate) const AWS_SECRET_KEY: &str = "planted/secret/key/of/the/portal/itself4714";
/// In a connection string, where it has to be written with escapes.
pub(crate) const URL_PASSWORD: &str = "planted:in/a@string?4715";
/// Sealed in the portal's database.
pub(crate) const SEALED_PASSWORD: &str = "planted-under-a-seal-4716";
/// 32 bytes each.
pub(crate) const SEALING_KEYS: [&str; 2] =
    ["cGxhbnRlZCBzZWFsaW5nIGtleSBudW1iZXIgb25lICE=", "cGxhbnRlZCBzZWFsaW5nIGtleSBudW1iZXIgdHdvICE="];

/// Everything that the tests plant.
const PLANTED: [&str; 17] = [
    PASSWORD,
    TARGET_PASSWORD,
    WRONG_PASSWORD,
    OWNER_PASSWORD,
    SERVER_PASSWORD,
    SIGNING_KEY,
    BOT_TOKEN,
    SIGNING_SECRET,
    AWS_PASSWORD,
    AWS_NEXT_PASSWORD,
    AWS_ACCESS_KEY,
    AWS_SECRET_KEY,
    URL_PASSWORD,
    "planted%3Ain%2Fa%40string%3F4715",
    SEALED_PASSWORD,
    SEALING_KEYS[0],
    SEALING_KEYS[1],
];

/// Fails when a text holds any of them.
pub(crate) fn assert_silent(place: &str, text: &str) {
    // A test that has failed already has more to tell than this.
    if std::thread::panicking() {
        return;
    }
    for secret in PLANTED {
        if let Some(at) = text.find(secret) {
            let before: String =
                text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{place} holds the planted credential {secret:?}, after: {before}");
        }
    }
}

/// Everything that Slack was told. The token itself is in a header, where it belongs.
pub(crate) fn assert_slack_is_silent(slack: &SlackStandIn) {
    for call in slack.calls() {
        assert_silent(&format!("a call of {}", call.method), &call.body);
    }
}

/// All rows of all tables, in a runtime of its own: this runs where no other can be waited for.
pub(crate) fn assert_database_is_silent(url: String) {
    let look = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(everything_in(&url))
    };
    let rows = std::thread::spawn(look).join().unwrap();
    assert_silent("the portal's database", &rows);
}

/// Every value of every table, as the server writes it as XML; what is compressed is not read.
async fn everything_in(url: &str) -> String {
    let rows = "SELECT coalesce(string_agg(query_to_xml('SELECT * FROM ' || quote_ident(table_name), true, true, '')::text, \
                ' '), '') FROM information_schema.tables \
                WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'execution_result_chunks'";
    single_value(url, rows).await
}

#[test]
#[should_panic(expected = "the log holds the planted credential")]
fn the_search_finds_what_is_planted() {
    assert_silent("the log", &format!("login failed for portal with {TARGET_PASSWORD}"));
}

#[test]
fn the_search_lets_the_rest_pass() {
    assert_silent("the log", "nothing to see here");
}
