//! What a script can do, and what it says.

use std::time::{Duration, Instant};

use domain::script::{CallAnswer, CallKind, DatabaseCall, LogEntry, ScriptOutcome, ScriptStatement};

use super::harness::{check, committed, database_error, in_turn, refusal, rows, script};

#[tokio::test]
async fn a_script_returns_a_value() {
    assert_eq!(script("return 1 + 1").run().await.value(), "2");
    assert_eq!(script("// nothing").run().await.value(), "undefined");
    assert_eq!(
        script("return [1, 'a', null, undefined, {b: [2n]}]").run().await.value(),
        r#"[1,"a",null,null,{"b":["2"]}]"#
    );
    assert_eq!(script("return []").run().await.value(), "[]");
    assert_eq!(
        script("return await new Promise(r => r({a: new Date(0)}))").run().await.value(),
        r#"{"a":"1970-01-01T00:00:00.000Z"}"#
    );
    assert_eq!(script("return 'é\\u2028\\ud800'").run().await.value(), "\"é\u{2028}\\ud800\"");
}

#[tokio::test]
async fn the_console_is_kept_in_order() {
    let seen = script("console.log('a', 1, {b: [1, 'x']}); console.warn(new Map([[1, new Set([2])]])); console.error(null, undefined, -0, 1n)").run().await;
    assert_eq!(
        seen.console(),
        ["log: a 1 { b: [ 1, 'x' ] }", "warn: Map { 1 => Set { 2 } }", "error: null undefined -0 1n"]
    );
}

#[tokio::test]
async fn a_query_gives_rows_as_node_postgres_does() {
    let columns = [("id", "int4"), ("__proto__", "text"), ("id", "int8")];
    let answer = rows(&columns, &[r#"[1,"p","9007199254740993"]"#, r#"[2,null,"3"]"#]);
    let seen = script(
        "const r = await db.query('SELECT $1', [1, 'é', null, undefined, true, 2n, new Date(0), [1, ['a\"b', null]], {a: 1}, new Uint8Array([1, 255])]);
         return [r.rowCount, r.command, r.fields, r.rows, Object.keys(r.rows[0]), ({}).p]",
    )
    .answers(in_turn(vec![Ok(answer)]))
    .run()
    .await;
    assert_eq!(
        seen.value(),
        r#"[2,"SELECT",[{"name":"id","type":"int4"},{"name":"__proto__","type":"text"},{"name":"id","type":"int8"}],[{"id":"9007199254740993","__proto__":"p"},{"id":"3","__proto__":null}],["id","__proto__"],null]"#
    );
    let text = |t: &str| Some(t.to_owned());
    let parameters = vec![
        text("1"),
        text("é"),
        None,
        None,
        text("true"),
        text("2"),
        text("1970-01-01T00:00:00.000Z"),
        text(r#"{"1",{"a\"b",NULL}}"#),
        text(r#"{"a":1}"#),
        text("\\x01ff"),
    ];
    assert_eq!(
        seen.calls,
        [DatabaseCall::Query(ScriptStatement {
            text: "SELECT $1".to_owned(),
            parameters,
            in_transaction: false
        })]
    );
}

#[tokio::test]
async fn errors_tell_their_place_in_the_submitted_text() {
    let seen = script("const a = 1;\n  null.x").run().await;
    let error = seen.error();
    assert_eq!(error.message, "TypeError: Cannot read properties of null (reading 'x')");
    let position = error.position.unwrap();
    assert_eq!((position.line, position.column), (2, 8));
    let seen = script("async function f() {\n  await sleep(1);\n  throw new Error('boom')\n}\n\nawait f()")
        .run()
        .await;
    assert_eq!(seen.error().message, "Error: boom");
    assert_eq!(seen.error().position.map(|p| (p.line, p.column)), Some((3, 9)));
    let seen = script("\nawait db.query('SELECT * FROM nowhere')")
        .answers(in_turn(vec![Err(database_error())]))
        .run()
        .await;
    let error = seen.error();
    assert_eq!(error.database_error.as_ref().unwrap().code, "42P01");
    assert_eq!(error.position.map(|p| (p.line, p.column)), Some((2, 10)));
    let seen = script("try { await db.query('COMMIT') } catch (e) { return [e.name, e.code, e.message, e.refused, e instanceof DatabaseError] }").answers(in_turn(vec![Err(refusal())])).run().await;
    assert_eq!(
        seen.value(),
        r#"["DatabaseError","transaction_control","COMMIT may not be submitted.",true,true]"#
    );
}

#[tokio::test]
async fn syntax_errors_are_found_without_running_anything() {
    check("return await db.query('x')").await.unwrap();
    let refusal = check("const a = 1;\nconst b = ;\n").await.unwrap_err();
    assert_eq!(refusal.code, "script_syntax");
    assert_eq!(refusal.message, "SyntaxError: Unexpected token ';'");
    let position = refusal.position.unwrap();
    assert_eq!((position.line, position.column), (2, 11));
    let refusal = check("}); for (;;) {} (async () => {").await.unwrap_err();
    assert_eq!(refusal.message, "SyntaxError: a bracket is closed that was not opened");
    let refusal = check("if (true) {\n  x").await.unwrap_err();
    assert_eq!(refusal.message, "SyntaxError: Unexpected end of input");
    assert_eq!(refusal.position.map(|p| (p.line, p.column)), Some((2, 4)));
}

#[tokio::test]
async fn what_takes_too_long_is_ended_with_its_call() {
    let begun = Instant::now();
    let seen = script("await db.query('SELECT pg_sleep(60)')")
        .timeout(Duration::from_millis(300))
        .pace(Duration::from_mins(1))
        .run()
        .await;
    assert!(matches!(seen.end.outcome, ScriptOutcome::TimedOut), "{:?}", seen.end);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let [LogEntry::Call(record)] = seen.log.as_slice() else { panic!("{:?}", seen.log) };
    assert_eq!(record.error.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn the_bson_package_is_there_when_a_script_asks_for_it() {
    let seen = script(
        "const { EJSON, ObjectId, Decimal128, Long, serialize, deserialize } = BSON;
         const document = { _id: new ObjectId('507f1f77bcf86cd799439011'), é: Decimal128.fromString('1.10'),
             big: Long.fromString('9007199254740993'), bytes: new Uint8Array([1, 255]) };
         const back = deserialize(serialize(document), { promoteLongs: false });
         const fresh = new Set(Array.from({ length: 1000 }, () => new ObjectId().toHexString()));
         return [EJSON.stringify(back, { relaxed: false }), fresh.size];",
    )
    .run()
    .await;
    assert_eq!(
        seen.value(),
        r#"["{\"_id\":{\"$oid\":\"507f1f77bcf86cd799439011\"},\"é\":{\"$numberDecimal\":\"1.10\"},\"big\":{\"$numberLong\":\"9007199254740993\"},\"bytes\":{\"$binary\":{\"base64\":\"Af8=\",\"subType\":\"00\"}}}",1000]"#
    );
}

#[tokio::test]
async fn bytes_and_texts_turn_into_each_other() {
    let seen = script(
        "const tell = (f) => { try { return f() } catch (e) { return e.name } };
         return [
           [...new TextEncoder().encode('é\\u{1f600}')], new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0xc3, 0xa9, 0xff])),
           tell(() => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff]))), tell(() => new TextDecoder('latin1')),
           btoa('\\u00ff\\u0000'), atob('/wA='), tell(() => btoa('€')), tell(() => atob('?')),
           tell(() => crypto.getRandomValues(new Uint8Array(65537))), crypto.getRandomValues(new Uint16Array(4)).length,
           crypto.getRandomValues(new Uint8Array(64)).every((byte) => byte === 0),
         ]",
    )
    .run()
    .await;
    assert_eq!(
        seen.value(),
        "[[195,169,240,159,152,128],\"é\u{fffd}\",\"TypeError\",\"RangeError\",\"/wA=\",\"ÿ\\u0000\",\"TypeError\",\"TypeError\",\
         \"RangeError\",4,false]"
    );
}

