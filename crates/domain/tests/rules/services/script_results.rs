//! What becomes of the value that a script returns.

use std::time::Duration;

use bytes::Bytes;
use domain::execution::{Column, ExecutionReport, FailureKind, Preview, ResultChunk, StatementReport};
use domain::ids::RequestId;
use domain::request::{ResultKept, State};
use domain::script::ReturnedValue;
use domain::target::Limits;
use futures_util::TryStreamExt;
use testkit::fakes::Play;

use super::execution::patient;
use super::script_execution::Stage;

fn elements(count: usize) -> ReturnedValue {
    ReturnedValue::Elements((0..count).map(|n| Bytes::from(n.to_string())).collect())
}

async fn completed(stage: &Stage, id: RequestId) -> (ExecutionReport, Preview) {
    let State::Completed { completion, .. } = stage.rig.world.state(id).await else { panic!("it completed") };
    let ResultKept::Stored { report, preview } = completion.result else { panic!("the result is kept") };
    (report, preview)
}

async fn lines(stage: &Stage, id: RequestId) -> Vec<String> {
    let results = stage.rig.world.store.result_store();
    let chunks: Vec<ResultChunk> = results.read(id).try_collect().await.expect("the store answers");
    let count: u32 = chunks.iter().map(|chunk| chunk.rows).sum();
    let text: String = chunks.iter().map(|c| std::str::from_utf8(&c.ndjson).expect("it is UTF-8")).collect();
    assert_eq!(text.lines().count(), count as usize, "chunks count their rows");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

fn column(name: &str) -> Vec<Column> {
    vec![Column { name: name.to_owned(), type_name: "json".to_owned() }]
}

fn statement(columns: Option<Vec<Column>>, rows: u64, truncated: bool) -> StatementReport {
    StatementReport { command: "RETURN".to_owned(), columns, rows, affected: None, truncated }
}

#[tokio::test]
async fn a_value_is_one_row_an_array_a_row_for_each_element_and_nothing_none() {
    let stage = Stage::new();
    let object = ReturnedValue::Single(Bytes::from_static(br#"{"a":[1,"x"]}"#));
    let cases = [
        (ReturnedValue::Nothing, statement(None, 0, false), vec![]),
        (object, statement(Some(column("value")), 1, false), vec![r#"[{"a":[1,"x"]}]"#]),
        (elements(3), statement(Some(column("element")), 3, false), vec!["[0]", "[1]", "[2]"]),
        (elements(0), statement(Some(column("element")), 0, false), vec![]),
    ];
    for (value, expected, rows) in cases {
        let id = stage.plays(Play::returns(value)).await;
        let (report, preview) = completed(&stage, id).await;
        assert_eq!(report.statements, [expected]);
        assert_eq!((report.notices, report.duration), (vec![], Duration::from_millis(5)));
        assert_eq!(lines(&stage, id).await, rows);
        assert_eq!(preview.iter().map(|row| row.json.as_str()).collect::<Vec<_>>(), rows);
        assert!(preview.iter().all(|row| row.statement == 0));
    }
}

#[tokio::test]
async fn a_large_array_is_kept_whole_with_a_preview_of_its_first_100_elements() {
    let stage = Stage::new();
    let large = Bytes::from(format!("\"{}\"", "x".repeat(1_000)));
    let values: Vec<Bytes> = (0..500).map(|_| large.clone()).collect();
    let id = stage.plays(Play::returns(ReturnedValue::Elements(values))).await;
    let (report, preview) = completed(&stage, id).await;
    assert_eq!((report.statements[0].rows, preview.len()), (500, 100));
    assert_eq!(lines(&stage, id).await.len(), 500);
    let results = stage.rig.world.store.result_store();
    let chunks: Vec<ResultChunk> = results.read(id).try_collect().await.expect("the store answers");
    assert!(chunks.len() > 5, "half a mebibyte is written in parts");
    assert!(chunks.iter().all(|chunk| chunk.ndjson.len() < 128 * 1024));
}

#[tokio::test]
async fn elements_beyond_the_limits_are_left_out_and_the_result_says_so() {
    let stage = Stage::new();
    // Each element of one digit is a line of four bytes.
    let cases = [
        (Limits { max_rows: 3, ..patient() }, 5, 3, true),
        (Limits { max_rows: 5, ..patient() }, 5, 5, false),
        (Limits { max_rows: 0, ..patient() }, 5, 0, true),
        (Limits { max_bytes: 12, ..patient() }, 5, 3, true),
        (Limits { max_bytes: 15, ..patient() }, 5, 3, true),
        (Limits { max_bytes: 20, ..patient() }, 5, 5, false),
        (Limits { max_bytes: 0, ..patient() }, 0, 0, false),
    ];
    for (limits, returned, kept, truncated) in cases {
        let id = stage.plays_within(Play::returns(elements(returned)), limits).await;
        let (report, _) = completed(&stage, id).await;
        assert_eq!(report.statements, [statement(Some(column("element")), kept, truncated)], "{limits:?}");
        assert_eq!(report.truncated(), truncated);
        assert_eq!(lines(&stage, id).await.len() as u64, kept);
    }
}

#[tokio::test]
async fn a_value_that_is_too_large_is_left_out() {
    let stage = Stage::new();
    let limits = Limits { max_bytes: 10, ..patient() };
    let value = ReturnedValue::Single(Bytes::from_static(b"\"too long\""));
    let id = stage.plays_within(Play::returns(value), limits).await;
    let (report, preview) = completed(&stage, id).await;
    assert_eq!(report.statements, [statement(Some(column("value")), 0, true)]);
    assert_eq!((preview, lines(&stage, id).await), (vec![], vec![]));
}

#[tokio::test]
async fn console_text_that_was_not_kept_is_told_of() {
    let stage = Stage::new();
    let id = stage.plays(Play::returns(ReturnedValue::Nothing).drops(1_234)).await;
    let (report, _) = completed(&stage, id).await;
    let [notice] = &report.notices[..] else { panic!("there is one notice") };
    assert_eq!(notice.message, "1234 more bytes of console output were not kept.");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_kept_fails_the_script_and_says_what_stays() {
    let stage = Stage::new();
    let (id, running) = stage.begins(Play::returns(elements(3)).commits(1)).await;
    stage.rig.world.store.set_unavailable(true);
    stage.runner.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.rig.world.store.set_unavailable(false);
    running.await.expect("no panic");
    let failure = stage.rig.failure(id).await;
    assert_eq!(failure.kind, FailureKind::Internal);
    let expected = "The script ended well, but its result could not be kept. \
                    One transaction had been committed before; it stays in effect.";
    assert_eq!(failure.message, expected);
    assert_eq!(lines(&stage, id).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_notice_says_that_what_was_still_open_at_the_end_was_undone() {
    let stage = Stage::new();
    let play = Play::returns(ReturnedValue::Nothing).leaves_a_transaction_open();
    let (report, _) = completed(&stage, stage.plays(play).await).await;
    let told: Vec<&str> = report.notices.iter().map(|notice| notice.message.as_str()).collect();
    let expected =
        "A transaction or a stream was still open when the script ended, and what it did was undone.";
    assert_eq!(told, [expected]);
}