#[tokio::test]
async fn what_was_committed_is_in_the_log_before_anything_else_happens() {
    let text = "for (let i = 0; i < 5; i += 1) await db.query('INSERT ...')";
    let seen = script(text).answers(|_| Ok(committed())).run().await;
    assert_eq!(seen.end.commits, 5);
    let expected: Vec<String> = (1..=5).flat_map(|n| ["called".to_owned(), format!("wrote {n}")]).collect();
    assert_eq!(seen.order, expected);
    let seen = script(text).run().await;
    assert_eq!(seen.end.commits, 0, "a mere read is no commit");
}

#[tokio::test]
async fn what_a_stream_committed_counts_and_is_in_the_log() {
    let opened = CallAnswer { stream: Some(1), ..CallAnswer::default() };
    let last = CallAnswer { done: true, ..committed() };
    let text = "for await (const row of db.stream('SELECT writes()')); throw new Error('after')";
    let seen = script(text).answers(in_turn(vec![Ok(opened.clone()), Ok(last)])).run().await;
    assert_eq!((seen.end.commits, seen.end.undone), (1, false));
    assert_eq!(kinds(&seen.log), [CallKind::Stream, CallKind::Commit]);

    let answers = in_turn(vec![Ok(opened), Err(database_error()), Err(refusal())]);
    let failed = script(text).answers(answers).run().await;
    assert_eq!(failed.error().database_error.as_ref().unwrap().code, "42P01");
    assert_eq!(failed.end.commits, 0);
    assert_eq!(kinds(&failed.log), [CallKind::Stream, CallKind::Commit]);
    let LogEntry::Call(record) = &failed.log[1] else { panic!("{:?}", failed.log) };
    assert_eq!(record.error.as_deref(), Some("42P01"));
}

#[tokio::test]
async fn what_is_open_at_the_end_is_told_as_undone() {
    let text = "db.transaction(async (tx) => { await new Promise(() => {}) }); await sleep(20); return 1";
    let seen = script(text).run().await;
    assert_eq!(seen.value(), "1");
    assert!(seen.end.undone);
    assert_eq!(kinds(&seen.log), [CallKind::Begin, CallKind::Rollback]);
}

fn kinds(log: &[LogEntry]) -> Vec<CallKind> {
    let kind = |entry: &LogEntry| match entry {
        LogEntry::Call(record) => Some(record.kind),
        LogEntry::Console { .. } => None,
    };
    log.iter().filter_map(kind).collect()
}
